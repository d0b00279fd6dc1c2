"""Each row against the baseline row: the paired tests of tools/compare.py, and Holm's correction.

Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6,
1979.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from video_gc.analysis.compare.comparison import LEVEL, Comparison, compare_runs
from video_gc.analysis.table.gather import Group
from video_gc.data.index import DataError


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


def against_baseline(
    baseline: Group, others: Sequence[Group], *, resamples: int = 10_000
) -> tuple[dict[str, Against], dict[str, str]]:
    """Row → its difference, and row → why there is none; rows without a test are in neither."""
    found: dict[str, Against] = {}
    refused: dict[str, str] = {}
    base = [run.home for run in baseline.tested]
    for group in others:
        if not base or not group.tested:
            continue
        try:
            compared = compare_runs(base, [run.home for run in group.tested], resamples=resamples)
        except (DataError, ValueError) as error:
            refused[group.name] = str(error)
            continue
        found[group.name] = _against(compared, baseline.name, group.name)
    return corrected(found), refused


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in their order."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    corrected, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = least
    return corrected


def _against(compared: Comparison, base: str, row: str) -> Against:
    name, first = next(iter(compared.figures.items()))
    changes = compared.changes
    return Against(
        figure=name,
        difference=first.difference,
        low=first.low,
        high=first.high,
        p=None if changes is None else changes.test.mid_p,
        holm=None,
        wins=None if changes is None else changes.wins,
        losses=None if changes is None else changes.losses,
        videos=len(compared.videos.paths),
        word=compared.word,
        sentence=f"{compared.verdict_on(base, row)} {_tested_by(compared)}".rstrip(),
    )


def _tested_by(compared: Comparison) -> str:
    if compared.changes is None:
        return ""
    name = compared.name_of_test
    return f"{name[0].upper()}{name[1:]}: p = {compared.changes.test.mid_p:.3g}."


def corrected(found: dict[str, Against]) -> dict[str, Against]:
    """With Holm's p, and what it takes back, of as many comparisons as have a p."""
    names = [name for name, each in found.items() if each.p is not None]
    values = holm([found[name].p or 0.0 for name in names])
    kept = dict(found)
    for name, value in zip(names, values, strict=True):
        each, count = found[name], len(names)
        said = f"{each.sentence[:-1]}, {value:.3g} after Holm's correction for {count} comparisons."
        word = each.word
        if word != "noise" and value >= LEVEL:
            said += f" Among {count} such differences one of this size may well be chance."
            word += " (not after Holm)"
        if count > 1:
            each = replace(each, sentence=said, word=word)
        kept[name] = replace(each, holm=value)
    return kept
