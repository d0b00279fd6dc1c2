"""Hydra's launchers over the cells of a plan, whose trainings are stand-ins."""

import os
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.ablate.stub import calls, order, write_stub
from video_gc.ablate.plan import Plan, write_plan
from video_gc.ablate.progress_lines import Watch, watching
from video_gc.ablate.slots import job_environment
from video_gc.ablate.status import CellStatus, state_of, write_status
from video_gc.config.ablation import plan_ablation
from video_gc.config.launcher import check_launcher
from video_gc.config.sweep import launch


def stand_in_plan(folder: Path, *arguments: str) -> Plan:
    """Of two rows; its tools are stand-ins, and its runs lie in a folder with odd signs."""
    runs = folder / "it's a (run),=x"
    given = ("ablation=kinds", "only=[none,GC]", "seeds=[0]", f"runs={runs}", *arguments)
    plan = plan_ablation(given).plan
    return replace(plan, tools=write_stub(folder, plan.cells))


def test_one_after_another(tmp_path: Path) -> None:
    plan = stand_in_plan(tmp_path)
    order(tmp_path, plan.cells[0], "fail")
    watch = Watch(plan.cells)
    launch(write_plan(plan), [0, 1], [])
    first, second = plan.cells
    assert calls(tmp_path) == [f"train {first.name}", f"train {second.name}", f"test {second.name}"]
    assert [state_of(cell)[0] for cell in plan.cells] == ["failed", "finished"]
    assert [(cell, status.status) for cell, status in watch.look()] == [
        (first, "failed"),
        (second, "finished"),
    ]
    assert watch.look() == []
    assert watch.count == watch.total == 2
    assert watch.left() == 0


@pytest.mark.skipif(find_spec("joblib") is None, reason="the extra joblib is not installed")
@pytest.mark.slow
def test_several_at_once(tmp_path: Path) -> None:
    plan = stand_in_plan(tmp_path)
    launch(write_plan(plan), [0, 1], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"])
    assert len(calls(tmp_path)) == 4
    assert all(state_of(cell)[0] == "finished" for cell in plan.cells)


def test_a_launcher_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("video_gc.config.launcher.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install -e '.\[submitit\]'"):
        check_launcher(["hydra/launcher=submitit_slurm"])
    with pytest.raises(ValueError, match="no such launcher; valid: joblib"):
        check_launcher(["hydra/launcher=slurm"])
    check_launcher([])


def test_a_wrong_option_of_a_launcher_is_one_line() -> None:
    with pytest.raises(ValueError, match="n_jobs") as caught:
        check_launcher(["hydra.launcher.n_jobs=2"])  # of basic
    assert "\n" not in str(caught.value)


def test_jobs_share_cores_and_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    with job_environment(tmp_path, "basic", 1, 1, 1) as env:
        assert env == {}
    with (
        job_environment(tmp_path, "joblib", 9, 3, 1) as first,
        job_environment(tmp_path, "joblib", 9, 3, 1) as second,
        job_environment(tmp_path, "joblib", 9, 3, 1) as third,
    ):
        gpus = [env["CUDA_VISIBLE_DEVICES"] for env in (first, second, third)]
        assert gpus == ["3", "5", "3"]
        assert first["OMP_NUM_THREADS"] == "4"
    with job_environment(tmp_path, "joblib", 99, -1, 1) as env:
        assert env == {
            "CUDA_VISIBLE_DEVICES": "3",
            "OMP_NUM_THREADS": "1",
        }  # its slot is free again
    with job_environment(tmp_path, "joblib", 9, 2, 2) as env:
        assert env == {"OMP_NUM_THREADS": "3"}  # two processes take both GPUs
    for at_once in (-1, 8):  # the cores of jobs that are not there are not left idle
        with job_environment(tmp_path, "joblib", 2, at_once, 1) as env:
            assert env["OMP_NUM_THREADS"] == "6"


def test_a_file_has_a_line_when_a_cell_begins_and_one_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("video_gc.ablate.progress_lines.INTERVAL", 0.001)
    plan = plan_ablation(["ablation=kinds", "only=[none]", "seeds=[0]", f"runs={tmp_path}"]).plan
    (cell,) = plan.cells
    directory, said = Path(cell.directory), ""
    status = CellStatus(status="running", started="", command=[])
    with watching(plan.cells):
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
    cells = plan_ablation(["ablation=kinds", "seeds=[0]", f"runs={tmp_path}"]).plan.cells
    monkeypatch.setattr("video_gc.ablate.progress_lines.time.monotonic", lambda: 100.0)
    watch = Watch(cells)
    assert watch.left() is None
    for cell, ended in zip(cells, ("failed", "failed", "finished"), strict=False):
        status = CellStatus(status=ended, started="", command=[])
        write_status(Path(cell.directory), status)
    watch.look()
    monkeypatch.setattr("video_gc.ablate.progress_lines.time.monotonic", lambda: 160.0)
    assert watch.left() == 60 * 3
    # a sweep that begins again knows what a cell took before
    write_status(
        Path(cells[3].directory), CellStatus(status="finished", started="", seconds=30, command=[])
    )
    assert Watch(cells[:3], cells[3:]).left() == 30 * 3
