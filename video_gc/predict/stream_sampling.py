"""The frames of a stream that the network sees, picked and made small as they come.

Instants lie on a grid, one clip stride apart, that begins at the first frame. The first frame at or
after an instant is its sample: nothing waits for a later frame, and a video at the training's rate
has the frames of the training.
"""

import math
import time
from collections import deque
from datetime import UTC, datetime
from statistics import median_low
from typing import Any, NamedTuple

import numpy as np

from video_gc.data.crops import crop_boxes, scaled_size
from video_gc.data.reading import crop_frames
from video_gc.data.sampling import ROUNDING, TOLERANCE
from video_gc.decode.whole_frames import FrameReader
from video_gc.deploy.contract import Contract

PAUSE, INTERVALS = 3, 9
"""A gap is longer than so many times the median of the source's last intervals."""


class Sample(NamedTuple):
    """A frame of the source that the network sees."""

    picture: np.ndarray
    """uint8 (crop, crop, 3)"""
    seconds: float
    number: int
    """of the frame in the source, from 1"""


class SampledClip(NamedTuple):
    """A window that is to be scored."""

    samples: tuple[Sample, ...]
    """T of them, oldest first"""
    part: int
    """the number of gaps before it"""
    came: float
    """when its last frame came: monotonic seconds"""
    time: datetime
    """the same by this machine's clock, UTC"""


class Sampler:
    """Picks the frames of windows: T samples, on a grid that begins at the first frame."""

    def __init__(self, contract: Contract, every: int, pause: float) -> None:
        """every: samples, pause: seconds from one window's end to the next, at least."""
        self.contract, self.every, self.pause = contract, every, pause
        self.step = step_of(contract)
        self._ring: deque[Sample] = deque(maxlen=contract.frames)
        self._number, self._part, self._last = 0, -1, float("nan")
        self._intervals: deque[float] = deque(maxlen=INTERVALS)
        """seconds between the last frames"""
        self._origin, self._count, self._taken = 0.0, 0, 0
        """since the last gap: seconds of its first frame, frames, samples"""
        self._due_taken, self._due_seconds = 0, -math.inf
        """samples and seconds at the end of the window before"""

    def add(self, picture: Any, seconds: float, gap: bool = False) -> SampledClip | None:
        """The window that this frame completes.

        Raises ValueError for a time that is no number, or a picture of another shape.
        """
        came, now = time.monotonic(), datetime.now(UTC)
        if not math.isfinite(seconds):
            raise ValueError(f"a frame's time ({seconds}) must be a number of seconds")
        timed = self.contract.fps is not None
        if gap or not 0 <= seconds - self._last <= self._longest:  # also at first: _last is nan
            self._restart(seconds)
        if not gap and seconds > self._last:
            self._intervals.append(seconds - self._last)
        self._number, self._last = self._number + 1, seconds
        place = seconds - self._origin if timed else self._count
        self._count += 1
        rounding = TOLERANCE if timed else ROUNDING
        due = math.floor((place + rounding) / self.step) + 1 - self._taken  # instants
        if due <= 0:
            return None
        sample = Sample(small(picture, self.contract), seconds, self._number)
        self._ring.extend([sample] * min(due, self.contract.frames))
        self._taken += due
        if len(self._ring) < self.contract.frames:
            return None
        if self._taken - self._due_taken < self.every:
            return None
        if seconds - self._due_seconds < self.pause - TOLERANCE:
            return None
        self._due_taken, self._due_seconds = self._taken, seconds
        return SampledClip(tuple(self._ring), self._part, came, now)

    @property
    def _longest(self) -> float:
        """Seconds; a longer pause is a gap: than a window, and than some of the source's own
        intervals, so that a slow camera has windows too, in which frames repeat."""
        if self.contract.fps is None:
            return math.inf
        usual = median_low(self._intervals) if self._intervals else 0.0
        return max(self.step * self.contract.frames, PAUSE * usual)

    def _restart(self, seconds: float) -> None:
        self._ring.clear()
        self._origin, self._part = seconds, self._part + 1
        self._count, self._taken = 0, 0
        self._due_taken, self._due_seconds = 0, -math.inf


def step_of(contract: Contract) -> float:
    """Distance of a clip's frames: seconds, or frames of the source if the rate is unknown."""
    step = float(contract.stride)
    if contract.offsets == "pyslowfast" and contract.frames > 1:  # spread from first to last
        step = (contract.frames * contract.stride - 1) / (contract.frames - 1)
    return step if contract.fps is None else step / contract.fps


def small(picture: Any, contract: Contract) -> np.ndarray:
    """The centre of a frame as the network sees it: uint8 (crop, crop, 3).

    Raises ValueError if it is no frame uint8 (H, W, 3).
    """
    reader = FrameReader([picture])
    size = scaled_size(reader.size, contract.short_side)
    scaled = reader.read([0], size=size)
    return crop_frames(scaled, crop_boxes(size, contract.crop, 1)[0])[0].copy()
