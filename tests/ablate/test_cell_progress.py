"""What is said of the progress of a sweep, and the time that is left."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from video_gc.ablate.cell import Cell
from video_gc.ablate.cell_progress import CellProgress, show_progress
from video_gc.ablate.status import CellStatus, write_status


def cells_in(folder: Path, *rows: str) -> list[Cell]:
    return [
        Cell(row=row, seed=0, directory=str(folder / row), arguments=[], options={}) for row in rows
    ]


def test_a_file_has_a_line_when_a_cell_begins_and_one_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("video_gc.ablate.cell_progress.INTERVAL", 0.001)
    (cell,) = cells_in(tmp_path, "none")
    directory, said = Path(cell.directory), ""
    status = CellStatus(status="running", started="", command=[])
    with show_progress([cell]):
        write_status(directory, status)
        while "started" not in said:
            time.sleep(0.01)
            said += capsys.readouterr().err
        time.sleep(0.05)  # it looks again and again
        write_status(directory, replace(status, status="finished", seconds=90))
    said += capsys.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("none, seed 0")]
    assert lines == [
        f"none, seed 0: started; its output: {directory}/cell.log",
        "none, seed 0: finished in 0:01:30 (1/1)",
    ]


def test_the_time_left_is_by_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = cells_in(tmp_path, *"abcdef")
    monkeypatch.setattr("video_gc.ablate.cell_progress.time.monotonic", lambda: 100.0)
    progress = CellProgress(cells)
    assert progress.left() is None
    for cell, ended in zip(cells, ("failed", "failed", "finished"), strict=False):
        status = CellStatus(status=ended, started="", command=[])
        write_status(Path(cell.directory), status)
    progress.look()
    monkeypatch.setattr("video_gc.ablate.cell_progress.time.monotonic", lambda: 160.0)
    assert progress.left() == 60 * 3
    # a sweep that begins again knows what a cell took before
    write_status(
        Path(cells[3].directory), CellStatus(status="finished", started="", seconds=30, command=[])
    )
    assert CellProgress(cells[:3], cells[3:]).left() == 30 * 3


def test_epochs_count_before_a_cell_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [replace(cell, options={"epochs": 4}) for cell in cells_in(tmp_path, "none", "GC")]
    log = tmp_path / "GC" / "logs" / "csv" / "version_0" / "metrics.csv"
    log.parent.mkdir(parents=True)
    log.write_text("epoch,step,train/loss\n0,9,0.7\n")  # a training that was stopped
    monkeypatch.setattr("video_gc.ablate.cell_progress.time.monotonic", lambda: 100.0)
    progress = CellProgress(cells)
    assert (progress.trained, progress.left(), progress.running()) == (0.25, None, "GC 1/4")
    log.write_text("epoch,step,train/loss\n0,9,0.7\n,10,\n1,19,0.6\n2,29,0.5\n")
    progress.look()
    monkeypatch.setattr("video_gc.ablate.cell_progress.time.monotonic", lambda: 160.0)
    assert progress.running() == "GC 3/4"
    assert progress.trained == 0.75
    assert progress.left() == 60 / 0.5 * 1.25
    failed = CellStatus(status="failed", started="", command=[])
    write_status(tmp_path / "GC", failed)  # what it had trained counts no more, nor against others
    log = tmp_path / "none" / "logs" / "csv" / "version_0" / "metrics.csv"
    log.parent.mkdir(parents=True)
    log.write_text("epoch,step,train/loss\n0,9,0.7\n")
    progress.look()
    assert progress.left() == 60 / 0.25 * 0.75
