"""Which classes are taken for which: tables, and the confusion matrix as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from video_gc.escape import readable
from video_gc.evaluate.metrics import average_precisions, confusion
from video_gc.evaluate.plots import EXAMPLES, ConfusedPair, most_confused
from video_gc.evaluate.scores import Scores
from video_gc.outputs import output_path, write_csv


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
    """Pairs of classes that are confused, the most frequent first, the surest mistakes named."""
    index, rows, names = result.index, result.rows, result.index.names
    sure, said = result.scores[rows].max(1)
    segments = index.segments()
    return most_confused(
        result.targets,
        said,
        names,
        len(names) ** 2 if limit is None else limit,
        confidence=sure,
        paths=[index.path(int(row)) for row in rows],
        segments=None if segments is None else [segments[int(row)] for row in rows],
    )


def confusion_counts(result: Scores) -> Tensor:
    """int64 (true class, predicted class) of the scored videos."""
    return confusion(result.scores[result.rows], result.targets)


def write_classes(result: Scores, file: Path) -> Path:
    """One line a class, in the order of the columns of scores.npy; see `class_results`.

    Of several labels: name, videos that have it, average precision (empty where none has it).
    """
    if not result.index.multi_label:
        lines = [
            (one.name, one.videos, one.right, f"{one.top1:.6f}" if one.videos else "",
             one.taken_for, one.times)
            for one in class_results(result)
        ]  # fmt: skip
        return write_csv(file, ["class", "videos", "right", "top1", "taken_for", "times"], lines)
    labels = result.targets
    each = average_precisions(result.scores[result.rows], labels).tolist()
    counts = labels.sum(0).int().tolist()
    named = zip(result.index.names, counts, each, strict=True)
    precise = [(name, count, f"{figure:.6f}" if count else "") for name, count, figure in named]
    return write_csv(file, ["class", "videos", "average_precision"], precise)


def write_pairs(result: Scores, file: Path) -> Path:
    """`confused_pairs`: true, predicted, count, example1, example2, example3 (paths or empty)."""

    def named(pair: ConfusedPair) -> list[str]:
        return [example.path for example in pair.examples]

    lines = [
        (pair.true, pair.predicted, pair.count, *named(pair), *[""] * EXAMPLES)[: 3 + EXAMPLES]
        for pair in confused_pairs(result)
    ]
    examples = [f"example{number}" for number in range(1, EXAMPLES + 1)]
    return write_csv(file, ["true", "predicted", "count", *examples], lines)


def write_confusion(result: Scores, file: Path) -> Path:
    """Counts: one line for each true class, one column for each predicted class."""
    names = result.index.names
    counts = confusion_counts(result).tolist()
    lines = [(name, *row) for name, row in zip(names, counts, strict=True)]
    return write_csv(file, ["true", *names], lines)


def draw_confusion(result: Scores, file: Path) -> Path:
    """The confusion matrix of the scored videos, each row in shares of its class."""
    counts = confusion_counts(result)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    names = [readable(name) for name in result.index.names]
    few = len(names) <= 30
    side = max(4.0, 0.55 * len(names)) if few else 12.0
    figure = Figure(figsize=(side + 1.5, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if few:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(len(names)), names, parse_math=False)
        for row in range(len(names)):
            for column in range(len(names)):
                if counts[row, column]:
                    colour = "white" if shares[row, column] > 0.5 else "black"
                    text = str(int(counts[row, column]))
                    axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    with output_path(file) as part:
        figure.savefig(part, dpi=120)
    return file
