"""Which classes are right how often, and which are taken for which."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from video_gc.evaluate.metrics import confusion
from video_gc.evaluate.scores import Scores

EXAMPLES = 3
"""Videos of a confused pair that are named."""


@dataclass(frozen=True)
class ClassResult:
    """One class of a set with one label a video."""

    name: str
    videos: int
    """that have it and were scored"""
    right: int
    taken_for: str
    """the class that is most often said instead; empty where all are right"""
    times: int
    """how often it is"""

    @property
    def top1(self) -> float:
        """Share of its videos that are right; NaN where it has none."""
        return self.right / self.videos if self.videos else float("nan")


@dataclass(frozen=True)
class Example:
    """A video, or a part of one."""

    path: str
    segment: tuple[float, float] | None = None
    """start and end, seconds; None for the whole file"""


@dataclass(frozen=True)
class ConfusedPair:
    """Videos of one class that were taken for another."""

    true: str
    predicted: str
    of: int
    """videos of the true class"""
    rows: list[int]
    """of the index: which videos these are, the surest mistakes first"""
    examples: list[Example] = field(default_factory=list)
    """the first few of them"""

    @property
    def count(self) -> int:
        """How many videos."""
        return len(self.rows)


def confusion_counts(result: Scores) -> Tensor:
    """int64 (true class, predicted class) of the scored videos."""
    return confusion(result.scores[result.rows], result.targets)


def class_results(result: Scores) -> list[ClassResult]:
    """Each class of the index in its order; one label a video."""
    names, counts = result.index.names, confusion_counts(result)
    wrong = counts - torch.diag(counts.diag())
    return [
        ClassResult(
            name,
            int(counts[number].sum()),
            int(counts[number, number]),
            names[int(wrong[number].argmax())] if wrong[number].any() else "",
            int(wrong[number].max()),
        )
        for number, name in enumerate(names)
    ]


def worst_classes(classes: Sequence[ClassResult], count: int) -> list[ClassResult]:
    """Those with the lowest share of right videos, of those that have any; the larger first."""
    found = [one for one in classes if one.videos and one.right < one.videos]
    return sorted(found, key=lambda one: (one.top1, -one.videos))[:count]


def confused_pairs(result: Scores, limit: int | None = None) -> list[ConfusedPair]:
    """The pairs (true, predicted) with most videos, at most `limit`; ties in the order of classes.

    One label a video.
    """
    index, rows, true = result.index, result.rows, result.targets
    sure, said = result.best
    found: dict[tuple[int, int], list[int]] = {}
    for place in sure.argsort(descending=True, stable=True).tolist():
        if true[place] != said[place]:
            pair = int(true[place]), int(said[place])
            found.setdefault(pair, []).append(int(rows[place]))
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))[:limit]
    videos = true.bincount(minlength=len(index.names)).tolist()
    return [
        ConfusedPair(
            index.names[one],
            index.names[other],
            videos[one],
            mistaken,
            [Example(str(index.path(row)), index.segment(row)) for row in mistaken[:EXAMPLES]],
        )
        for (one, other), mistaken in ranked
    ]
