"""Means over the pairs of positions of a clip, estimated from some of its positions.

The positions are drawn without replacement, as many in each frame, so that pairs in one frame and
pairs in two are both there. The error of an estimate is the delete-one jackknife's within each
frame, with the correction for a finite population (Wolter, Introduction to Variance Estimation,
2007, chapter 4).
"""

from dataclasses import dataclass

import numpy as np

LEAST_OF_A_FRAME = 4
"""Positions; the jackknife of a mean over pairs needs three."""
LEAST = 16
"""Positions of a clip: four frames' worth."""


@dataclass(frozen=True)
class Sample:
    """Positions of a feature map of `of_frames` frames with `of_each` positions."""

    indices: np.ndarray
    """(frames · each,), frame by frame, counting 0…P-1"""
    frames: int
    each: int
    of_frames: int
    of_each: int


@dataclass(frozen=True)
class PairMeans:
    """(mean, variance of its sampling error) over distinct pairs; None where there is no pair."""

    overall: tuple[float, float] | None
    between: tuple[float, float] | None
    within: tuple[float, float] | None


def draw(frames: int, each: int, positions: int, random: np.random.Generator) -> Sample:
    """About `positions` of frames × each positions; all of them where they are no more.

    A clip of more than positions / 4 frames has frames drawn first.

    Raises ValueError for fewer positions than the estimates of error need.
    """
    if positions < LEAST:
        raise ValueError(f"positions ({positions}) must be at least {LEAST}")
    taken = min(frames, positions // LEAST_OF_A_FRAME)
    count = min(each, positions // taken)
    if frames * each <= positions:
        taken, count = frames, each
    chosen = np.sort(random.choice(frames, taken, replace=False))
    inside = [np.sort(random.choice(each, count, replace=False)) for _ in range(taken)]
    indices = np.concatenate([f * each + i for f, i in zip(chosen, inside, strict=True)])
    return Sample(indices, taken, count, frames, each)


def pair_means(distances: np.ndarray, sample: Sample) -> PairMeans:
    """From the symmetric distances (Q, Q) of the sampled positions, zero on the diagonal.

    `overall` weighs the two kinds of pairs as the whole feature map has them, P·(P - 1) in all.
    """
    frames, each = sample.frames, sample.each
    blocks = distances.reshape(frames, each, frames, each)
    rows = blocks.sum(3)  # (frames, each, frames)
    sums = rows.sum(1)  # (frames, frames)
    own_rows = np.einsum("fif->fi", rows)
    own, cross = np.diag(sums), sums - np.diag(np.diag(sums))
    has_within, has_between = each > 1, frames > 1
    # replicates: first the estimate, then one for each deleted position, or each deleted frame
    within = between = np.zeros(1)
    by_frames = frames < sample.of_frames
    sampled = each < sample.of_each
    if has_within:
        means = own / (each * (each - 1))
        replicates = np.zeros((frames, 0))
        if by_frames:
            replicates = _without_each(means)[None]
        elif sampled:
            less = (own[:, None] - 2 * own_rows) / ((each - 1) * (each - 2))
            replicates = means.mean() + (less - means[:, None]) / frames
        within = np.append(means.mean(), replicates)
    if has_between:
        pairs = frames * (frames - 1)
        mean = cross.sum() / (pairs * each**2)
        replicates = np.zeros((frames, 0))
        if by_frames:
            less = cross.sum() - 2 * cross.sum(1)
            replicates = (less / ((frames - 1) * (frames - 2) * each**2))[None]
        elif sampled:
            others = rows.sum(2) - own_rows  # (frames, each)
            of_frame = cross.sum(1)[:, None]
            less = (of_frame - others) / (each * (each - 1)) - of_frame / each**2
            replicates = mean + 2 * less / pairs
        between = np.append(mean, replicates)
    share = (sample.of_each - 1) / max(1, sample.of_frames * sample.of_each - 1)
    overall = share * within + (1 - share) * between
    return PairMeans(
        _judged(overall, sample) if has_within or has_between else None,
        _judged(between, sample) if has_between else None,
        _judged(within, sample) if has_within else None,
    )


def _without_each(values: np.ndarray) -> np.ndarray:
    """The mean without the first, without the second, …"""
    return (values.sum() - values) / (len(values) - 1)


def _judged(replicates: np.ndarray, sample: Sample) -> tuple[float, float]:
    """The estimate, and the jackknife's variance."""
    value, less = float(replicates[0]), replicates[1:]
    if not len(less):
        return value, 0.0
    by_frames = sample.frames < sample.of_frames
    taken = less[None] if by_frames else less.reshape(sample.frames, sample.each)
    count = taken.shape[1]
    # of frames no correction: their positions are sampled too
    left = 1.0 if by_frames else 1 - sample.each / sample.of_each
    squares = ((taken - taken.mean(1, keepdims=True)) ** 2).sum()
    return value, float(left * (count - 1) / count * squares)
