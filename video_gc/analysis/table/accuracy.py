"""A row's accuracy over its seeds, its error, and its difference from the baseline.

The difference is as in tools/compare.py, with Holm's correction for the number of comparisons (A
simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np

from video_gc.analysis.compare.bootstrap import RESAMPLES, t_quantile
from video_gc.analysis.compare.comparison import LEVEL, compare_tests, intervals_of
from video_gc.analysis.compare.predictions import SharedVideos, TestedRun, shared_videos
from video_gc.analysis.table.tested_run import Run
from video_gc.data.index import DataError

LEVELS = {"video": "video_level", "clip": "clip_level"}
KINDS = {"top1": "top-1", "top5": "top-5", "mAP": "mAP"}


@dataclass(frozen=True)
class Figure:
    """One figure of one row, per cent."""

    values: list[float]
    """of each seed"""
    mean: float
    error: float | None
    kind: str | None
    """kind of error: sd, the standard deviation over seeds; se, the standard error of one training
    from the number of its videos, or with `interval` that of a bootstrap; None if neither is known
    (one training: mAP, and shares of 0 and 100 %)"""
    interval: tuple[float, float] | None = None
    """95 %, of a bootstrap over groups of videos (or the videos of all folds) and trainings"""

    @property
    def over_seeds(self) -> tuple[float, float] | None:
        """95 % interval of the mean over seeds, Student's t; None for one seed."""
        if (count := len(self.values)) < 2:
            return None
        half = t_quantile(count - 1) * stdev(self.values) / math.sqrt(count)
        return max(self.mean - half, 0.0), min(self.mean + half, 100.0)


@dataclass(frozen=True)
class Against:
    """A row minus the baseline, in points of its first figure, over the videos of both."""

    figure: str
    """top-1 or mAP"""
    difference: float
    low: float
    """lower end of the 95 % interval of the paired bootstrap over videos (or their groups) and
    trainings"""
    high: float
    p: float | None
    """mid-p of McNemar's test, or of the sign test with several trainings or groups; None for
    mAP"""
    holm: float | None
    """p corrected for the number of comparisons in the table"""
    wins: int | None
    losses: int | None
    videos: int
    word: str
    """better, worse, or noise if the interval contains 0 or the test finds no difference;
    `(not after Holm)` follows if the correction takes the result back"""
    sentence: str
    """the same with the interval and the detectable difference, as a sentence"""


def figures(runs: Sequence[Run], resamples: int = RESAMPLES) -> dict[str, Figure]:
    """`top1 video`, `top5 clip`, `mAP video`, … → figure, for the figures of all runs.

    If groups join some of the videos, or these are tested in folds, video-level figures have an
    interval: the formula for one training takes videos as independent.
    """
    tests = [run.test for run in runs if run.test is not None]
    shared = common_videos(tests)
    joined = shared is not None and shared.groups is not None
    dependent = joined or any(test.folds for test in tests)
    found: dict[str, Figure] = {}
    told = {kind: title for kind, title in KINDS.items()
            if kind != "top5" or any(test.tells_top5 for test in tests)}  # fmt: skip
    for kind in told:
        for level, key in LEVELS.items():
            shares = [run.about[key].get(kind) for run in runs]
            if shares and all(isinstance(share, float | int) for share in shares):
                videos = int(runs[0].about["video_level"].get("count", 0))
                unknown = kind == "mAP" or dependent
                found[f"{kind} {level}"] = figure(shares, None if unknown else videos)
    if dependent and shared is not None:
        try:
            seen = intervals_of(tests, resamples=resamples)
        except DataError:  # scores of several labels are missing; the difference says so
            seen = {}
        found |= {
            f"{kind} video": Figure(each.b, fmean(each.b), each.error, "se", (each.low, each.high))
            for kind, title in told.items()
            if (each := seen.get(title))
        }
    return found


def common_videos(tests: Sequence[TestedRun]) -> SharedVideos | None:
    """The videos of all `tests`; None if they share none (fingerprints then differ: a warning)."""
    try:
        return shared_videos(tests) if tests else None
    except DataError:
        return None


def figure(shares: Sequence[float], videos: int | None) -> Figure:
    """shares: 0…1 of each seed. videos: number of videos behind each share; None: no error.

    With one seed the error is √(p (1 - p) / videos), also for views: those of a video are not
    independent. At p = 0 and 1 the formula fails (it gives 0), so there is no error.
    """
    values = [100 * share for share in shares]
    mean = fmean(values)
    if len(values) > 1:
        return Figure(values, mean, stdev(values), "sd")
    if not videos or not 0 < shares[0] < 1:
        return Figure(values, mean, None, None)
    return Figure(values, mean, 100 * math.sqrt(shares[0] * (1 - shares[0]) / videos), "se")


def against(
    base: Sequence[TestedRun], row: Sequence[TestedRun], names: tuple[str, str], n: int
) -> Against:
    """A row's difference from the baseline, before Holm's correction.

    names: of both; n: number of resamples. Raises as `compare_tests`.
    """
    compared = compare_tests(base, row, resamples=n)
    name, first = compared.first
    changes, sentence = compared.changes, compared.verdict_on(*names)
    if changes is not None:
        test = compared.name_of_test
        sentence += f" {test[0].upper()}{test[1:]}: p = {changes.test.mid_p:.3g}."
    return Against(
        figure=name,
        difference=first.difference,
        low=first.low,
        high=first.high,
        p=changes.test.mid_p if changes else None,
        holm=None,
        wins=changes.wins if changes else None,
        losses=changes.losses if changes else None,
        videos=len(compared.videos.paths),
        word=compared.word,
        sentence=sentence,
    )


def corrected(found: dict[str, Against]) -> dict[str, Against]:
    """The differences with Holm's p, for as many comparisons as have a p; it may change words."""
    tested = {name: each.p for name, each in found.items() if each.p is not None}
    count, kept = len(tested), dict(found)
    for name, value in zip(tested, holm(list(tested.values())), strict=True):
        each = replace(found[name], holm=value)
        if count > 1:
            said = f"{each.sentence[:-1]}, {value:.3g} after Holm's correction for {count} "
            said += "comparisons."
            if each.word != "noise" and value >= LEVEL:
                said += f" Among {count} such differences one of this size may well be chance."
                each = replace(each, word=f"{each.word} (not after Holm)")
            each = replace(each, sentence=said)
        kept[name] = each
    return kept


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in the same order."""
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    found = np.empty(len(values))
    found[order] = np.maximum.accumulate(np.minimum(np.array(values)[order] * factors, 1))
    return [float(value) for value in found]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the (cost, accuracy) pairs on the Pareto front: no other pair is as good in both
    and better in one. The cheapest comes first.
    """
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        last = points[front[-1]] if front else (0.0, -math.inf)
        if points[place][1] > last[1] or points[place] == last:
            front.append(place)
    return front
