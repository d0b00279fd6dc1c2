"""Distances, means over pairs, and intervals against their definitions."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_gc.analysis.attention.replacements import (
    change_interval,
    mean_interval,
    share_interval,
)
from video_gc.analysis.attention.statistics import (
    Sample,
    cosine_distances,
    draw_positions,
    jensen_shannon,
    mean_intervals,
    pair_interval,
    pair_means,
)

SPLITS = ("overall", "between", "within")


@settings(max_examples=15)
@given(count=st.integers(1, 5), keys=st.integers(1, 6), seed=st.integers(0, 99))
def test_equal_the_definitions_pair_by_pair(count: int, keys: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(count, keys, generator=generator).mul(3).softmax(1).double()
    maps = maps / maps.sum(1, keepdim=True)
    cosine, js = cosine_distances(maps - 0.2), jensen_shannon(maps)
    for i, p in enumerate(maps.tolist()):
        for j, q in enumerate(maps.tolist()):
            u, v = [a - 0.2 for a in p], [b - 0.2 for b in q]
            dot = sum(a * b for a, b in zip(u, v, strict=True))
            assert cosine[i, j] == pytest.approx(1 - dot / math.hypot(*u) / math.hypot(*v))
            terms = [
                a * math.log(2 * a / (a + b)) + b * math.log(2 * b / (a + b))
                for a, b in zip(p, q, strict=True)
            ]
            assert js[i, j] == pytest.approx(sum(terms) / 2, abs=1e-12)


def test_a_zero_vector_is_like_another_one_and_unlike_all_else() -> None:
    found = cosine_distances(torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))
    assert found.tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


def test_maps_without_a_common_key_are_log_2_apart() -> None:
    assert jensen_shannon(torch.eye(3))[0, 2] == pytest.approx(math.log(2))


def test_rounding_of_a_narrow_softmax_is_no_divergence() -> None:
    maps = torch.randn(4, 50).softmax(1).bfloat16()
    assert jensen_shannon(maps[:1].expand(3, -1)).max() < 1e-14
    assert (jensen_shannon(maps) >= 0).all()


def structured(frames: int, each: int) -> np.ndarray:
    """Distances of positions that differ by frame, by place and by chance."""
    random = np.random.default_rng(0)
    vectors = (
        random.normal(size=(frames, 1, 3))
        + random.normal(size=(1, each, 3))
        + random.exponential(size=(frames, each, 3))
    ).reshape(-1, 3)
    return np.linalg.norm(vectors[:, None] - vectors[None], axis=2)


def sampled(distances: np.ndarray, sample: Sample) -> np.ndarray:
    means = pair_means(distances[np.ix_(sample.indices, sample.indices)], sample)
    return np.array([means[split] for split in SPLITS])  # (3, value and variance)


@pytest.mark.parametrize(("frames", "each"), [(3, 5), (1, 6), (6, 1)])
def test_all_positions_give_the_means_over_all_pairs(frames: int, each: int) -> None:
    distances = structured(frames, each)
    sample = draw_positions(frames, each, 16, np.random.default_rng(0))
    assert sample.indices.tolist() == list(range(frames * each))
    means = pair_means(distances, sample)
    pairs = list(itertools.permutations(range(frames * each), 2))
    split = {
        "overall": pairs,
        "between": [(i, j) for i, j in pairs if i // each != j // each],
        "within": [(i, j) for i, j in pairs if i // each == j // each],
    }
    for name, chosen in split.items():
        if chosen:
            assert means[name] == (pytest.approx(np.mean([distances[p] for p in chosen])), 0)
        else:
            assert name not in means


@pytest.mark.parametrize(
    ("frames", "each", "positions"), [(6, 49, 60), (2, 30, 16), (40, 6, 48), (3, 24, 48)]
)
def test_the_stated_error_is_the_error(frames: int, each: int, positions: int) -> None:
    distances = structured(frames, each)
    true = sampled(
        distances, draw_positions(frames, each, frames * each, np.random.default_rng(0))
    )[:, 0]
    random = np.random.default_rng(1)
    found = np.stack(
        [sampled(distances, draw_positions(frames, each, positions, random)) for _ in range(300)]
    )
    off = found[..., 0] - true
    spread = off.std(0)
    assert (np.abs(off.mean(0)) < 4 * spread / 300**0.5).all()  # unbiased
    stated = np.sqrt(found[..., 1].mean(0))
    assert (stated > 0.85 * spread).all()
    assert (stated < 1.35 * spread).all()


def test_a_long_clip_has_frames_drawn_and_four_positions_of_each() -> None:
    sample = draw_positions(100, 50, 32, np.random.default_rng(0))
    assert (sample.frames, sample.each, len(set(sample.indices // 50))) == (8, 4, 8)
    with pytest.raises(ValueError, match=r"positions \(15\)"):
        draw_positions(100, 50, 15, np.random.default_rng(0))


def test_the_interval_covers_the_truth() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        values = 5 + random.normal(size=(12, 1))
        low, high = mean_intervals(values, seed=trial, resamples=300)
        hits += low[0] < 5 < high[0]
    assert 0.9 < hits / 200 < 0.99


def test_a_video_is_no_pair_with_itself() -> None:
    assert pair_interval(2 * (1 - np.eye(3))) == (2, 2, 2)


def test_one_video_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two videos"):
        mean_intervals(np.ones((1, 1)))


def test_intervals_have_a_width_where_nothing_differs() -> None:
    same = share_interval(np.ones(24))
    assert same.value == 1
    assert same.low == pytest.approx(24 / (24 + 1.959964**2))
    nothing = change_interval(np.zeros(24))
    assert nothing.low is not None
    assert nothing.low == pytest.approx(-1.959964 / 26)
    assert share_interval(np.ones(1)).low is None
    all_worse = change_interval(-np.ones(3))
    assert all_worse.low == -1  # and no less
    assert all_worse.low <= all_worse.value


def test_few_videos_have_a_wide_interval_of_how_far_logits_move() -> None:
    two = mean_interval(np.array([0.1, 0.3]), seed=0)
    assert two.low == 0
    assert two.high is not None
    assert two.high > 0.5  # Student's t with one degree of freedom; the percentiles end at 0.3
    many = mean_interval(np.tile([0.1, 0.3], 200), seed=0)
    assert many.high == pytest.approx(0.2 + 1.96 * 0.1 / 20, abs=0.002)
