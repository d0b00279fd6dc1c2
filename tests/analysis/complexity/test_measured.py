"""What is measured in a process of its own; no test times anything."""

import pytest

from video_gc.analysis.complexity import measured, measured_cost
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig, build_model

MODEL = ModelConfig(backbone="slow", width=0.5, num_classes=10)
CLIP = ClipConfig(frames=2, crop=32, short_side=[32, 32], test_crop=32, test_short_side=32)


def test_a_training_holds_weights_gradients_and_momentum() -> None:
    weights = sum(p.nbytes for p in build_model(MODEL).parameters()) / (1 << 20)
    assert weights > 30
    test, train = (measured_cost(MODEL, CLIP, train=train, seconds=0) for train in (False, True))
    assert weights < test.peak_mib < 1.5 * weights
    assert 3 * weights < train.peak_mib < 4.5 * weights
    assert test.seconds > 0
    assert test.runs >= 1


def test_a_process_that_dies_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "CHILD", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(ChildProcessError, match=r"slow R50, test, 3 × 2×32² on cpu: .* no memory"):
        measured_cost(MODEL, CLIP, batch=3, train=False)
    monkeypatch.setattr(measured, "CHILD", "import os; os.abort()")
    with pytest.raises(ChildProcessError, match="ended with SIGABRT"):
        measured_cost(MODEL, CLIP, train=False)
    monkeypatch.setattr(measured, "CHILD", "raise SystemError('of all things')")
    with pytest.raises(ChildProcessError, match="status 1: SystemError: of all things"):
        measured_cost(MODEL, CLIP, train=False)


def test_more_memory_than_there_is_and_clips_that_do_not_fit() -> None:
    with pytest.raises(ChildProcessError, match="allocate .* smaller batch or clip"):
        measured_cost(MODEL, CLIP, batch=10**9, train=False)
    with pytest.raises(ValueError, match="1 GPUs|0 GPUs"):
        measured_cost(MODEL, CLIP, device="cuda:1", train=False)
