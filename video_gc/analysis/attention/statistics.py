"""Distances between positions, their means over pairs, and 95 % intervals of means over videos."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from video_gc.analysis.compare.bootstrap import draw_videos, percentile_interval

LEAST_OF_A_FRAME = 4
"""Positions; the jackknife of a mean over pairs needs three."""
LEAST = 16
"""Positions per clip: those of four frames."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean over videos and its 95 % interval."""

    value: float
    low: float | None
    """None with fewer than two videos"""
    high: float | None

    @property
    def ends(self) -> list[float]:
        """Both ends; empty with fewer than two videos."""
        return [end for end in (self.low, self.high) if end is not None]


def wide(values: Tensor) -> Tensor:
    """In float64, on the same device if it supports float64, else on the CPU."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def normalised(maps: Tensor) -> Tensor:
    """Rows of weights in float64, scaled to sum to 1, because a softmax in fp32 is inexact."""
    maps = wide(maps)
    return maps / maps.sum(-1, keepdim=True)


def entropy(maps: Tensor) -> Tensor:
    """-Σ p log p in nats over the last axis."""
    return torch.special.entr(maps).sum(-1)


def cosine_distances(vectors: Tensor) -> Tensor:
    """1 - cos(v_i, v_j), in 0…2: (Q, D) → (Q, Q), zeros on the diagonal.

    A zero vector has no direction: its distance is 0 to another zero vector and 1 to any other.
    """
    vectors = wide(vectors)
    lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    zero = lengths == 0
    units = vectors / lengths.masked_fill(zero, 1)
    distances = (1 - units @ units.t()).clamp(0, 2)
    return distances.masked_fill_(zero & zero.t(), 0).fill_diagonal_(0)


def jensen_shannon(maps: Tensor) -> Tensor:
    """The Jensen-Shannon divergence of distributions in nats, 0…log 2: (Q, M) → (Q, Q).

    Entropy of the mean less the mean of the entropies (Lin, IEEE Transactions on Information Theory
    37, 1991).
    """
    maps = normalised(maps)
    own = entropy(maps)
    found = maps.new_zeros(len(maps), len(maps))
    for row in range(len(maps) - 1):  # the largest array has the size of the maps
        rest = slice(row + 1, None)
        found[row, rest] = entropy((maps[row] + maps[rest]) / 2) - (own[row] + own[rest]) / 2
    return (found + found.t()).clamp(min=0)


def row_divergences(left: Tensor, right: Tensor) -> Tensor:
    """As `jensen_shannon`, of each row with the same row of the other: (Q, M), (Q, M) → (Q,)."""
    left, right = normalised(left), normalised(right)
    return (entropy((left + right) / 2) - (entropy(left) + entropy(right)) / 2).clamp(min=0)


@dataclass(frozen=True)
class Sample:
    """Positions drawn from a feature map of `of_frames` frames with `of_each` positions each."""

    indices: np.ndarray
    """(frames · each,), frame by frame, counting 0…P-1"""
    frames: int
    each: int
    of_frames: int
    of_each: int


def draw_positions(frames: int, each: int, count: int, random: np.random.Generator) -> Sample:
    """About `count` of frames × each positions, without replacement; all if there are no more.

    Every drawn frame has the same number, so there are pairs within and between frames. If a clip
    has more than count / 4 frames, frames are drawn first.

    Raises ValueError for fewer positions than the estimates of error need.
    """
    if count < LEAST:
        raise ValueError(f"positions ({count}) must be at least {LEAST}")
    taken = min(frames, count // LEAST_OF_A_FRAME)
    inside = min(each, count // taken)
    if frames * each <= count:
        taken, inside = frames, each
    chosen = np.sort(random.choice(frames, taken, replace=False))
    places = [np.sort(random.choice(each, inside, replace=False)) for _ in range(taken)]
    indices = np.concatenate([f * each + p for f, p in zip(chosen, places, strict=True)])
    return Sample(indices, taken, inside, frames, each)


def pair_means(distances: np.ndarray, sample: Sample) -> dict[str, tuple[float, float]]:
    """The means over pairs of positions of a clip, and the variance of their sampling error.

    distances: symmetric (Q, Q) of the sampled positions, zero on the diagonal. "overall" weights
    pairs between and within frames as in the whole feature map; kinds without pairs are left out.
    The variance is the delete-one jackknife's within each frame, with the correction for a finite
    population; or, if frames were drawn, the delete-one-frame jackknife's, without the correction,
    since positions were drawn too (Wolter, Introduction to Variance Estimation, 2007, ch. 4).
    """
    frames, each = sample.frames, sample.each
    by_frames, by_places = frames < sample.of_frames, each < sample.of_each
    kept = np.ones((1, frames, each))  # first all positions, then without one frame or position
    if by_frames:
        kept = np.concatenate([kept, np.repeat(1 - np.eye(frames)[..., None], each, 2)])
    elif by_places:
        kept = np.concatenate([kept, (1 - np.eye(frames * each)).reshape(-1, frames, each)])
    counts = kept.sum(2)  # (replicates, frames)
    shares = (kept / np.maximum(counts, 1)[..., None]).reshape(len(kept), -1)
    split = shares.reshape(kept.shape)
    own = np.einsum("fifj->fij", distances.reshape(frames, each, frames, each))
    inside = np.einsum("rfi,fij,rfj->rf", split, own, split, optimize=True)
    means: dict[str, np.ndarray] = {}
    there = (counts > 0).sum(1)
    if frames > 1:
        across = ((shares @ distances) * shares).sum(1) - inside.sum(1)
        means["between"] = across / (there * (there - 1))
    if each > 1:
        means["within"] = (inside * counts / np.maximum(counts - 1, 1)).sum(1) / there
    if means:
        share = (sample.of_each - 1) / (sample.of_frames * sample.of_each - 1)
        within, between = means.get("within", 0.0), means.get("between", 0.0)
        means["overall"] = np.asarray(share * within + (1 - share) * between)
    groups = (1, frames) if by_frames else (frames, each)
    left = 1 if by_frames else 1 - each / sample.of_each
    variances = dict.fromkeys(means, 0.0)
    if len(kept) > 1:
        for name, values in means.items():
            spread = values[1:].reshape(groups).var(1).sum()
            variances[name] = float(left * (groups[1] - 1) * spread)
    return {name: (float(values[0]), variances[name]) for name, values in means.items()}


def mean_intervals(
    values: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the interval of each column's mean: (videos, K) → (K,), (K,).

    Raises ValueError with fewer than two videos.
    """
    size = len(values)
    _, low, high = _bootstrap(lambda counts: counts @ values / size, size, seed, resamples)
    return low, high


def pair_interval(distances: np.ndarray, *, seed: int = 0) -> tuple[float, float, float]:
    """The mean of distances (videos, videos) over pairs of two videos, with its interval.

    distances: symmetric, zero on the diagonal. Raises ValueError with fewer than two videos.
    """
    others = 1 - np.eye(len(distances))

    def mean(counts: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # a draw of a single video has no pair: nan
            return ((counts @ distances) * counts).sum(1) / ((counts @ others) * counts).sum(1)

    seen, low, high = _bootstrap(mean, len(distances), seed, RESAMPLES)
    return float(seen), float(low), float(high)


def _bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], videos: int, seed: int, resamples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The statistic of all videos, and the ends of its interval; draws that give nan are ignored.

    statistic: number of draws of each video (R, videos) → (R, …). scipy.stats.bootstrap would copy
    the values of each resample.
    """
    if videos < 2:
        raise ValueError(f"an interval needs two videos or more, not {videos}")
    draws = draw_videos(np.random.default_rng(seed), np.ones(videos, int), resamples)
    drawn = np.concatenate([statistic(counts.astype(float)) for counts in draws])
    seen = statistic(np.ones((1, videos)))[0]
    known = ~np.isnan(drawn).reshape(len(drawn), -1).any(1)
    return seen, *percentile_interval(drawn[known], seen, videos)
