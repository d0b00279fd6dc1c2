"""Frame numbers against tables made by hand from the published formulas, and what always holds."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from video_gc.data.sampling import (
    ClipConfig,
    FrameRange,
    fixed_clips,
    frame_range,
    mmaction2_clips,
    pyslowfast_clips,
    random_clip,
    segment_frames,
    training_clip,
    window_clips,
)

LENGTH, FRAMES, STRIDE = st.integers(1, 400), st.integers(1, 32), st.integers(1, 8)
SEED, RATE = st.integers(0, 2**31), st.floats(5, 120)


def config(frames: int, stride: int, **options: object) -> ClipConfig:
    return ClipConfig(frames=frames, stride=stride, **options)  # type: ignore[arg-type]


def uneven(random: np.random.Generator, length: int) -> np.ndarray:
    return np.append(0, np.cumsum(random.uniform(0.01, 0.2, length - 1)))


@given(LENGTH, FRAMES, STRIDE, SEED)
def test_random_clips_are_dense_and_inside(
    length: int, frames: int, stride: int, seed: int
) -> None:
    clip = random_clip(length, frames, stride, np.random.default_rng(seed))
    assert clip.shape == (frames,)
    assert clip[0] >= 0
    assert clip[-1] < length
    steps = np.diff(clip)
    if (frames - 1) * stride < length:
        assert (steps == stride).all()
    else:  # shorter than the span: starts at 0, the last frame is repeated
        assert clip[0] == 0
        assert clip[-1] == length - 1
        assert set(steps) <= {*range(stride + 1)}


def test_random_clips_start_anywhere() -> None:
    random = np.random.default_rng(0)
    starts = {int(random_clip(12, 3, 4, random)[0]) for _ in range(200)}
    assert starts == {0, 1, 2, 3}
    at_30 = config(3, 4, target_fps=30.0)
    starts = {int(training_clip(at_30, FrameRange(0, 12, 30.0), random)[0]) for _ in range(200)}
    assert starts == {0, 1, 2, 3}
    looped = random_clip(5, 4, 2, random, "loop")
    assert looped.tolist() == [0, 2, 4, 1]


@given(LENGTH, FRAMES, STRIDE, st.sampled_from([15.0, 24.0, 30.0, 60.0]), RATE, SEED)
def test_at_a_target_rate_a_clip_spans_the_same_seconds(
    length: int, frames: int, stride: int, target: float, rate: float, seed: int
) -> None:
    clip = config(frames, stride, target_fps=target)
    found = training_clip(clip, FrameRange(0, length, rate), np.random.default_rng(seed))
    assert found.shape == (frames,)
    assert 0 <= found[0] <= found[-1] < length
    seconds = (frames - 1) * stride / target
    if seconds < length / rate:
        # each end is at most one frame interval away from its instant
        assert abs((found[-1] - found[0]) / rate - seconds) <= 1 / rate + 1e-5
    else:
        assert (found[0], found[-1]) == (0, length - 1)


@given(st.integers(2, 200), FRAMES, STRIDE, SEED)
def test_in_uneven_video_each_frame_is_the_one_that_is_shown(
    length: int, frames: int, stride: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    times = uneven(random, length)
    rate = length / (times[-1] + 0.1)
    clip = config(frames, stride, target_fps=24.0)
    found = training_clip(clip, frame_range(times, rate), np.random.default_rng(seed))
    # an independent account: draw the same start, and look for each instant's frame one by one
    span = (frames - 1) * stride / 24.0
    whole = times[-1] + 1 / rate
    start = np.random.default_rng(seed).uniform(0, max(whole - span, 0) * rate) / rate
    for place, index in enumerate(found):
        instant = start + place * stride / 24.0
        shown = max(i for i, time in enumerate(times) if time <= instant + 1.0001e-3)
        earlier = max([i for i, time in enumerate(times) if time <= instant + 0.9999e-3] or [0])
        assert index in (shown, earlier)


def test_whole_milliseconds_do_not_make_a_rate_uneven() -> None:
    times = np.round(np.arange(300) / 30, 3)  # as Matroska keeps them
    assert frame_range(times, 30.0).times is None
    clips = fixed_clips(config(8, 8, target_fps=30.0), frame_range(times, 30.0), 10)
    assert (clips == fixed_clips(config(8, 8, target_fps=30.0), FrameRange(0, 300, 30.0), 10)).all()
    times[200:] += 0.5  # a gap
    assert frame_range(times, 30.0).times is not None


@given(LENGTH, FRAMES, SEED)
def test_segments_see_one_frame_of_each_part(length: int, frames: int, seed: int) -> None:
    clip = config(frames, 1, sampling="segments")
    found = training_clip(clip, FrameRange(5, length, 30.0), np.random.default_rng(seed)) - 5
    for part, frame in enumerate(found):
        assert math.floor(part * length / frames) <= frame <= (part + 1) * length / frames
        assert 0 <= frame < length
    middle = fixed_clips(clip, FrameRange(0, length, 30.0), 1)[0]
    # MMAction2's test frames for clip_len=1: k L / T + L / (2 T), rounded down
    assert middle.tolist() == [
        min(length * (2 * part + 1) // (2 * frames), length - 1) for part in range(frames)
    ]


def test_every_frame_can_be_drawn_in_segments() -> None:
    random = np.random.default_rng(0)
    found = [segment_frames(10, random.random(3)) for _ in range(300)]
    assert {int(n) for row in found for n in row} == {*range(10)}
    assert segment_frames(2, np.array([0.0, 0.5, 0.0, 0.9])).tolist() == [0, 0, 1, 1]


def test_past_the_end_of_a_short_video() -> None:
    clip = config(4, 8, past_end="loop")
    assert fixed_clips(clip, FrameRange(0, 20, 30.0), 1).tolist() == [[0, 8, 16, 4]]
    assert fixed_clips(clip, FrameRange(7, 20, 30.0), 1).tolist() == [[7, 15, 23, 11]]
    times = np.array([0, 0.1, 0.5, 0.9])  # shown until 1.15 at 4 Hz on the mean
    part = FrameRange(0, 4, 4.0, times)
    assert part.frames_at(np.array([0, 2, 4, 4.7]), "loop").tolist() == [0, 2, 3, 0]
    assert part.frames_at(np.array([0, 2, 4, 4.7])).tolist() == [0, 2, 3, 3]


@given(LENGTH, FRAMES, STRIDE, st.integers(1, 12), st.none() | st.floats(0.2, 4))
def test_fixed_clips_rise_from_the_start_and_stay_inside(
    length: int, frames: int, stride: int, clips: int, pace: float | None
) -> None:
    for count in (mmaction2_clips, pyslowfast_clips):
        positions = count(length, frames, stride, clips, pace)
        assert positions.shape == (clips, frames)
        assert (np.diff(positions, axis=0) >= 0).all()
        assert (np.diff(positions, axis=1) >= 0).all()
        middle = clips == 1 or (frames == 1 and count is mmaction2_clips)
        assert positions[0, 0] == 0 or middle
        if positions[0, -1] - positions[0, 0] < length - frames * stride * (pace or 1):
            assert positions.max() <= length - 1 + 1e-6


@given(LENGTH, FRAMES, STRIDE, st.none() | st.floats(10, 60), st.sampled_from([0, 0.5, 0.8]))
def test_windows_see_the_start_and_the_end(
    length: int, frames: int, stride: int, target: float | None, overlap: float
) -> None:
    clip = config(frames, stride, target_fps=target)
    windows = window_clips(clip, FrameRange(0, length, 30.0), overlap)
    assert windows[0, 0] == 0
    assert windows.max() == length - 1
    span = (frames - 1) * stride * (30.0 / target if target else 1) + 1
    step = max((1 - overlap) * span, 1)
    assert (np.diff(windows[:, 0]) <= math.ceil(step)).all()
    assert len(windows) <= max(length - span, 0) // step + 2
    if not target:
        assert (np.diff(windows[:-1, 0]) >= math.floor(step)).all()  # the last ends with the video


@given(st.integers(1, 300), st.floats(0, 8), st.floats(0.01, 8), RATE, FRAMES, SEED)
def test_a_segment_is_never_left(
    length: int, start: float, seconds: float, rate: float, frames: int, seed: int
) -> None:
    times = np.arange(length) / rate
    segment = (start, start + seconds)
    if start >= length / rate:
        with pytest.raises(ValueError, match="lies outside the video, which ends at"):
            frame_range(times, rate, segment)
        return
    part = frame_range(times, rate, segment)
    random = np.random.default_rng(seed)
    for clip in (config(frames, 2), config(frames, 2, target_fps=20.0), config(frames, 1)):
        both = np.append(training_clip(clip, part, random), fixed_clips(clip, part, 3))
        inside = [i for i, t in enumerate(times) if start <= t + 1e-3 < segment[1]]
        shown = [max(i for i, t in enumerate(times) if t <= max(start, segment[1] - 1e-3))]
        assert set(both) <= set(inside or shown)


def test_without_a_target_rate_frames_are_counted_however_long_they_are_shown() -> None:
    part = frame_range(uneven(np.random.default_rng(0), 60), 12.0, (1.0, 4.0))
    assert part.times is not None
    counted = FrameRange(part.first, part.count, 12.0)
    for clip in (config(4, 2), config(4, 2, offsets="pyslowfast"), config(3, 1, past_end="loop")):
        assert (fixed_clips(clip, part, 4) == fixed_clips(clip, counted, 4)).all()
        assert (window_clips(clip, part) == window_clips(clip, counted)).all()


def test_a_segment_counts_from_its_first_frame() -> None:
    part = frame_range(np.arange(100) / 10, 10.0, (2.0, 4.0))
    assert (part.first, part.count) == (20, 20)
    assert fixed_clips(config(3, 2), part, 2).tolist() == [[20, 22, 24], [35, 37, 39]]
    assert frame_range(np.arange(100) / 10, 10.0, (9.0, float("inf"))).count == 10


def test_both_rates_of_slowfast_are_in_one_clip() -> None:
    """PySlowFast spreads the slow frames from the first fast frame to the last."""
    from video_gc.backbones.slowfast import split_pathways

    fast = fixed_clips(config(32, 2), FrameRange(0, 90, 30.0), 1)[0]
    clip = torch.from_numpy(fast).view(1, 1, 32, 1, 1)
    ((slow, same),) = split_pathways(torch.nn.Identity(), (clip,))
    assert same is clip
    assert slow.flatten().tolist() == fast[[0, 4, 8, 13, 17, 22, 26, 31]].tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frames": 0}, r"clip.frames \(0\) must be at least 1"),
        ({"repeats": 0}, r"clip.repeats \(0\) must be at least 1"),
        ({"short_side": [320, 256]}, r"must be \[smallest, largest\]"),
        ({"crop": 300}, r"clip.crop \(300\) must not exceed clip.short_side \(256\)"),
        ({"test_crop": 257}, r"clip.test_crop \(257\) must not exceed"),
        ({"target_fps": 0.0}, r"clip.target_fps \(0.0\) must be above 0"),
        ({"offsets": "even"}, r"clip.offsets \('even'\) must be one of mmaction2, pyslowfast"),
        ({"sampling": "tsn"}, r"clip.sampling \('tsn'\) must be one of dense, segments"),
        ({"past_end": "stop"}, r"clip.past_end \('stop'\) must be one of repeat, loop"),
        ({"crop_area": [0.2, 1.2]}, r"clip.crop_area \(\[0.2, 1.2\]\) must be"),
    ],
)
def test_impossible_clips(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipConfig(**values)
