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
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

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

    sizes: number of videos of each kind (videos of a kind are interchangeable, so kinds are drawn,
        not videos); runs: number of runs of A and of B.
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
    classes: np.ndarray, right1: np.ndarray, right5: np.ndarray
) -> tuple[Figures, np.ndarray]:
    """The three `NAMES` of each run, and the number of videos of each kind.

    classes (V,): class numbers; right1, right5 (runs, V): whether the label was first, or among the
    first five. Videos of one class that are right in the same runs form a kind. Mean class accuracy
    is over the drawn classes.
    """
    runs = len(right1)
    rows = np.column_stack([classes, right1.T, right5.T]).astype(np.int64)
    kinds, sizes = np.unique(rows, axis=0, return_counts=True)
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

    return figures, sizes


def precision_figures(hot: np.ndarray, scores: list[np.ndarray]) -> tuple[Figures, np.ndarray]:
    """The mAP of each run, over the drawn classes; each video is a kind of its own.

    hot (V, classes): 0 or 1; scores: (V, classes) of each run. The average precision of a class is
    the mean over its videos of the precision among all videos with the same or a higher score: the
    area under the steps of the precision-recall curve.
    """

    def figures(counts: np.ndarray) -> np.ndarray:
        weights = counts.astype(np.float32)
        found = [
            [_average_precision(weights, score[:, c], hot[:, c] > 0) for c in range(hot.shape[1])]
            for score in scores
        ]
        return np.nanmean(np.array(found), axis=1)[None]

    return figures, np.ones(len(hot), np.int64)


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
