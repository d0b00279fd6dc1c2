"""A table of many runs: the numbers that its files then show."""

from dataclasses import dataclass

from video_gc.ablate.spec import Reported
from video_gc.analysis.table.accuracy import Against, Figure
from video_gc.analysis.table.costs import Costs, Measured


@dataclass(frozen=True)
class Row:
    """One configuration."""

    name: str
    settings: list[str]
    seeds: list[int | None]
    """of the runs that count"""
    planned: int
    """runs that there should be"""
    runs: list[str]
    """directories that count"""
    absent: dict[str, str]
    """run that does not count → why"""
    figures: dict[str, Figure]
    """`top1 video`, `top5 clip`, `mAP video`, … → per cent"""
    against: Against | None
    costs: Costs | None
    seconds: float | None
    """of training, mean over the runs that count"""
    seconds_of: list[str]
    """where they were read"""
    fingerprint: str | None
    """of the tested videos"""
    reported: Reported | None

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
    """All rows and what is to be known about them."""

    title: str
    source: str | None
    baseline: str | None
    rows: list[Row]
    notes: dict[str, str]
    """what the figures are of, such as `videos`, `views`, `FLOPs`, `machine`"""
    warnings: list[str]

    @property
    def count(self) -> str:
        """How many of the trainings are there, in words."""
        planned, there = sum(r.planned for r in self.rows), sum(len(r.runs) for r in self.rows)
        return f"{there} of {planned} trainings are tested"
