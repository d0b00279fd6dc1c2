"""What each row takes for what, small enough for a page: counts of the pairs that occur."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from video_gc.analysis.compare.predictions import TestedRun, read_tested
from video_gc.analysis.table.gather import Group


@dataclass(frozen=True)
class Confusions:
    """Of all rows whose videos have one label each."""

    classes: list[str]
    rows: list[tuple[str, int, list[int]]]
    """name, runs, and (true, predicted, videos) of each pair that occurs over all its runs, one
    after another"""


def confusions(groups: Sequence[Group]) -> Confusions | None:
    """None where there are less than two such rows."""
    counted: list[tuple[str, int, Counter[tuple[str, str]]]] = []
    for group in groups:
        runs = [run for run in group.tested if not run.multi_label]
        if runs:
            pairs: Counter[tuple[str, str]] = Counter()
            for run in runs:
                pairs.update(_pairs(read_tested(run.home)))
            counted.append((group.name, len(runs), pairs))
    if len(counted) < 2:
        return None
    classes = sorted({name for _, _, pairs in counted for pair in pairs for name in pair})
    numbers = {name: number for number, name in enumerate(classes)}
    rows = []
    for name, runs_of, pairs in counted:
        flat = [
            value
            for (true, said), times in sorted(pairs.items())
            for value in (numbers[true], numbers[said], times)
        ]
        rows.append((name, runs_of, flat))
    return Confusions(classes, rows)


def _pairs(run: TestedRun) -> list[tuple[str, str]]:
    return [(label, top[0]) for label, top in zip(run.labels, run.top, strict=True)]
