import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_gc.data.sampling import (
    ClipConfig,
    consecutive_clips,
    crop_boxes,
    random_clip,
    random_crop,
    scaled_size,
    uniform_clips,
)

LENGTH, FRAMES, STRIDE = st.integers(1, 400), st.integers(1, 32), st.integers(1, 8)


@given(LENGTH, FRAMES, STRIDE, st.integers(0, 2**31))
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


def test_uniform_clips() -> None:
    np.testing.assert_array_equal(uniform_clips(100, 2, 9, 1), [[45, 54]])
    np.testing.assert_array_equal(uniform_clips(100, 2, 9, 4)[:, 0], [0, 30, 60, 90])
    np.testing.assert_array_equal(uniform_clips(100, 2, 9, 4)[:, 1], [9, 39, 69, 99])
    np.testing.assert_array_equal(uniform_clips(3, 4, 2, 2), [[0, 2, 2, 2], [0, 2, 2, 2]])


@given(LENGTH, FRAMES, STRIDE)
def test_consecutive_clips_see_the_start_and_the_end(length: int, frames: int, stride: int) -> None:
    clips = consecutive_clips(length, frames, stride)
    assert clips[0, 0] == 0
    assert clips.max() < length
    span = (frames - 1) * stride + 1
    assert clips[-1, -1] == length - 1
    assert (np.diff(clips[:, 0]) <= span).all()
    assert len(clips) <= length // span + 1


@given(st.integers(20, 500), st.integers(20, 500), st.integers(0, 2**31))
def test_random_crops_are_square_and_inside(height: int, width: int, seed: int) -> None:
    box = random_crop((height, width), 16, (16, 24), np.random.default_rng(seed))
    assert box.width == box.height
    assert 0 <= box.left <= width - box.width
    assert 0 <= box.top <= height - box.height
    assert round(min(height, width) * 16 / 24) <= box.width <= min(height, width)


def test_test_crops() -> None:
    assert scaled_size((240, 320), 120) == (120, 160)
    assert scaled_size((321, 200), 100) == (160, 100)
    lefts = [(b.left, b.top) for b in crop_boxes((120, 160), 100, 3)]
    assert lefts == [(0, 10), (30, 10), (60, 10)]
    assert [(b.left, b.top) for b in crop_boxes((160, 120), 120, 3)] == [(0, 0), (0, 20), (0, 40)]
    assert [(b.left, b.top) for b in crop_boxes((120, 160), 100, 1)] == [(30, 10)]
    with pytest.raises(ValueError, match="crops .2. must be 1 or 3"):
        crop_boxes((120, 160), 100, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frames": 0}, r"clip.frames \(0\) must be at least 1"),
        ({"short_side": [320, 256]}, r"must be \[smallest, largest\]"),
        ({"crop": 300}, r"clip.crop \(300\) must not exceed clip.short_side \(256\)"),
        ({"test_crop": 257}, r"clip.test_crop \(257\) must not exceed"),
    ],
)
def test_impossible_clips(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipConfig(**values)
