"""Decoding workers that cannot send, stop or hang end a training or test, and do not outlive it."""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import get_worker_info

from tests.train.resume.killing import FORK, at_call, options, run_forked, send
from video_gc.config import compose_train
from video_gc.data.batches import workers
from video_gc.data.dataset import Sample, TrainingClips, VideoViews
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.train import loop
from video_gc.train.loop import train

NEW_MOUNTS, PRIVATE = 0x20000, 0x44000  # CLONE_NEWNS; MS_REC | MS_PRIVATE


def small_shared_memory(size: str) -> bool:
    """Give this process a /dev/shm of its own; False where it may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS):
        return False
    libc.mount(None, b"/", None, PRIVATE, None)
    return not libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, f"size={size}".encode())


def outcome(work: Callable[[], object]) -> str:
    """What comes of `work` in a forked process with 256 KiB of shared memory: its error's text."""
    ours, theirs = FORK.Pipe()

    def inside() -> None:
        if not small_shared_memory("256k"):
            theirs.send("not allowed")
            return
        try:
            work()
            theirs.send("no error")
        except Exception as error:
            theirs.send(f"{type(error).__name__}: {error}")

    process = FORK.Process(target=inside)
    process.start()
    assert ours.poll(100), "it waits for ever"
    said = ours.recv()
    process.join(20)
    assert process.exitcode is not None, "its workers keep it"
    if said == "not allowed":
        pytest.skip("only root may mount")
    return str(said)


@pytest.mark.slow
def test_shared_memory_that_is_full(seven_each: Path, checkpoint: Path, tmp_path: Path) -> None:
    large = ("clip.frames=16", "clip.crop=112", "clip.short_side=[112,112]")
    given = options(seven_each, tmp_path, *large)
    assert outcome(lambda: train(compose_train(given))).startswith("OSError: no room for a batch")
    views = {"clips": 10, "crops": 3, "micro_batch": 30, "workers": 2, "out": tmp_path / "out"}
    said = outcome(lambda: evaluate(checkpoint, TestOptions(data=seven_each, **views)))
    assert said.startswith("OSError: no room for a batch")


def test_a_worker_that_was_stopped(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TrainingClips.__getitem__

    def stop(clips: TrainingClips, key: tuple[int, int]) -> Any:
        if get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGSTOP)
        return plain(clips, key)

    monkeypatch.setattr(TrainingClips, "__getitem__", stop)
    monkeypatch.setattr(workers, "LOOK", 0.5)
    monkeypatch.setattr(workers, "SILENT", 2.0)
    with pytest.raises(TimeoutError, match="no batch within 2 s from 2 decoding workers"):
        train(compose_train(options(seven_each, tmp_path)))


@pytest.mark.slow
def test_workers_decode_only_what_a_short_epoch_takes(
    seven_each: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TrainingClips.__getitem__
    decoded = FORK.Value("i", 0)

    def counted(clips: TrainingClips, key: tuple[int, int]) -> Any:
        with decoded.get_lock():
            decoded.value += 1
        return plain(clips, key)

    monkeypatch.setattr(TrainingClips, "__getitem__", counted)
    short = ("epochs=2", "steps_per_epoch=1", "batch_size=4", "accumulate=2")
    train(compose_train(options(seven_each, tmp_path, *short)))
    assert decoded.value == 2 * 4


@pytest.mark.slow
def test_a_signal_in_a_validation_does_not_wait_for_workers(
    seven_each: Path, tmp_path: Path
) -> None:
    def endless(plain: Any) -> Any:
        def views(self: VideoViews, video: int) -> Iterator[Sample]:
            if video > self.rows[0]:
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
                time.sleep(1000)
            yield from plain(self, video)

        return views

    val = (
        loop,
        "validation_step",
        lambda plain: at_call(1, send(signal.SIGTERM), plain),
    )
    given = options(seven_each, tmp_path, "test.micro_batch=1", "steps_per_epoch=1")
    assert run_forked(given, (VideoViews, "views", endless), val) == 143
