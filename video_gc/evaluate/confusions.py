"""Accuracy per class, and which classes are confused."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from video_gc.evaluate.metrics import confusion
from video_gc.evaluate.scores import Scores

EXAMPLES = 3
"""Number of videos named per confused pair."""


@dataclass(frozen=True)
class ClassResult:
    """One class of a set with one label a video."""

    name: str
    videos: int
    """scored videos of the class"""
    right: int
    taken_for: str
    """the most frequent wrong prediction; empty if all are correct"""
    times: int
    """how often it is predicted"""

    @property
    def top1(self) -> float:
        """Share of correct videos; NaN without videos."""
        return self.right / self.videos if self.videos else float("nan")


@dataclass(frozen=True)
class Example:
    """A video, or a part of one."""

    path: str
    segment: tuple[float, float] | None = None
    """start and end in seconds; None for the whole file"""


@dataclass(frozen=True)
class ConfusedPair:
    """Videos of one class that were predicted as another."""

    true: str
    predicted: str
    of: int
    """videos of the true class"""
    rows: list[int]
    """rows of these videos in the index, the most confident mistakes first"""
    examples: list[Example] = field(default_factory=list)
    """the first few videos"""

    @property
    def count(self) -> int:
        """Number of videos."""
        return len(self.rows)


def confusion_counts(result: Scores) -> Tensor:
    """Counts of the scored videos, int64 (true class, predicted class)."""
    return confusion(result.scores[result.rows], result.targets)


def class_results(result: Scores) -> list[ClassResult]:
    """The classes in the order of the index, for one label per video."""
    names, counts = result.index.names, confusion_counts(result)
    wrong = counts.clone().fill_diagonal_(0)
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
    """The classes with the lowest share of correct videos; of equal ones the larger first."""
    found = [one for one in classes if one.videos and one.right < one.videos]
    return sorted(found, key=lambda one: (one.top1, -one.videos))[:count]


def confused_pairs(result: Scores, limit: int | None = None) -> list[ConfusedPair]:
    """The pairs (true, predicted) with the most videos, at most `limit`; ties in class order.

    For one label per video.
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
