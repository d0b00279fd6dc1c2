"""The CSV log goes on where a run was stopped; Weights & Biases hears of the same figures."""

import csv
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.train.test_training import options
from video_gc.config import compose_train
from video_gc.train.logs import RowLogger, WandbLogger, finalized
from video_gc.train.loop import train
from video_gc.train.resume.signals import Stopped


def rows(log: RowLogger) -> list[dict[str, str]]:
    with log.file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_rows_after_the_checkpoint_go_and_new_columns_come(tmp_path: Path) -> None:
    first = RowLogger(tmp_path, 0)
    first.log_metrics({"loss": 2.0}, 0)
    first.log_metrics({"loss": 1.0, "top1": 0.5}, 1)
    first.log_metrics({"loss": 0.5}, 2)
    assert first.rows == 3
    again = RowLogger(tmp_path, 2)
    again.log_metrics({"mAP": 0.25}, 2)
    assert rows(again) == [
        {"loss": "2.0", "mAP": "", "step": "0", "top1": ""},
        {"loss": "1.0", "mAP": "", "step": "1", "top1": "0.5"},
        {"loss": "", "mAP": "0.25", "step": "2", "top1": ""},
    ]


def test_wandb_that_is_not_installed_is_said_before_anything_is_written(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_gc.extras.find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r'pip install "video_gc\[wandb\]"'):
        train(compose_train(options(clips_folder, tmp_path, "name=w", "logger=wandb")))
    assert not (tmp_path / "w").exists()


def test_wandb_hears_of_what_the_csv_file_has(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: dict[str, Any] = {}
    logged: list[dict[str, Any]] = []
    ended: list[int] = []
    run = SimpleNamespace(
        name="w", id="x", log=logged.append, finish=lambda exit_code: ended.append(exit_code)
    )
    module = SimpleNamespace(init=lambda **given: begun.update(given) or run)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr("video_gc.extras.find_spec", lambda _name: module)
    given = options(clips_folder, tmp_path, "name=w", "logger=wandb", "epochs=1", "steps=1")
    directory = train(compose_train(given))
    assert (begun["name"], begun["project"], begun["resume"]) == ("w", "video_gc", "allow")
    assert begun["config"]["clip"]["frames"] == 4
    [file] = directory.rglob("metrics.csv")
    with file.open(newline="") as stream:
        written = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]
    steps = [row | {"step": row.pop("trainer/global_step")} for row in map(dict, logged)]
    assert steps == written
    assert ended == [0]


@pytest.mark.parametrize(
    ("error", "status"), [(None, 0), (Stopped(15), 0), (OSError("the disk is gone"), 1)]
)
def test_each_log_is_told_how_the_run_ended(
    error: BaseException | None,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A signal is no failure; a log that cannot be ended hides neither the error nor the others."""
    ended: list[int] = []

    def broken(exit_code: int) -> None:
        raise RuntimeError("the network is down")

    ends = iter([broken, lambda exit_code: ended.append(exit_code)])
    init = lambda **_: SimpleNamespace(finish=next(ends))  # noqa: E731
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    loggers = [WandbLogger(tmp_path, {"name": "w"}, "x") for _ in range(2)]
    found = None
    try:
        with finalized(loggers):
            if error is not None:
                raise error
    except (Stopped, OSError) as raised:
        found = raised
    assert found is error
    assert ended == [status]
    assert "WandbLogger could not end its log: the network is down" in capfd.readouterr().err
