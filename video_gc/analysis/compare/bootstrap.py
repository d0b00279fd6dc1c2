"""The uncertainty of a difference between tested runs, by a paired bootstrap.

Each resample draws as many videos as there are, with replacement, the same ones for A and B (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993). With several trainings on a side it also
draws trainings, independently of the videos: every training saw every video, so the design is
crossed (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007). Of S trainings S - 1
are drawn: drawing S would shrink their variance to (S - 1) / S of its value (Rao and Wu, JASA 83,
1988). The variance then contains the chance of one video in one training three times (Owen): with
the videos alone, with the trainings alone, and with both; two of them are subtracted.

With one training each, the interval is the percentile interval, widened about the difference by
Student's t over the normal quantile. With several, whose few draws give unstable percentiles, it is
the difference ± t standard errors of the bootstrap (both: Hesterberg, The American Statistician 69,
2015), t with Welch's and Satterthwaite's degrees of freedom, because three trainings tell little
about their own spread. BCa is not used: with little data its coverage is too low (Owen, arXiv
2508.10083).

If videos have groups (a source video, a person, a match), groups are drawn instead, each with all
its videos, because the videos of a group are not independent (Davison and Hinkley, Bootstrap
Methods, 1997, section 3.8). Degrees of freedom then count groups.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import sparse, stats

from video_gc.progress import track

RESAMPLES = 10_000
NORMAL, POWER = (float(stats.norm.ppf(share)) for share in (0.975, 0.8))
CELLS_AT_ONCE = 2_000_000
"""Most numbers in one array of resampled counts."""
NAMES = ("top-1", "top-5", "mean class")
POSITIVES_AT_ONCE = 512

Figures = Callable[[np.ndarray], np.ndarray]
"""Number of draws of each kind of video, (R, kinds) → each figure of each run, (figures, runs, R);
the runs of A come first."""


@dataclass(frozen=True)
class Difference:
    """B - A of one figure, in percentage points."""

    a: list[float]
    """the figure of each run of A, per cent"""
    b: list[float]
    low: float
    """lower end of the 95 % interval"""
    high: float
    error: float
    """standard error"""
    detectable: float
    """the smallest true difference that this many videos (and runs) detect in 4 of 5 tests"""

    @property
    def difference(self) -> float:
        """Mean of B minus mean of A."""
        return math.fsum(self.b) / len(self.b) - math.fsum(self.a) / len(self.a)

    @property
    def sure(self) -> bool:
        """Whether 0 lies outside the interval."""
        return self.low > 0 or self.high < 0


def differences(
    figures: Figures,
    sizes: np.ndarray,
    runs: tuple[int, int],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[list[Difference], np.ndarray]:
    """Each figure's difference, and its resampled values (figures, resamples), in points.

    sizes: number of videos (or groups) of each kind (those of a kind are interchangeable, so kinds
        are drawn); runs: number of runs of A and of B.
    """
    random = np.random.default_rng(seed)
    means = np.repeat([-1 / runs[0], 1 / runs[1]], runs)[:, None]
    crossed, fixed = [], []  # both videos and runs drawn, and only videos
    counted = draw_videos(random, sizes, resamples)
    parts = math.ceil(resamples / _at_once(sizes))
    for counts in track(counted, "Resampling", parts) if parts > 1 else counted:
        weights = [_run_weights(random, number, len(counts)) for number in runs]
        each = figures(counts)
        crossed.append((each * np.concatenate([-weights[0], weights[1]])).sum(1))
        fixed.append((each * means).sum(1))
    drawn, by_videos = (100 * np.concatenate(parts, axis=1) for parts in (crossed, fixed))
    seen = 100 * figures(sizes[None])[..., 0]
    videos = int(sizes.sum())
    found = [
        _difference(each[: runs[0]], each[runs[0] :], both, own, videos)
        for each, both, own in zip(seen, drawn, by_videos, strict=True)
    ]
    return found, drawn


def levels(
    figures: Figures, sizes: np.ndarray, runs: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Difference]:
    """Each figure itself, with its interval: its difference from a run that is never right."""

    def beside_nothing(counts: np.ndarray) -> np.ndarray:
        own = figures(counts)
        return np.concatenate([np.zeros_like(own[:, :1]), own], axis=1)

    found, _ = differences(beside_nothing, sizes, (1, runs), resamples=resamples, seed=seed)
    return [replace(each, low=max(each.low, 0.0)) for each in found]


def draw_videos(
    random: np.random.Generator, sizes: np.ndarray, resamples: int
) -> Iterator[np.ndarray]:
    """The number of draws of each kind of video, (R, kinds), for some resamples at a time.

    sizes (kinds,): number of videos of each kind.
    """
    step, videos = _at_once(sizes), int(sizes.sum())
    for start in range(0, resamples, step):
        yield random.multinomial(videos, sizes / videos, size=min(step, resamples - start))


def _at_once(sizes: np.ndarray) -> int:
    """Number of resamples whose counts are in memory together."""
    return max(1, CELLS_AT_ONCE // len(sizes))


def percentile_interval(drawn: np.ndarray, seen: np.ndarray | float, videos: int) -> np.ndarray:
    """Both ends of the 95 % interval, widened about the value `seen`: (R, …) → (2, …)."""
    factor = t_quantile(videos - 1) / NORMAL
    return np.asarray(seen + factor * (np.percentile(drawn, [2.5, 97.5], axis=0) - seen))


def t_quantile(freedom: float) -> float:
    """97.5 % quantile of Student's t; below one degree of freedom, that for one."""
    return float(stats.t.ppf(0.975, max(freedom, 1)))


def _run_weights(random: np.random.Generator, runs: int, count: int) -> np.ndarray:
    """(runs, count): the share of each run in each resample."""
    if runs == 1:
        return np.ones((1, count))
    return random.multinomial(runs - 1, [1 / runs] * runs, size=count).T / (runs - 1)


def _difference(
    a: np.ndarray, b: np.ndarray, crossed: np.ndarray, fixed: np.ndarray, videos: int
) -> Difference:
    seen = float(b.mean() - a.mean())
    spreads = [(side.var(ddof=1) / len(side), len(side) - 1) for side in (a, b) if len(side) > 1]
    trainings = sum(spread for spread, _ in spreads)
    total = by_videos = float(fixed.var())
    if spreads:
        both = by_videos + trainings
        total = max(2 * both - float(crossed.var()), by_videos, trainings)
    parts = [(total - trainings, max(videos - 1, 1)), *spreads]
    below = sum(spread**2 / freedom for spread, freedom in parts)
    t = t_quantile(total**2 / below if below else videos - 1)
    error = math.sqrt(total)
    if error < 1e-9:
        # with V equal videos every draw is the same; up to 3 / V of all videos may differ
        # (the rule of three: Hanley and Lippman-Hand, JAMA 249, 1983)
        half = 100 * min(1, 3 / videos)
        low, high, error = seen - half, seen + half, half / 3
    elif spreads:
        low, high = seen - t * error, seen + t * error
    else:
        low, high = percentile_interval(fixed, seen, videos)
    return Difference(
        a=a.tolist(),
        b=b.tolist(),
        low=max(float(low), -100.0),
        high=min(float(high), 100.0),
        error=error,
        detectable=min((t + POWER) * error, 100.0),
    )


def accuracy_figures(
    classes: np.ndarray,
    right1: np.ndarray,
    right5: np.ndarray,
    groups: np.ndarray | None = None,
) -> tuple[Figures, np.ndarray]:
    """The three `NAMES` of each run, and the number of videos (or groups) of each kind.

    classes (V,): class numbers; right1, right5 (runs, V): whether the label was first, or among the
    first five; groups (V,): numbers of groups. Videos of one class that are right in the same runs
    form a kind. Mean class accuracy is over the drawn classes.
    """
    runs = len(right1)
    rows = np.column_stack([classes, right1.T, right5.T]).astype(np.int64)
    kinds, kind_of, sizes = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    firsts, fives = kinds[:, 1 : 1 + runs].T, kinds[:, 1 + runs :].T
    starts = np.unique(kinds[:, 0], return_index=True)[1]  # kinds are sorted by class

    def figures(counts: np.ndarray) -> np.ndarray:
        videos = counts.sum(1)
        in_class = np.add.reduceat(counts, starts, axis=1)
        drawn = in_class > 0
        found = np.empty((len(NAMES), runs, len(counts)))
        for run, (first, five) in enumerate(zip(firsts, fives, strict=True)):
            right = np.add.reduceat(counts * first, starts, axis=1)
            found[0, run] = right.sum(1) / videos
            found[1, run] = counts @ five / videos
            found[2, run] = (right / np.maximum(in_class, 1)).sum(1) / drawn.sum(1)
        return found

    return (figures, sizes) if groups is None else _by_group(figures, kind_of.ravel(), groups)


def precision_figures(
    hot: np.ndarray, scores: list[np.ndarray], groups: np.ndarray | None = None
) -> tuple[Figures, np.ndarray]:
    """The mAP of each run, over the drawn classes; each video (or group) is a kind of its own.

    hot (V, classes): 0 or 1; scores: (V, classes) of each run; groups (V,): their numbers. The
    average precision of a class is the mean over its videos of the precision among all videos with
    the same or a higher score: the area under the steps of the precision-recall curve.
    """

    def figures(counts: np.ndarray) -> np.ndarray:
        weights = counts.astype(np.float32)
        found = [
            [_average_precision(weights, score[:, c], hot[:, c] > 0) for c in range(hot.shape[1])]
            for score in scores
        ]
        return np.nanmean(np.array(found), axis=1)[None]

    if groups is not None:
        return _by_group(figures, np.arange(len(hot)), groups)
    return figures, np.ones(len(hot), np.int64)


def _by_group(
    figures: Figures, kind_of: np.ndarray, groups: np.ndarray
) -> tuple[Figures, np.ndarray]:
    """`figures` for draws of groups, and the number of groups of each kind.

    kind_of, groups (V,): the kind and the group of each video. Groups with equally many videos of
    each kind form a kind of group.
    """
    pairs, videos = np.unique(np.stack([groups, kind_of]), axis=1, return_counts=True)
    starts = np.flatnonzero(np.diff(pairs[0], prepend=-1))
    contents: dict[bytes, int] = {}
    alike = []
    for begin, end in pairwise([*starts.tolist(), len(videos)]):
        own = np.stack([pairs[1, begin:end], videos[begin:end]]).tobytes()
        alike.append(contents.setdefault(own, begin))
    firsts, sizes = np.unique(alike, return_counts=True)
    rows = np.isin(pairs[0], pairs[0, firsts])
    place = np.searchsorted(pairs[0, firsts], pairs[0, rows])
    shape = (len(firsts), int(kind_of.max()) + 1)
    videos_in = sparse.csr_array((videos[rows], (place, pairs[1, rows])), shape=shape)
    step = max(1, CELLS_AT_ONCE // shape[1])

    def grouped(counts: np.ndarray) -> np.ndarray:
        parts = (counts[start : start + step] for start in range(0, len(counts), step))
        return np.concatenate([figures(part @ videos_in) for part in parts], axis=2)

    return grouped, sizes


def _average_precision(weights: np.ndarray, scores: np.ndarray, has: np.ndarray) -> np.ndarray:
    """(R,): for one class, each video counted `weights` (R, V) times; NaN if no video has it."""
    rows = has.nonzero()[0]
    total = np.zeros(len(weights))
    for start in range(0, len(rows), POSITIVES_AT_ONCE):
        some = rows[start : start + POSITIVES_AT_ONCE]
        above = (scores[:, None] >= scores[some]).astype(np.float32)
        right = weights[:, rows] @ above[rows]
        total += (weights[:, some] * right / np.maximum(weights @ above, 1)).sum(1)
    count = weights[:, rows].sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
