"""The frames of windows in videos of any frame rate."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.deploy.test_contract import CONTRACT
from video_gc.predict.views import ahead, window_frames


def spans(reader: Any, **changed: Any) -> np.ndarray:
    """Seconds from the first frame of each window to its last."""
    windows = window_frames(replace(CONTRACT, **changed), reader)
    return np.asarray(reader.times[windows[:, -1]] - reader.times[windows[:, 0]])


@pytest.mark.parametrize("offsets", ["mmaction2", "pyslowfast"])
def test_a_window_lasts_as_long_as_the_contract_says(offsets: str) -> None:
    reader = SimpleNamespace(times=np.arange(90) / 30, rate=30.0, path="even.mp4", decoder="pyav")
    contract = replace(CONTRACT, offsets=offsets)
    assert contract.seconds is not None
    assert np.allclose(spans(reader, offsets=offsets), contract.seconds)


def test_an_uneven_video_with_the_mean_rate_of_the_training_is_sampled_by_time() -> None:
    times = np.append(np.arange(30) / 15, 2 + np.arange(60) / 60)  # 90 frames in 3 s
    reader = SimpleNamespace(times=times, rate=30.0, path="phone.mp4", decoder="pyav")
    assert abs(spans(reader) - 6 / 30).max() < 1 / 15  # 4×2 at 30 Hz; less than a frame's time
    counted = spans(reader, fps=None)
    assert np.allclose(counted[[0, -1]], [6 / 15, 6 / 60])


def test_one_item_is_made_ahead_and_none_after_the_end() -> None:
    made: list[int] = []
    asked = threading.Event()

    def items() -> Iterator[int]:
        for number in range(4):
            made.append(number)
            if number == 1:
                asked.set()
            yield number

    with closing(ahead(items())) as coming:
        assert next(coming) == 0
        assert asked.wait(60)  # 1 is made while 0 is used
        assert made == [0, 1]
    assert made == [0, 1]
    assert list(ahead(items())) == [0, 1, 2, 3]
    assert list(ahead(iter([]))) == []


def test_an_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise OSError("the file is gone")

    coming = ahead(items())
    assert next(coming) == 0
    with pytest.raises(OSError, match="the file is gone"):
        next(coming)
