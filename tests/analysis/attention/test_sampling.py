import itertools

import numpy as np
import pytest

from video_gc.analysis.attention.sampling import Sample, draw, pair_means

SPLITS = ("overall", "between", "within")


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
    return np.array([getattr(means, split) for split in SPLITS])  # (3, value and variance)


@pytest.mark.parametrize(("frames", "each"), [(3, 5), (1, 6), (6, 1)])
def test_all_positions_give_the_means_over_all_pairs(frames: int, each: int) -> None:
    distances = structured(frames, each)
    sample = draw(frames, each, 16, np.random.default_rng(0))
    assert sample.indices.tolist() == list(range(frames * each))
    means = pair_means(distances, sample)
    pairs = list(itertools.permutations(range(frames * each), 2))
    split = {
        "overall": pairs,
        "between": [(i, j) for i, j in pairs if i // each != j // each],
        "within": [(i, j) for i, j in pairs if i // each == j // each],
    }
    for name, chosen in split.items():
        found = getattr(means, name)
        if chosen:
            assert found == (pytest.approx(np.mean([distances[p] for p in chosen])), 0)
        else:
            assert found is None


@pytest.mark.parametrize(
    ("frames", "each", "positions"), [(6, 49, 60), (2, 30, 16), (40, 6, 48), (3, 24, 48)]
)
def test_the_stated_error_is_the_error(frames: int, each: int, positions: int) -> None:
    distances = structured(frames, each)
    true = sampled(distances, draw(frames, each, frames * each, np.random.default_rng(0)))[:, 0]
    random = np.random.default_rng(1)
    found = np.stack(
        [sampled(distances, draw(frames, each, positions, random)) for _ in range(600)]
    )
    off = found[..., 0] - true
    spread = off.std(0)
    assert (np.abs(off.mean(0)) < 4 * spread / 600**0.5).all()  # unbiased
    stated = np.sqrt(found[..., 1].mean(0))
    assert (stated > 0.85 * spread).all()
    assert (stated < 1.35 * spread).all()


def test_a_long_clip_has_frames_drawn_and_four_positions_of_each() -> None:
    sample = draw(100, 50, 32, np.random.default_rng(0))
    assert (sample.frames, sample.each, len(set(sample.indices // 50))) == (8, 4, 8)
    with pytest.raises(ValueError, match=r"positions \(15\)"):
        draw(100, 50, 15, np.random.default_rng(0))
