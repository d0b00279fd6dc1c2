"""Several processes that are stopped, and started again, end as if they had not been."""

import csv
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.ranks.many import kill_all, options, send_all, train_forked
from tests.train.resume.killing import Call, at_call, end_state, rows, same
from video_gc.train import loop
from video_gc.train.step import Objective


@pytest.fixture(scope="module")
def whole(seven_each: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    root = tmp_path_factory.mktemp("whole")
    assert train_forked(options(seven_each, root)) == [0, 0]
    return root / "run"


def newest(run: Path) -> str:
    return (run / "checkpoints/last.ckpt").resolve().stem


def assert_same_end(run: Path, whole: Path) -> None:
    assert same(end_state(run), end_state(whole))
    assert same(end_state(run, "best.ckpt"), end_state(whole, "best.ckpt"))
    assert rows(run) == rows(whole)


@pytest.mark.slow
def test_killed_in_an_epoch_they_end_the_same(
    whole: Path, seven_each: Path, tmp_path: Path
) -> None:
    """A step takes two parts: the kill comes between those of the fourth."""
    given, run = options(seven_each, tmp_path), tmp_path / "run"
    killed = (1, Objective, "training_step", lambda plain: at_call(8, kill_all, plain))
    assert train_forked(given, killed) == [-signal.SIGKILL] * 2
    assert newest(run) == "step-00000003"
    assert train_forked(given) == [0, 0]
    one, other = end_state(run)["random"]
    assert not same(one["torch"], other["torch"])  # each has its own noise
    assert_same_end(run, whole)


@pytest.mark.slow
def test_three_processes_end_the_same(seven_each: Path, tmp_path: Path) -> None:
    """The sum of three numbers depends on their order, that of two does not."""
    more = ("batch_size=3", "accumulate=1", "epochs=2", "checkpoint.every_steps=2")
    whole, given = (options(seven_each, tmp_path / name, *more) for name in ("whole", "killed"))
    assert train_forked(whole, size=3) == [0, 0, 0]
    killed = (1, Objective, "training_step", lambda plain: at_call(3, kill_all, plain))
    assert train_forked(given, killed, size=3) == [-signal.SIGKILL] * 3
    assert newest(tmp_path / "killed/run") == "step-00000002"
    assert train_forked(given, size=3) == [0, 0, 0]
    assert_same_end(tmp_path / "killed/run", tmp_path / "whole/run")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_all_at_the_same_step(
    number: int,
    status: int,
    whole: Path,
    seven_each: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = options(seven_each, tmp_path, "checkpoint.every_steps=null")
    run, send = tmp_path / "run", send_all(number)
    capfd.readouterr()
    step = (1, Objective, "training_step", lambda plain: at_call(6, send, plain))
    assert train_forked(given, step) == [status, status]
    said = capfd.readouterr().err
    assert "a training step in progress is finished and saved first" in said
    assert "Stopped; rerun the command to resume from step 3" in said
    assert "process" not in said.split("saved first")[1]  # it is no failure
    assert newest(run) == "step-00000003"
    score = (0, loop, "validation_step", lambda plain: at_call(1, send, plain))
    assert train_forked(given, score) == [status, status]
    assert newest(run) == "step-00000004"
    assert train_forked(given) == [0, 0]
    assert_same_end(run, whole)


@pytest.mark.slow
def test_a_loss_that_is_nan_on_one_process(
    seven_each: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[torch.Tensor] = []

    def spoil(plain: Call) -> Call:
        def step(objective: Any, network: Any, batch: Any, index: int) -> Any:
            seen.append(batch.videos)
            loss, logits = plain(objective, network, batch, index)
            return loss * (float("nan") if len(seen) == 5 else 1), logits

        return step

    given = options(seven_each, tmp_path, "checkpoint.every_steps=1")
    assert train_forked(given, (1, Objective, "training_step", spoil)) == [1, 1]
    said = capfd.readouterr().err
    assert "the loss is NaN or infinite at step 3" in said
    with (tmp_path / "run/not_finite.csv").open(newline="") as stream:
        [row] = csv.DictReader(stream)  # each part of a step is one video here
    assert Path(row["path"]).is_file()
    assert newest(tmp_path / "run") == "step-00000002"


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 1), (1, 2)])
def test_another_number_of_processes_goes_on(
    sizes: tuple[int, int], seven_each: Path, tmp_path: Path
) -> None:
    own = [
        "norm.kind=frozen", "norm.zero_init=false", "norm.precise=0", "model.dropout=0",
        "optim.optimizer=sgd", "optim.lr=0.02", "epochs=2",
    ]  # fmt: skip
    whole = options(seven_each, tmp_path / "whole", *own)
    assert train_forked(whole, size=sizes[0]) == [0] * sizes[0]
    given = options(seven_each, tmp_path, *own)
    term = send_all(signal.SIGTERM)
    stop = (0, Objective, "training_step", lambda plain: at_call(6, term, plain))
    assert train_forked(given, stop, size=sizes[0]) == [143] * sizes[0]
    assert train_forked(given, size=sizes[1]) == [0] * sizes[1]
    runs = tmp_path / "run", tmp_path / "whole/run"
    one, other = (end_state(run)["state_dict"] for run in runs)
    for name, value in one.items():
        assert torch.allclose(value, other[name], rtol=1e-5, atol=1e-6), name  # seen: 6e-8
    for mine, theirs in zip(*map(rows, runs), strict=True):
        numbers = [[float(row[key] or 0) for key in mine] for row in (mine, theirs)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-5)


@pytest.mark.slow
def test_damaged_videos_are_counted_once(
    clips_folder: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:
    lines = [f"{path} {path.parent.name}" for path in sorted(clips_folder.rglob("*.mp4"))]
    bad = [f"{damaged[name]} bright" for name in ("text", "zero-byte")]
    (tmp_path / "train.txt").write_text("\n".join([*lines, *bad]))
    (tmp_path / "val.txt").write_text("\n".join(lines[:2]))
    shared = [one for one in options(clips_folder, tmp_path) if not one.startswith("data.root")]
    lists = [f"data.{part}={tmp_path}/{part}.txt" for part in ("train", "val")]
    given = ["data=list", *shared[1:], *lists, "accumulate=1", "checkpoint.every_steps=2"]
    assert train_forked([*given, "name=whole"]) == [0, 0]
    killed = (1, Objective, "training_step", lambda plain: at_call(6, kill_all, plain))
    assert train_forked(given, killed) == [-signal.SIGKILL] * 2
    assert newest(tmp_path / "run") == "step-00000004"  # in the second epoch of 3 steps each
    assert train_forked(given) == [0, 0]
    found = []
    for name in ("run", "whole"):
        with (tmp_path / name / "skipped.csv").open(newline="") as stream:
            found.append(sorted(tuple(row.values()) for row in csv.DictReader(stream)))
    assert len(found[0]) == 2
    assert found[0] == found[1]
    assert_same_end(tmp_path / "run", tmp_path / "whole")
