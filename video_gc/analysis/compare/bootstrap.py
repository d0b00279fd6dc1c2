"""How far a difference between tested runs may be from the true one: a paired bootstrap.

Each resample draws as many videos as there are, with replacement, the same ones for A and for B
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993). With several trainings on a side it
draws these too, independently of the videos: every training saw every video, so the design is
crossed (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007). Of S trainings
S - 1 are drawn: S would make their spread look (S - 1) / S of what it is (Rao and Wu, JASA 83,
1988). What chance does to one video in one training is then in the variance three times (Owen):
with the videos alone, with the trainings alone, and with both; two of them are taken off.

With one training each the interval is the percentile interval, widened about the difference by
Student's t over the normal quantile. With several, whose few draws have jumpy percentiles, it is
the difference ± t standard errors of the bootstrap (both: Hesterberg, The American Statistician 69,
2015), t with Welch's and Satterthwaite's degrees of freedom: three trainings know little about
their own spread. BCa was not taken: where there is little data it covers too seldom (Owen, arXiv
2508.10083).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from video_gc.progress import track

RESAMPLES = 10_000
NORMAL = 1.959964
"""97.5 % quantile of the normal distribution."""
POWER = 0.841621
"""80 % quantile of the normal distribution."""
CELLS_AT_ONCE = 2_000_000
"""Numbers in one array of resampled counts."""
T_QUANTILES = {
    1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 6: 2.4469, 7: 2.3646, 8: 2.3060,
    10: 2.2281, 12: 2.1788, 15: 2.1314, 20: 2.0860, 30: 2.0423, 60: 2.0003, 120: 1.9799,
}  # fmt: skip
"""Degrees of freedom → 97.5 % quantile of Student's t."""

Figures = Callable[[np.ndarray], np.ndarray]
"""How often each kind of video was drawn, (R, kinds) → each figure of each run, (figures, runs, R);
the runs of A first."""


@dataclass(frozen=True)
class Difference:
    """B - A of one figure, in points (hundredths)."""

    a: list[float]
    """the figure of each run of A, per cent"""
    b: list[float]
    low: float
    """lower end of the 95 % interval"""
    high: float
    error: float
    """standard error"""
    detectable: float
    """the smallest true difference that so many videos (and runs) show in 4 of 5 tests"""

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

    sizes: videos of each kind (videos that count alike are interchangeable, so that kinds are
        drawn and not videos); runs: how many of A, how many of B.
    """
    seen = 100 * figures(sizes[None])[..., 0]
    drawn, fixed = _resample(figures, sizes, runs, resamples, np.random.default_rng(seed))
    videos = int(sizes.sum())
    found = [
        _difference(each, 100 * crossed, 100 * own, runs[0], videos)
        for each, crossed, own in zip(seen, drawn, fixed, strict=True)
    ]
    return found, 100 * drawn


def t_quantile(freedom: float) -> float:
    """97.5 % quantile of Student's t; between the table's rows linear in 1/ν, a little wide."""
    if freedom < 1:
        return math.inf
    inverse = [0.0, *(1 / key for key in reversed(T_QUANTILES))]
    return float(np.interp(1 / freedom, inverse, [NORMAL, *reversed(T_QUANTILES.values())]))


def _resample(
    figures: Figures,
    sizes: np.ndarray,
    runs: tuple[int, int],
    resamples: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(figures, resamples) of B - A: videos and runs drawn, and videos alone."""
    videos = int(sizes.sum())
    step = max(1, CELLS_AT_ONCE // len(sizes))
    starts: Iterable[int] = range(0, resamples, step)
    if resamples > step:
        starts = track(starts, "Resampling", len(range(0, resamples, step)))
    means = np.repeat([-1 / runs[0], 1 / runs[1]], runs)[:, None]
    crossed, fixed = [], []
    for start in starts:
        count = min(step, resamples - start)
        counts = random.multinomial(videos, sizes / videos, size=count)
        weights = [_run_weights(random, number, count) for number in runs]
        weights[0] = -weights[0]
        each = figures(counts)
        crossed.append((each * np.concatenate(weights)).sum(1))
        fixed.append((each * means).sum(1))
    return np.concatenate(crossed, axis=1), np.concatenate(fixed, axis=1)


def _run_weights(random: np.random.Generator, runs: int, count: int) -> np.ndarray:
    """(runs, count): the share that each run has in each resample."""
    if runs == 1:
        return np.ones((1, count))
    return random.multinomial(runs - 1, [1 / runs] * runs, size=count).T / (runs - 1)


def _difference(
    each: np.ndarray, crossed: np.ndarray, fixed: np.ndarray, runs_a: int, videos: int
) -> Difference:
    a, b = each[:runs_a], each[runs_a:]
    seen = float(b.mean() - a.mean())
    spreads = [(side.var(ddof=1) / len(side), len(side) - 1) for side in (a, b) if len(side) > 1]
    trainings = sum(spread for spread, _ in spreads)
    total = by_videos = float(fixed.var())
    if spreads:
        both = by_videos + trainings
        total = max(2 * both - float(crossed.var()), by_videos, trainings)
    parts = [(total - trainings, videos - 1), *spreads]
    below = sum(spread**2 / freedom for spread, freedom in parts if spread)
    t = t_quantile(total**2 / below if below else videos - 1)
    error = math.sqrt(total)
    low, high = (np.percentile(fixed, [2.5, 97.5]) - seen) * min(t, T_QUANTILES[1]) / NORMAL
    if spreads:
        low, high = -t * error, t * error
    if error < 1e-9:
        # of V videos that are all alike nothing can be drawn; up to 3 / V of all may differ
        # (the rule of three: Hanley and Lippman-Hand, JAMA 249, 1983)
        high = 100 * min(1, 3 / videos)
        low, error = -high, high / 3
    return Difference(
        a=a.tolist(),
        b=b.tolist(),
        low=max(seen + float(low), -100.0),
        high=min(seen + float(high), 100.0),
        error=error,
        detectable=min((t + POWER) * error, 100.0),
    )
