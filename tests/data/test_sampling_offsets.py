"""Test clips against tables made by hand and against the two formulas that they are to follow."""

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
    pyslowfast_clips,
    training_clip,
    window_clips,
)

LENGTH, FRAMES, STRIDE = st.integers(1, 400), st.integers(1, 32), st.integers(1, 8)


def config(frames: int, stride: int, **options: object) -> ClipConfig:
    return ClipConfig(frames=frames, stride=stride, **options)  # type: ignore[arg-type]


MMACTION2 = [  # frames, T, τ, clips, rate and target → frames of the clips, by hand
    # room 75: starts 0, 37.5 → 38, 75
    ((100, 4, 8, 3, None), [[0, 8, 16, 24], [38, 46, 54, 62], [75, 83, 91, 99]]),
    # room 73: starts 0, 36.5 → 36 (half to even), 73
    ((98, 4, 8, 3, None), [[0, 8, 16, 24], [36, 44, 52, 60], [73, 81, 89, 97]]),
    # one clip: room 75 // 2
    ((100, 4, 8, 1, None), [[37, 45, 53, 61]]),
    # shorter than a clip
    ((20, 4, 8, 2, None), [[0, 8, 16, 19], [0, 8, 16, 19]]),
    # one frame: the middle of parts of 14.2 frames
    ((142, 1, 8, 10, None), [[7], [21], [35], [49], [63], [78], [92], [106], [120], [134]]),
    ((100, 1, 8, 1, (60, 30)), [[50]]),
    # 60 Hz at 30: span 64, room 36, starts 0, floor(36 / 2), …; frames 0, 21, 42, 63
    ((100, 4, 8, 3, (60, 30)), [[0, 21, 42, 63], [18, 39, 60, 81], [36, 57, 78, 99]]),
]
PYSLOWFAST = [
    # span 32, room 68, starts 0, 22 2/3, 45 1/3; steps of 31 / 3
    ((100, 4, 8, 3, None), [[0, 10, 20, 31], [22, 33, 43, 53], [45, 55, 66, 76]]),
    # one clip starts with the video
    ((100, 4, 8, 1, None), [[0, 10, 20, 31]]),
    # span 64, room 236, starts 0, 23.6; steps of 9
    ((300, 8, 8, 10, None), [[0, 9, 18, 27, 36, 45, 54, 63], [23, 32, 41, 50, 59, 68, 77, 86]]),
    # shorter than a clip
    ((20, 4, 8, 2, None), [[0, 10, 19, 19], [0, 10, 19, 19]]),
    # 60 Hz at 30: span 64, room 36, starts 0, 18; steps of 21
    ((100, 4, 8, 2, (60, 30)), [[0, 21, 42, 63], [18, 39, 60, 81]]),
    # 25 Hz at 30: span 26 2/3, room 73 1/3, starts 0 and 36 2/3; steps of 25 2/3 / 3
    ((100, 4, 8, 2, (25, 30)), [[0, 8, 17, 25], [36, 45, 53, 62]]),
]


@pytest.mark.parametrize(
    ("offsets", "case", "expected"),
    [("mmaction2", *row) for row in MMACTION2] + [("pyslowfast", *row) for row in PYSLOWFAST],
)
def test_fixed_clips_are_counted_as_the_two_count(
    offsets: str, case: tuple, expected: list[list[int]]
) -> None:
    length, frames, stride, clips, rates = case
    rate, target = rates or (30, None)
    clip = config(frames, stride, offsets=offsets, target_fps=target)
    found = fixed_clips(clip, FrameRange(0, length, rate), clips)
    assert found.shape == (clips, frames)
    assert found[: len(expected)].tolist() == expected


def theirs(
    offsets: str, length: int, frames: int, stride: int, clips: int, rates: tuple | None
) -> list[list[int]]:
    """The two formulas once more, clip by clip and frame by frame as their own code goes.

    mmaction2: SampleFrames in test mode. pyslowfast: get_start_end_idx and temporal_sampling
    of its decoder, which counts in float32.
    """
    ratio = rates[0] / rates[1] if rates else 1.0
    found = []
    for clip in range(clips):
        if offsets == "pyslowfast":
            span = max(1.0, stride * frames / (rates[1] if rates else 30) * (rates or [30])[0])
            start = max(length - span, 0) * clip / clips
            places = torch.linspace(start, start + span - 1, frames).clamp(0, length - 1).long()
            found.append(places.tolist())
            continue
        span = max(1, frames * stride * ratio) if rates else (frames - 1) * stride + 1
        room = max(length - span, 0)
        if frames == 1:
            start = clip * (length / clips) + length / clips / 2
        elif clips == 1:
            start = room // 2
        elif rates:
            start = clip * math.floor(room / (clips - 1))
        else:
            start = round(clip * (room / (clips - 1)))
        steps = [int(place) for place in np.linspace(0, span - 1, frames)] if rates else None
        own = [start + (steps[n] if steps else n * stride) for n in range(frames)]
        found.append([min(int(place), length - 1) for place in own])
    return found


RATES = st.none() | st.sampled_from([(60, 30), (25, 30), (30, 15), (24, 30)])


@given(
    st.sampled_from(["mmaction2", "pyslowfast"]), LENGTH, FRAMES, STRIDE, st.integers(1, 12), RATES
)
def test_fixed_clips_are_those_of_the_two(
    offsets: str, length: int, frames: int, stride: int, clips: int, rates: tuple | None
) -> None:
    rate, target = rates or (30, None)
    clip = config(frames, stride, offsets=offsets, target_fps=target)
    found = fixed_clips(clip, FrameRange(0, length, rate), clips)
    expected = np.array(theirs(offsets, length, frames, stride, clips, rates))
    if offsets == "mmaction2":
        np.testing.assert_array_equal(found, expected)
        return
    pace = rate / target if target else None
    places = pyslowfast_clips(length, frames, stride, clips, pace)
    doubtful = np.abs(places - places.round()) < 1e-3  # float32 keeps no more of a frame
    np.testing.assert_array_equal(found[~doubtful], expected[~doubtful])
    assert (np.abs(found - expected) <= 1).all()


@given(LENGTH, FRAMES, STRIDE, RATES, st.integers(0, 2**32 - 1))
def test_pyslowfasts_training_clips_span_what_its_test_clips_do(
    length: int, frames: int, stride: int, rates: tuple | None, seed: int
) -> None:
    """get_start_end_idx with clip_idx -1, then temporal_sampling, with the same draw."""
    rate, target = rates or (30, None)
    clip = config(frames, stride, offsets="pyslowfast", target_fps=target)
    found = training_clip(clip, FrameRange(0, length, rate), np.random.default_rng(seed))
    span = max(1.0, stride * frames * rate / target if target else stride * frames)
    start = np.random.default_rng(seed).uniform(0, max(length - span, 0))
    places = np.linspace(start, start + span - 1, frames)
    expected = np.clip(np.floor(places + 1e-6), 0, length - 1)
    sure = np.abs(places - places.round()) > 1e-9
    np.testing.assert_array_equal(found[sure], expected[sure])
    assert (np.abs(found - expected) <= 1).all()


def test_pyslowfasts_clips_take_every_ninth_frame_everywhere() -> None:
    clip = config(8, 8, offsets="pyslowfast")
    part = FrameRange(0, 300, 30)
    random = np.random.default_rng(0)
    drawn = [training_clip(clip, part, random) for _ in range(200)]
    clips = np.concatenate([drawn, fixed_clips(clip, part, 3), window_clips(clip, part)])
    assert (clips[:, -1] - clips[:, 0] == 63).all()  # T·τ - 1, where mmaction2 has (T - 1)·τ
    assert (np.diff(clips) == 9).all()
    assert clips[:200, 0].min() < 10
    assert 225 < clips[:200, 0].max() <= 236
    assert clip.span(30) == 64
    assert config(8, 8).span(30) == 57
    # four windows of 64 frames, and one that ends with the video
    assert window_clips(clip, part)[:, 0].tolist() == [0, 64, 128, 192, 236]
