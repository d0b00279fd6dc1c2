"""What goes wrong in a training is said with the way out, and costs no good checkpoint."""

import csv
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import get_worker_info

from tests.train.resume.killing import FORK, options
from tests.train.test_training import options as plain
from video_gc.config import compose_train
from video_gc.data.batches import loader
from video_gc.data.batches.batch import Batch
from video_gc.data.batches.workers import explain
from video_gc.data.dataset import TrainingClips
from video_gc.locks import locked
from video_gc.train import loop
from video_gc.train.loop import optimiser_step, train
from video_gc.train.resume.checkpoint_files import damage
from video_gc.train.step import Objective
from video_gc.train.training import Training


def listed(run: Path) -> list[dict[str, str]]:
    with (run / "not_finite.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_loss_that_is_nan_stops_and_names_its_videos(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(seven_each, tmp_path, "data.workers=0")
    plain = Objective.training_step
    seen: list[Batch] = []

    def spoilt(
        objective: Objective, network: nn.Module, batch: Batch, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(batch)
        loss, logits = plain(objective, network, batch, step)
        return loss * (float("nan") if len(seen) == 4 else 1), logits

    monkeypatch.setattr(Objective, "training_step", spoilt)
    with pytest.raises(FloatingPointError, match="loss is NaN or infinite at step 4; .*00002.ckpt"):
        train(compose_train(given))
    run = tmp_path / "run"
    assert (run / "checkpoints/last.ckpt").resolve().name == "step-00000002.ckpt"
    assert damage(run / "checkpoints/last.ckpt") is None
    rows = listed(run)
    assert [row["step"] for row in rows] == ["4", "4"]
    kept = sorted(str(path) for path in seven_each.rglob("*.mp4"))
    assert len({row["path"] for row in rows} & set(kept)) == 2


def test_weights_that_are_not_finite_are_not_saved(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(training: Training, batches: Any) -> Any:
        bad = optimiser_step(training, batches)
        if training.state.step == 4:
            with torch.no_grad():
                next(training.model.parameters())[0] = float("inf")
        return bad

    monkeypatch.setattr(loop, "optimiser_step", spoil)
    given = options(seven_each, tmp_path, "data.workers=0")
    with pytest.raises(FloatingPointError, match="conv.weight is NaN or infinite at step 4"):
        train(compose_train(given))
    assert (tmp_path / "run/checkpoints/last.ckpt").resolve().name == "step-00000002.ckpt"
    assert len(listed(tmp_path / "run")) == 2


def test_a_worker_that_was_killed(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TrainingClips.__getitem__

    def die(clips: TrainingClips, key: tuple[int, int]) -> Any:
        if get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(clips, key)

    monkeypatch.setattr(TrainingClips, "__getitem__", die)
    with pytest.raises(ChildProcessError, match=r"(?s)decoding worker \d+.* data.workers=2"):
        train(compose_train(options(seven_each, tmp_path)))


@pytest.mark.slow  # what is said of each cause is quick, below
def test_shared_memory_that_is_full(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_samples: object) -> None:
        raise RuntimeError("unable to write to file </torch_7_1>: No space left on device (28)")

    monkeypatch.setattr(loader, "collate", full)
    with pytest.raises(OSError, match=r"no room .* --shm-size=8g.* or set data.workers=0"):
        train(compose_train(options(seven_each, tmp_path)))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("DataLoader worker (pid 9) is killed by signal: Killed. ", ChildProcessError),
        ("DataLoader worker (pid(s) 9, 10) exited unexpectedly", ChildProcessError),
        (
            "DataLoader worker (pid 9) is killed by signal: Bus error. It is possible that "
            "dataloader's workers are out of shared memory. Please try to raise your limit.",
            OSError,
        ),
        (
            "Caught RuntimeError in DataLoader worker process 0.\nRuntimeError: unable to mmap 9 "
            "bytes from file </torch_1>: Cannot allocate memory (12)",
            OSError,
        ),
        ("mat1 and mat2 shapes cannot be multiplied", None),
        ("unable to mmap 64 bytes from file <weights.bin>", None),
    ],
)
def test_what_the_loader_says_is_explained(text: str, kind: type | None) -> None:
    found = explain(RuntimeError(text), 4)
    assert type(found) is (kind or type(None))


def test_a_signal_that_is_no_lack_of_memory_is_not_called_one() -> None:
    said = str(
        explain(RuntimeError("DataLoader worker (pid 9) is killed by signal: Alarm clock. "), 4)
    )
    assert said == "decoding worker 9 is killed by signal: Alarm clock; rerun to resume"


def test_one_training_at_a_time(seven_each: Path, tmp_path: Path) -> None:
    begun, done = FORK.Event(), FORK.Event()

    def hold() -> None:
        with locked(tmp_path / "run"):
            begun.set()
            done.wait(60)

    holder = FORK.Process(target=hold)
    holder.start()
    begun.wait(60)
    given = options(seven_each, tmp_path, "epochs=1", "steps_per_epoch=1", "data.workers=0")
    with pytest.raises(BlockingIOError, match=rf"another .* \(process {holder.pid} on .*OTHER$"):
        train(compose_train(given))
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)  # its lock goes with it
    holder.join()
    train(compose_train(given))


def test_other_videos_are_refused(seven_each: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    shutil.copytree(seven_each, clips)
    given = options(clips, tmp_path, "epochs=1", "steps_per_epoch=1", "data.workers=0")
    directory = train(compose_train(given))
    (directory / "finished.yaml").unlink()
    with (clips / "dark/0.mp4").open("ab") as stream:
        stream.write(b"more")
    message = r"(train|val) videos differ from those .* \(fingerprint sizes:\w+, .* is sizes:\w+\)"
    with pytest.raises(ValueError, match=message):
        train(compose_train(given))


def test_a_finished_run_is_left_as_it_is(
    run: Path, clips_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.name != ".lock"}
    assert train(compose_train(plain(clips_folder, run.parent, "name=small"))) == run
    assert "this run is finished; there is nothing to do" in capfd.readouterr().err
    after = {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.name != ".lock"}
    assert {k: v for k, v in before.items() if k.is_file()} == {
        k: v for k, v in after.items() if k.is_file()
    }
