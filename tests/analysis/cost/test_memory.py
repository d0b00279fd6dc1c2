"""Peak memory, in a process of its own."""

import os
import signal

import pytest

from video_gc.analysis.cost import memory, peak_memory
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig, build_model
from video_gc.subprocess_call import ProcessDied

MODEL = ModelConfig(backbone="slow", width=0.5, num_classes=10)
CLIP = ClipConfig(frames=2, crop=32, short_side=[32, 32], test_crop=32, test_short_side=32)


@pytest.mark.slow
def test_a_training_holds_weights_gradients_and_momentum() -> None:
    weights = sum(p.nbytes for p in build_model(MODEL).parameters()) / (1 << 20)
    assert weights > 30
    assert 3 * weights < peak_memory(MODEL, CLIP, train=True) < 4.5 * weights


def killed(*_: object) -> float:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def aborted(*_: object) -> float:
    os.abort()


def broken(*_: object) -> float:
    raise SystemError("of all things")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("SIGKILL", r"slow R50 .width 0.5., test, 3 × 2×32² on cpu: .* no memory"),
        ("SIGABRT", "ended with SIGABRT"),
        ("exit code 1: SystemError: of all things", "exit code 1: SystemError: of all things"),
    ],
)
def test_why_a_process_died(monkeypatch: pytest.MonkeyPatch, reason: str, message: str) -> None:
    def died(*_: object) -> float:
        raise ProcessDied(reason)

    monkeypatch.setattr(memory, "call_in_new_process", died)
    with pytest.raises(ChildProcessError, match=message):
        peak_memory(MODEL, CLIP, batch=3, train=False)


@pytest.mark.slow
def test_a_process_that_dies_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_peak", killed)
    with pytest.raises(
        ChildProcessError, match=r"slow R50 .width 0.5., test, 3 × 2×32² on cpu: .* no memory"
    ):
        peak_memory(MODEL, CLIP, batch=3, train=False)
    monkeypatch.setattr(memory, "_peak", aborted)
    with pytest.raises(ChildProcessError, match="ended with SIGABRT"):
        peak_memory(MODEL, CLIP, train=False)
    monkeypatch.setattr(memory, "_peak", broken)
    with pytest.raises(ChildProcessError, match="SystemError: of all things"):
        peak_memory(MODEL, CLIP, train=False)


@pytest.mark.slow
def test_a_test_holds_weights_and_little_more() -> None:
    weights = sum(p.nbytes for p in build_model(MODEL).parameters()) / (1 << 20)
    assert weights < peak_memory(MODEL, CLIP, train=False) < 1.5 * weights


@pytest.mark.slow
def test_more_memory_than_there_is_and_clips_that_do_not_fit() -> None:
    with pytest.raises(ChildProcessError, match="allocate .* smaller batch or clip"):
        peak_memory(MODEL, CLIP, batch=10**9, train=False)
    with pytest.raises(ValueError, match="this machine has"):
        peak_memory(MODEL, CLIP, device="cuda:64", train=False)
