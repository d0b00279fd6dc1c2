"""A table of many runs: the numbers in its files."""

from dataclasses import dataclass, field

from video_gc.ablate.spec import Predicted, Reported
from video_gc.analysis.table.accuracy import Against, Figure
from video_gc.analysis.table.costs import Costs, Measured
from video_gc.analysis.table.predicted.outcome import Outcome


@dataclass(frozen=True)
class Row:
    """One configuration."""

    name: str
    settings: list[str]
    seeds: list[int | None]
    """of the runs with results"""
    planned: int
    """planned runs (seeds)"""
    runs: list[str]
    """directories that count: of each seed, and each fold of it"""
    absent: dict[str, str]
    """run without results → reason"""
    names: list[str]
    """of its runs, with or without results; empty in an ablation, which names its cells by row"""
    figures: dict[str, Figure]
    """`top1 video`, `top5 clip`, `mAP video`, … → per cent"""
    against: Against | None
    costs: Costs | None
    seconds: float | None
    """of training, mean over the runs with results"""
    seconds_of: list[str]
    """source of `seconds`"""
    fingerprint: str | None
    """of the tested videos"""
    reported: Reported | None
    folds: int | None = None
    """number of folds, in each of which other videos are tested"""
    videos: int | None = None
    """number of videos tested with every seed"""
    groups: int | None = None
    """number of their groups; None if each is alone"""
    values: dict[str, str] = field(default_factory=dict)
    """its value of each axis of its ablation"""
    baseline: str | None = None
    """row with which it is compared; the baseline's own name in the baseline"""
    predicted: Predicted | None = None
    outcome: Outcome | None = None
    """of the prediction"""
    optimistic: bool = False
    """whether the tested videos chose a checkpoint"""
    last: float | None = None
    """then also the last epoch's validation metric with one view a video, per cent, mean over the
    seeds"""

    @property
    def parameters(self) -> float | None:
        """In millions."""
        return None if self.costs is None else self.costs.counted.parameters / 1e6

    @property
    def flops(self) -> float | None:
        """Multiply-adds of a test clip, in units of 10⁹."""
        return None if self.costs is None else self.costs.counted.flops / 1e9

    @property
    def test(self) -> Measured | None:
        """Of a test clip, measured here."""
        return None if self.costs is None else self.costs.test

    @property
    def train(self) -> Measured | None:
        """Of a training step, measured here."""
        return None if self.costs is None else self.costs.train


@dataclass(frozen=True)
class Table:
    """All rows with their notes."""

    title: str
    source: str | None
    baseline: str | None
    """row with which the others are compared, or such rows in words"""
    rows: list[Row]
    notes: dict[str, str]
    """conditions of the figures, such as `videos`, `views`, `FLOPs`, `machine`"""
    warnings: list[str]

    @property
    def count(self) -> str:
        """The number of tested trainings, in words."""
        planned = sum(row.planned * (row.folds or 1) for row in self.rows)
        there = sum(len(row.runs) for row in self.rows)
        return f"{there} of {planned} trainings are tested"
