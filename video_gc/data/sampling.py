"""The frames of a video in a clip. Arithmetic only: no files, no frames.

A dense clip is T frames, τ apart; it spans (T - 1) τ + 1 frames of the video. With `target_fps` it
spans (T - 1) τ / target_fps seconds at any frame rate, and has the frame shown at each instant. A
clip of segments (TSN, Wang et al., ECCV 2016) has one frame from each of T equal parts of the
video.
"""

from dataclasses import dataclass, field, replace

import numpy as np

SAMPLING = ("dense", "segments")
OFFSETS = ("mmaction2", "pyslowfast")
PAST_END = ("repeat", "loop")
TOLERANCE = 1e-3
"""Seconds; some containers (Matroska) store whole milliseconds."""
MOST_WINDOWS = 1_000_000
ROUNDING = 1e-6
"""Of a frame: an instant at most this much before a frame belongs to that frame."""


@dataclass(kw_only=True)
class ClipConfig:
    """The frames and crops of one forward pass: T frames at stride τ.

    Both pathways of SlowFast use one clip, the fast one: the network picks the slow pathway's
    frames from it, so they are decoded once.
    """

    frames: int = 8
    """T, frames in a clip"""
    stride: int = 8
    """τ, distance of the clip's frames, in frames of the video"""
    target_fps: float | None = None
    """frame rate for `stride`, Hz, for videos of any rate; default: the video's own"""
    sampling: str = "dense"
    """dense (T frames, τ apart), or segments (TSN: one frame of each of T parts of the video)"""
    offsets: str = "mmaction2"
    """position and length of clips in training and tests: as in mmaction2 or pyslowfast;
    pyslowfast's T frames span T·τ of the video, mmaction2's (T − 1)·τ + 1"""
    past_end: str = "repeat"
    """in a video shorter than a clip: repeat the last frame (PySlowFast), or loop (MMAction2)"""
    repeats: int = 1
    """training clips from each decode of a video, each with its own frames, crop and draws"""
    crop: int = 224
    """height and width of a training crop, pixels"""
    short_side: list[int] = field(default_factory=lambda: [256, 320])
    """smallest and largest short side after scaling in training, pixels"""
    crop_area: list[float] | None = None
    """smallest and largest share of the picture: random-resized crops instead of short_side"""
    crop_aspect: list[float] = field(default_factory=lambda: [3 / 4, 4 / 3])
    """narrowest and widest random-resized crop, width / height"""
    test_crop: int = 256
    """height and width of a test crop, pixels"""
    test_short_side: int = 256
    """short side at test time, pixels"""

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "repeats", "crop", "test_crop", "test_short_side"):
            if getattr(self, name) < 1:
                raise ValueError(f"clip.{name} ({getattr(self, name)}) must be at least 1")
        for name, choices in (("sampling", SAMPLING), ("offsets", OFFSETS), ("past_end", PAST_END)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"clip.{name} ({getattr(self, name)!r}) must be one of {', '.join(choices)}"
                )
        if self.target_fps is not None and not self.target_fps > 0:
            raise ValueError(f"clip.target_fps ({self.target_fps}) must be above 0")
        if len(self.short_side) != 2 or self.short_side[0] > self.short_side[1]:
            raise ValueError(f"clip.short_side ({self.short_side}) must be [smallest, largest]")
        for name, most in (("crop_area", 1.0), ("crop_aspect", float("inf"))):
            pair = getattr(self, name)
            if pair is not None and (len(pair) != 2 or not 0 < pair[0] <= pair[1] <= most):
                raise ValueError(f"clip.{name} ({pair}) must be [smallest, largest] above 0")
        if self.crop_area is None and self.crop > self.short_side[0]:
            raise ValueError(
                f"clip.crop ({self.crop}) must not exceed clip.short_side ({self.short_side[0]})"
            )
        if self.test_crop > self.test_short_side:
            raise ValueError(
                f"clip.test_crop ({self.test_crop}) must not exceed "
                f"clip.test_short_side ({self.test_short_side})"
            )

    @property
    def test_shape(self) -> tuple[int, int, int]:
        """(T, H, W) of a test clip."""
        return self.frames, self.test_crop, self.test_crop

    def span(self, rate: float) -> int:
        """Frames of a video of `rate` Hz needed to fill a clip."""
        if self.sampling == "segments":
            return self.frames
        pace = self.pace(rate) or 1
        if self.offsets == "pyslowfast":
            return int(max(self.frames * self.stride * pace, 1.0) - 1 + ROUNDING) + 1
        return int((self.frames - 1) * self.stride * pace + ROUNDING) + 1

    def pace(self, rate: float) -> float | None:
        """Frames of a video of `rate` Hz per frame at target_fps; None without target_fps."""
        return None if self.target_fps is None else rate / self.target_fps


@dataclass(frozen=True)
class FrameRange:
    """The frames of a video that may be sampled: all, or those of a segment."""

    first: int
    count: int
    rate: float
    """mean frame rate, Hz"""
    times: np.ndarray | None = None
    """seconds of each frame if uneven; without target_fps, frames are counted anyway"""

    @property
    def length(self) -> float:
        """Its duration in mean frame intervals: `count` if the rate is even."""
        if self.times is None:
            return self.count
        return float(self.times[-1] - self.times[0]) * self.rate + 1

    def frames_at(self, positions: np.ndarray, past_end: str = "repeat") -> np.ndarray:
        """The frame shown at each position.

        positions: mean frame intervals since the first frame of the part.
        past_end: after the end, repeat the last frame or loop from the first.
        """
        if self.times is None:
            found = np.floor(positions + ROUNDING).astype(np.int64)
            found = found % self.count if past_end == "loop" else found
        else:
            positions = positions % self.length if past_end == "loop" else positions
            instants = self.times[0] + positions / self.rate + TOLERANCE
            found = np.searchsorted(self.times, instants, side="right") - 1
        return self.first + np.clip(found, 0, self.count - 1)


def frame_range(
    times: np.ndarray, rate: float, segment: tuple[float, float] | None = None
) -> FrameRange:
    """The part of a video in `segment`, (start, end) in seconds; all of it without a segment.

    times: start of each frame, rising, seconds. A frame belongs to the segment in which it starts;
    a segment too short to contain a start has the frame shown at that time.

    Raises ValueError if the segment lies outside the video.
    """
    first, stop = 0, len(times)
    if segment is not None:
        start, end = segment
        if not start < end or start >= times[-1] + 1 / rate or end <= times[0]:
            raise ValueError(
                f"the segment {start:g}…{end:g} s lies outside the video, which ends at "
                f"{times[-1] + 1 / rate:g} s"
            )
        first, stop = (int(n) for n in np.searchsorted(times, np.array(segment) - TOLERANCE))
        if first == stop:
            first, stop = max(stop - 1, 0), max(stop, 1)
    own = times[first:stop]
    even = np.linspace(own[0], own[-1], len(own))
    uneven = bool((np.abs(own - even) > TOLERANCE).any())
    if len(own) > 1:  # nor may its rate differ from the file's mean
        uneven |= abs((even[1] - even[0]) * rate - 1) > 0.01
    return FrameRange(first, stop - first, rate, own if uneven else None)


def training_clip(clip: ClipConfig, part: FrameRange, random: np.random.Generator) -> np.ndarray:
    """Frame indices (T,) of a training clip anywhere in `part`."""
    if clip.sampling == "segments":
        return part.first + segment_frames(part.count, random.random(clip.frames))
    pace = clip.pace(part.rate)
    if clip.offsets == "pyslowfast":
        part = part if pace else replace(part, times=None)
        steps, span = _spread(clip.frames, clip.stride, pace)
        start = random.uniform(0, max(part.length - span, 0))
        return part.frames_at(start + steps, clip.past_end)
    if pace is None:
        own = random_clip(part.count, clip.frames, clip.stride, random, clip.past_end)
        return part.first + own
    span = (clip.frames - 1) * clip.stride * pace
    start = random.uniform(0, max(part.length - span, 0))
    return part.frames_at(start + clip.stride * pace * np.arange(clip.frames), clip.past_end)


def fixed_clips(clip: ClipConfig, part: FrameRange, clips: int) -> np.ndarray:
    """Frame indices (K, T) of the K test clips of `part`; see `offsets`.

    For segments, clip k has the frame at (k + 1/2) / K of each: the middle one, for one clip.
    """
    if clip.sampling == "segments":
        places = np.repeat((np.arange(clips)[:, None] + 0.5) / clips, clip.frames, axis=1)
        return part.first + segment_frames(part.count, places)
    positions = pyslowfast_clips if clip.offsets == "pyslowfast" else mmaction2_clips
    pace = clip.pace(part.rate)
    part = part if pace else replace(part, times=None)
    found = positions(part.length, clip.frames, clip.stride, clips, pace)
    return part.frames_at(found, clip.past_end)


def window_clips(clip: ClipConfig, part: FrameRange, overlap: float = 0.0) -> np.ndarray:
    """Frame indices (K, T) of clips that cover `part`, from its start to its end.

    overlap: the share of a clip that the next one sees too, in [0, 1).
    Raises ValueError for more than MOST_WINDOWS of them: time stamps may claim any duration.
    """
    if clip.sampling == "segments":
        return fixed_clips(clip, part, 1)
    pace = clip.pace(part.rate) or 1.0
    part = part if clip.target_fps else replace(part, times=None)
    if clip.offsets == "pyslowfast":
        steps, span = _spread(clip.frames, clip.stride, pace)
    else:
        steps = clip.stride * pace * np.arange(clip.frames)
        span = (clip.frames - 1) * clip.stride * pace + 1
    step = max((1 - overlap) * span, 1.0)
    if part.length / step > MOST_WINDOWS:
        seconds = f"{part.length / part.rate:,.0f} s by its {part.count} time stamps"
        raise ValueError(f"lasts {seconds}: more than {MOST_WINDOWS:,} windows")
    starts = consecutive_starts(part.length, span, step)
    return part.frames_at(starts[:, None] + steps, clip.past_end)


def random_clip(
    length: int, frames: int, stride: int, random: np.random.Generator, past_end: str = "repeat"
) -> np.ndarray:
    """Indices (T,) of a dense clip with a random start in a video of `length` frames."""
    last_start = max(length - (frames - 1) * stride - 1, 0)
    indices = int(random.integers(last_start + 1)) + stride * np.arange(frames)
    return indices % length if past_end == "loop" else np.minimum(indices, length - 1)


def segment_frames(length: int, places: np.ndarray) -> np.ndarray:
    """One frame of each of T equal parts of a video of `length` frames: indices like `places`.

    places: (…, T), position of each frame in its part, in [0, 1). With fewer frames than parts,
    frames repeat.
    """
    parts = places.shape[-1]
    found = np.floor((np.arange(parts) + places) * length / parts + ROUNDING)
    return np.minimum(found.astype(np.int64), length - 1)


def mmaction2_clips(
    length: float, frames: int, stride: int, clips: int, pace: float | None = None
) -> np.ndarray:
    """Positions (K, T) of test clips as in MMAction2's SampleFrames.

    A clip spans (T - 1) τ + 1 frames; K starts are spread from the first frame to the last possible
    start and rounded (half to even); a single clip is centred. A clip of one frame is the middle
    frame of each of K equal parts. With a `pace` (frames per frame at the target rate) a clip spans
    T τ pace, the distance of two starts is rounded down, and the T frames are spread from the
    clip's first to its last, as in PySlowFast.

    100 frames, T = 4, τ = 8, 3 clips: starts 0, 38, 75; the first clip is 0, 8, 16, 24.
    `pyslowfast_clips` starts at 0, 22.67, 45.33, and its first clip is 0, 10, 20, 31.
    By default MMAction2 loops in short videos (past_end=loop).
    """
    span = (frames - 1) * stride + 1 if pace is None else max(frames * stride * pace, 1.0)
    room = max(length - span, 0)
    if frames == 1:
        starts = np.floor(np.arange(clips) * (length / clips) + length / clips / 2)
    elif clips == 1:
        starts = np.array([room // 2])
    elif pace is None:
        starts = np.round(np.arange(clips) * room / (clips - 1))
    else:
        starts = np.arange(clips) * (room // (clips - 1))
    if pace is None:
        return starts[:, None] + stride * np.arange(frames)
    return starts[:, None] + np.floor(np.linspace(0, span - 1, frames) + ROUNDING)


def pyslowfast_clips(
    length: float, frames: int, stride: int, clips: int, pace: float | None = None
) -> np.ndarray:
    """Positions (K, T) of test clips as in PySlowFast's decoder.

    A clip spans T τ pace frames, not (T - 1) τ + 1. Start k of K is at k / K of the remaining room,
    so a single clip starts with the video and no clip ends with it. The T frames are spread from
    the clip's first to its last: 8×8 takes every ninth frame. Nothing is rounded before the frames
    are picked, then downwards. Short videos repeat their last frame. PySlowFast counts in float32,
    so about one clip of 600 has a frame one earlier or later. For an example see `mmaction2_clips`.
    """
    steps, span = _spread(frames, stride, pace)
    starts = max(length - span, 0) * np.arange(clips) / clips
    return starts[:, None] + steps


def _spread(frames: int, stride: int, pace: float | None) -> tuple[np.ndarray, float]:
    """Positions (T,) in a PySlowFast clip from its start, and the length of video that it spans."""
    span = max(frames * stride * (pace or 1.0), 1.0)
    return np.linspace(0, span - 1, frames), span


def consecutive_starts(length: float, span: float, step: float) -> np.ndarray:
    """Starts (K,) of windows of `span`, `step` apart; the last ends with the video."""
    last_start = max(length - span, 0)
    return np.append(np.arange(0, last_start - ROUNDING, step), last_start)
