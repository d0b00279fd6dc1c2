"""The numbers of a table, from its rows: everything that its files then show."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import torch

from video_gc.ablate.spec import Reported
from video_gc.analysis.measure import machine
from video_gc.analysis.table.against import Against, against_baseline
from video_gc.analysis.table.cost import CACHE, COUNTED, MEASURED, Costs, Measured, network_costs
from video_gc.analysis.table.gather import Collection, Group
from video_gc.analysis.table.notes import views_and_precision, warnings_on
from video_gc.analysis.table.seconds import seconds_trained
from video_gc.analysis.table.seeds import Figure, figures
from video_gc.data.index import DataError
from video_gc.models.build import sketch
from video_gc.models.describe import positions_seen

BUSY = 0.5
"""Other processes that want the processor, from which on latency is not to be trusted."""

BESIDE = "other work ran while latency was measured"


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


def make_table(
    collection: Collection, out: Path, *, measure: bool = True, resamples: int = 10_000
) -> Table:
    """All figures of `collection`. out: the folder whose costs.json keeps what was measured.

    Raises DataError where nothing at all was tested.
    """
    groups = collection.groups
    if not any(group.tested or group.planned for group in groups):
        name, why = next((item for group in groups for item in group.absent.items()), ("", ""))
        raise DataError(
            f"{collection.title}: none of {sum(len(g.runs) for g in groups)} trainings is tested "
            f"({name}: {why}); run: python tools/test.py RUN/checkpoints/best.ckpt"
        )
    against: dict[str, Against] = {}
    refused: dict[str, str] = {}
    base = next((group for group in groups if group.name == collection.baseline), None)
    if base is not None:
        others = [group for group in groups if group is not base]
        against, refused = against_baseline(base, others, resamples=resamples)
    costs, unbuilt = _costs(groups, out / CACHE, measure=measure)
    rows = [_row(group, against.get(group.name), costs.get(group.name)) for group in groups]
    measured = any(row.costs and (row.costs.test or row.costs.train) for row in rows)
    return Table(
        title=collection.title,
        source=collection.source,
        baseline=collection.baseline,
        rows=rows,
        notes=_notes(groups, rows, collection.baseline, measured=measured),
        warnings=[*warnings_on(groups, base, refused), *unbuilt, *_busy(rows, out / CACHE)],
    )


def _costs(
    groups: Sequence[Group], cache: Path, *, measure: bool
) -> tuple[dict[str, Costs], list[str]]:
    """Row → what it costs, and the rows that have no cost, since their network cannot be built."""
    networks, unbuilt = {}, []
    for group in groups:
        if (network := group.network) is None:
            continue
        try:
            if not group.tested:  # an option may be wrong that only building finds
                model, clip = network
                for side in {clip.crop, clip.test_crop}:
                    positions_seen(sketch(model), (clip.frames, side, side))
        except ValueError as error:
            unbuilt.append(f"{group.name}: no cost, for it cannot be built: {error}")
        else:
            networks[group.name] = network
    found = network_costs(list(networks.values()), cache, measure=measure)
    return dict(zip(networks, found, strict=True)), unbuilt


def _load(rows: Sequence[Row]) -> float:
    return max((row.costs.load for row in rows if row.costs), default=0.0)


def _busy(rows: Sequence[Row], cache: Path) -> list[str]:
    if _load(rows) < BUSY:
        return []
    return [
        f"{BESIDE} (up to {_load(rows):.1f} processes): ms of all rows may be much too long; "
        f"delete {cache} and run again on a quiet machine"
    ]


def _row(group: Group, against: Against | None, costs: Costs | None) -> Row:
    times = [found for run in group.tested if (found := seconds_trained(run.home))]
    prints = [str(run.about["fingerprint"]) for run in group.tested if run.about.get("fingerprint")]
    return Row(
        name=group.name,
        settings=group.settings,
        seeds=[run.seed for run in group.tested],
        planned=len(group.runs),
        runs=[str(run.home) for run in group.tested],
        absent=group.absent,
        figures=figures(group.tested),
        against=against,
        costs=costs,
        seconds=fmean(seconds for seconds, _ in times) if times else None,
        seconds_of=sorted({where for _, where in times}),
        fingerprint=prints[0] if prints else None,
        reported=group.reported,
    )


def _notes(
    groups: Sequence[Group], rows: Sequence[Row], baseline: str | None, *, measured: bool
) -> dict[str, str]:
    notes = views_and_precision(groups)
    seeds = sorted({len(row.runs) for row in rows if row.runs})
    if seeds:
        notes["seeds"] = f"{' or '.join(map(str, seeds))} a row" + (
            "; mean ± standard deviation over them" * (seeds[-1] > 1)
        )
    if seeds[:1] == [1]:
        notes["seeds"] += (
            "; † one seed: ± the standard error from the number of videos, which says nothing of "
            "another seed"
        )
    compared = [row.against for row in rows if row.against]
    if compared:
        notes["difference"] = (
            f"row − {baseline} over the same videos, points; 95 % interval of a bootstrap paired "
            "over videos and trainings; p of McNemar's test (of several seeds, the sign test over "
            f"videos); {len(compared)} comparison{'s are' if len(compared) > 1 else ' is'} made"
            + (", so look at p after Holm's correction" if len(compared) > 1 else "")
        )
    networks = [group.network for group in groups]
    sizes = dict.fromkeys(
        f"{clip.frames} frames of {clip.test_crop}×{clip.test_crop} pixels"
        for _, clip in filter(None, networks)
    )
    notes["FLOPs"] = f"{COUNTED}; a clip is {', or '.join(sizes)}" if sizes else COUNTED
    if any(group.assumed for group in groups):
        notes["classes"] = (
            "rows that are not trained yet are counted with 400 classes, those of Kinetics-400"
        )
    here = machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    named = ", ".join(f"{name} {value}" for name, value in here.items())
    if measured:
        notes["latency and memory"] = (
            f"{MEASURED}; test: forward alone; train: forward, backward and a step; peak memory of "
            f"the process's own work; on this machine: {named}"
            + (f"; {BESIDE}" if _load(rows) >= BUSY else "")
        )
    where = sorted({place for row in rows for place in row.seconds_of})
    if where:
        notes["time trained"] = (
            "wall time of all the processes of a run, mean over seeds, whatever else the machine "
            f"did; from {' and '.join(where)}"
        )
    if any(row.reported for row in rows):
        sources = dict.fromkeys(r.reported.source for r in rows if r.reported)
        notes["reported"] = f"not ours: {'; '.join(filter(None, sources)) or 'source not given'}"
    date = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    notes["made"] = f"{date}, video_gc {version('video_gc')}, torch {torch.__version__}"
    return notes
