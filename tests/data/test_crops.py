"""Crops lie inside the picture, and where the papers put them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_gc.data.crops import crop_boxes, random_crop, random_resized_crop, scaled_size

SIDE, SEED = st.integers(20, 500), st.integers(0, 2**31)


@given(SIDE, SIDE, SEED)
def test_random_crops_are_square_and_inside(height: int, width: int, seed: int) -> None:
    box = random_crop((height, width), 16, (16, 24), np.random.default_rng(seed))
    assert box.width == box.height
    assert 0 <= box.left <= width - box.width
    assert 0 <= box.top <= height - box.height
    assert round(min(height, width) * 16 / 24) <= box.width <= min(height, width)


@given(SIDE, SIDE, SEED)
def test_random_resized_crops_have_the_share_and_the_shape(
    height: int, width: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    box = random_resized_crop((height, width), (0.08, 1.0), (3 / 4, 4 / 3), random)
    assert 0 <= box.left <= width - box.width
    assert 0 <= box.top <= height - box.height
    edge = 0.5 / min(box.width, box.height)  # rounding to whole pixels
    assert 3 / 4 * (1 - 3 * edge) <= box.width / box.height <= 4 / 3 * (1 + 3 * edge)
    fits = min(height, width) / max(height, width) * 3 / 4  # the share that always fits
    assert box.width * box.height >= min(0.08, fits) * height * width * (1 - 4 * edge)


def test_random_resized_crops_spread_over_shares_and_shapes() -> None:
    random = np.random.default_rng(0)
    boxes = [random_resized_crop((200, 200), (0.25, 0.5), (0.5, 2.0), random) for _ in range(400)]
    shares = [box.width * box.height / 200**2 for box in boxes]
    shapes = np.log2([box.width / box.height for box in boxes])
    assert np.histogram(shares, 4, (0.249, 0.505))[0].min() > 60  # even in area
    assert np.histogram(shapes, 4, (-1.02, 1.02))[0].min() > 60  # even in the logarithm


def test_what_never_fits_is_the_largest_centred_box() -> None:
    box = random_resized_crop((20, 400), (0.9, 1.0), (3 / 4, 4 / 3), np.random.default_rng(0))
    assert (box.left, box.top, box.width, box.height) == (186, 0, 27, 20)


def test_test_crops() -> None:
    assert scaled_size((240, 320), 120) == (120, 160)
    assert scaled_size((321, 200), 100) == (160, 100)
    lefts = [(b.left, b.top) for b in crop_boxes((120, 160), 100, 3)]
    assert lefts == [(0, 10), (30, 10), (60, 10)]
    assert [(b.left, b.top) for b in crop_boxes((160, 120), 120, 3)] == [(0, 0), (0, 20), (0, 40)]
    assert [(b.left, b.top) for b in crop_boxes((120, 160), 100, 1)] == [(30, 10)]
    corners = [(b.left, b.top) for b in crop_boxes((120, 160), 100, 10)]
    assert corners == [(0, 0), (60, 0), (0, 20), (60, 20), (30, 10)]
    with pytest.raises(ValueError, match="crops .2. must be one of 1, 3, 10"):
        crop_boxes((120, 160), 100, 2)


@given(SIDE, SIDE, st.sampled_from([1, 3, 10]))
def test_boxes_for_planes_are_even_and_near_the_others(height: int, width: int, crops: int) -> None:
    size, odd = scaled_size((height, width), 64, even=True), scaled_size((height, width), 64)
    assert all(
        side % 2 == 0 and abs(side - other) <= 1 for side, other in zip(size, odd, strict=True)
    )
    pairs = zip(crop_boxes(size, 48, crops, even=True), crop_boxes(size, 48, crops), strict=True)
    for box, other in pairs:
        assert box.left % 2 == box.top % 2 == 0
        assert abs(box.left - other.left) <= 1
        assert abs(box.top - other.top) <= 1
        assert box.left + 48 <= size[1]
        assert box.top + 48 <= size[0]
