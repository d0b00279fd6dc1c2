"""A row's accuracy: over its seeds, how far it may be off, and its difference to the baseline.

The difference is that of tools/compare.py, with Holm's correction for the number of comparisons
(A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6,
1979).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np

from video_gc.analysis.compare.comparison import LEVEL, compare_tests
from video_gc.analysis.compare.predictions import TestedRun
from video_gc.analysis.table.tested_run import Run

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
    """of error: sd, the standard deviation over seeds; se, the standard error of one training
    from the number of its videos; None where neither is known (one training: mAP, and shares of 0
    and 100 %)"""


@dataclass(frozen=True)
class Against:
    """A row minus the baseline, in points of its first figure, over the videos of both."""

    figure: str
    """top-1 or mAP"""
    difference: float
    low: float
    """lower end of the 95 % interval of the paired bootstrap over videos and trainings"""
    high: float
    p: float | None
    """mid-p of McNemar's test, of several trainings of the sign test over videos; None for mAP"""
    holm: float | None
    """p corrected for the number of comparisons in the table"""
    wins: int | None
    losses: int | None
    videos: int
    word: str
    """better, worse, or noise where the interval contains 0 or the test sees no difference; with
    `(not after Holm)` where the correction takes it back"""
    sentence: str
    """the same, with the interval and what would be seen"""


def figures(runs: Sequence[Run]) -> dict[str, Figure]:
    """`top1 video`, `top5 clip`, `mAP video`, … → figure, of those that all runs have."""
    found = {}
    for kind in KINDS:
        for level, key in LEVELS.items():
            shares = [run.about[key].get(kind) for run in runs]
            if shares and all(isinstance(share, float | int) for share in shares):
                videos = int(runs[0].about["video_level"].get("count", 0))
                found[f"{kind} {level}"] = figure(shares, None if kind == "mAP" else videos)
    return found


def figure(shares: Sequence[float], videos: int | None) -> Figure:
    """shares: 0…1 of each seed. videos: how many each share is of, None where no error follows.

    With one seed the error is √(p (1 - p) / videos), of views too: those of a video are not
    independent. At p = 0 and 1 this is 0, which is no error but the want of one: none is given.
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
    """A row's difference to the baseline, before Holm's correction.

    names: of both; n: resamples. Raises as `compare_tests`.
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
    """With Holm's p, and what it takes back, of as many comparisons as have a p."""
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
    """p values corrected for their number, in their order."""
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    found = np.empty(len(values))
    found[order] = np.maximum.accumulate(np.minimum(np.array(values)[order] * factors, 1))
    return [float(value) for value in found]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the (cost, accuracy) pairs that no other is at least as good as in both and better
    than in one, the cheapest first.
    """
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        last = points[front[-1]] if front else (0.0, -math.inf)
        if points[place][1] > last[1] or points[place] == last:
            front.append(place)
    return front
