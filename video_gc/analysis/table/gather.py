"""Directories → the rows of a table: of an ablation, or of free runs grouped by config."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from video_gc.ablate.cell_name import cell_hash
from video_gc.ablate.plan import RECORD
from video_gc.ablate.spec import Predicted, Reported
from video_gc.analysis.compare.predictions import TestedRun
from video_gc.analysis.cost.latency import Network
from video_gc.analysis.table.naming import row_names
from video_gc.analysis.table.tested_run import (
    Run,
    is_run,
    pool_runs,
    read_run,
    typed_config,
)
from video_gc.backbones.published import KINETICS400
from video_gc.data.fingerprint import same_copy
from video_gc.data.generated.tasks import TASKS
from video_gc.data.index import DataError
from video_gc.train.options import TrainConfig

Kept = TypeVar("Kept", Reported, Predicted)
LONGEST_NAMES = 60
"""Characters of the names of runs in the name of their table's folder."""


@dataclass(frozen=True)
class Group:
    """The runs of one row: seeds of one config; the folds of a seed are one run."""

    name: str
    runs: list[Run]
    settings: list[str] = field(default_factory=list)
    reported: Reported | None = None
    predicted: Predicted | None = None
    values: dict[str, str] = field(default_factory=dict)
    """its value of each axis of its ablation"""
    baseline: str | None = None
    """row with which it is compared; the baseline's own name in the baseline"""
    planned: Network | None = None
    """the network of its cells; only for an ablation"""
    assumed: bool = False
    """whether the classes of `planned` are unknown, and assumed to be those of Kinetics-400"""

    @property
    def network(self) -> Network | None:
        """The network whose cost is shown; None if unknown."""
        return next((run.network for run in self.runs if run.network), self.planned)

    @property
    def tested(self) -> list[Run]:
        """Those that count."""
        return [run for run in self.runs if run.test is not None]

    @property
    def tests(self) -> list[TestedRun]:
        """Of those."""
        return [run.test for run in self.runs if run.test is not None]

    @property
    def folds(self) -> int | None:
        """Number of folds of each run; None for runs with test videos of their own."""
        return next((len(run.folds) for run in self.runs if run.folds), None)

    @property
    def absent(self) -> dict[str, str]:
        """Run without results → reason."""
        return {run.name: run.problem for run in self.runs if run.problem is not None}


@dataclass(frozen=True)
class Collection:
    """All rows of a table, in order."""

    title: str
    source: str | None
    baseline: str | None
    """row with which the others are compared, or such rows in words"""
    groups: list[Group]
    home: Path
    """default folder of the table"""


def single_run(places: Sequence[Path]) -> Path | None:
    """The run directory if `places` is a single run; None for a table."""
    if len(places) == 1 and is_run(places[0]) and not (places[0] / RECORD).is_file():
        return places[0]
    return None


def collect(places: Sequence[Path], baseline: str | None = None) -> Collection:
    """Rows of the ablations, run directories and folders of runs in `places`.

    baseline: a row; for one ablation also a value of an axis.

    Raises FileNotFoundError for a place without any of these, ValueError for a `baseline` that is
    neither, DataError for an unreadable ablation.json.
    """
    ablations, homes = [], []
    for place in places:
        if (place / RECORD).is_file():
            ablations.append(place)
        else:
            homes += [place] if is_run(place) else _runs_in(place)
    read = [_ablation(place) for place in ablations]
    once = {home.resolve(): home for home in homes}.values()
    free = _grouped(pool_runs([read_run(home) for home in once]))
    groups = [group for each in read for group in each.groups] + free
    if len({group.name for group in groups}) < len(groups):
        groups = _told_apart([*[(each.title, each.groups) for each in read], ("", free)])
    _check_baseline(baseline, groups, axes=len(read) == 1)
    if len(read) == 1:
        groups, compared = _with_baselines(groups, baseline or read[0].baseline)
        return Collection(read[0].title, read[0].source, compared, groups, read[0].home)
    chosen = baseline or _plain(groups)
    groups, _ = _with_baselines([replace(group, values={}) for group in groups], chosen)
    if not read:
        groups.sort(key=lambda group: group.name != chosen)
    title = ", ".join(each.title for each in read) or "Runs"
    beside = homes[0].parent if homes else ablations[0].parent
    home = (beside.parent if beside.name == "cells" else beside) / table_folder(places)
    return Collection(title, None, chosen, groups, home)


def table_folder(places: Sequence[Path]) -> str:
    """`table` for all runs of a folder; for chosen ones their names too, so that the next table of
    others does not replace it."""
    if len(places) == 1:
        return "table"
    names = [place.resolve().name for place in places]
    joined = "_".join(names)
    if len(joined) <= LONGEST_NAMES:
        return f"table_{joined}"
    digest = hashlib.blake2b(joined.encode(errors="replace"), digest_size=3).hexdigest()
    return f"table_{names[0][:LONGEST_NAMES]}_and_{len(names) - 1}_others_{digest}"


def _ablation(place: Path) -> Collection:
    file = place / RECORD
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        groups = [
            Group(
                name=str(row["name"]),
                runs=pool_runs([read_run(place / cell) for cell in row["cells"]]),
                settings=list(row.get("settings", [])),
                reported=_kept(Reported, row.get("reported")),
                predicted=_kept(Predicted, row.get("predicted")),
                values=dict(row.get("values") or {}),
            )
            for row in kept["rows"]
        ]
        trained = {run.network[0].num_classes for g in groups for run in g.runs if run.network}
        classes = trained.pop() if len(trained) == 1 else None  # all rows share their data
        groups = [
            _planned(group, typed_config(row["options"]), classes) if row.get("options") else group
            for group, row in zip(groups, kept["rows"], strict=True)
        ]
        title = str(kept.get("title") or kept["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}: cannot be read ({type(error).__name__}: {error}); video-gc ablate writes it"
        ) from error
    return Collection(title, kept.get("source"), kept.get("baseline"), groups, place)


def _planned(group: Group, config: TrainConfig, classes: int | None) -> Group:
    """Add the network of its cells. classes: number of classes of the trained rows."""
    known = config.model.num_classes or classes
    if config.data.kind == "motions":
        known = len(TASKS[config.data.task])
    model = replace(config.model, num_classes=known or len(KINETICS400), weights=None)
    assumed = known is None and not any(run.network for run in group.runs)
    return replace(group, planned=(model, config.clip), assumed=assumed)


def _kept(kind: type[Kept], kept: dict[str, Any] | None) -> Kept | None:
    """A part of a row as the dataclass `kind`; what an older file lacks gets its default."""
    if not kept:
        return None
    return kind(**{each.name: kept[each.name] for each in fields(kind) if each.name in kept})


def _check_baseline(chosen: str | None, groups: Sequence[Group], *, axes: bool) -> None:
    """Raise ValueError unless it is a row or, with `axes`, a value of one axis."""
    rows = [group.name for group in groups]
    if chosen is None or chosen in rows:
        return
    pairs = {pair for group in groups for pair in group.values.items()} if axes else set()
    found = sorted(axis for axis, value in pairs if value == chosen)
    if len(found) > 1:
        raise ValueError(
            f"--baseline {chosen!r}: a value of the axes {' and '.join(found)}; give a row: "
            f"{', '.join(rows)}"
        )
    if not found:
        raise ValueError(
            f"--baseline {chosen!r}: no such row; the rows are {', '.join(rows)}"
            f"{'; or give a value of an axis' * bool(pairs)}"
        )


def _with_baselines(groups: Sequence[Group], chosen: str | None) -> tuple[list[Group], str | None]:
    """The rows with their baselines, and these in words; None if there are none.

    chosen: a row, or a value of an axis: then a row's baseline differs from it in that value only.
    """
    if chosen in [group.name for group in groups]:
        return [replace(group, baseline=chosen) for group in groups], chosen
    pairs = [pair for group in groups for pair in group.values.items()]
    axis = next((axis for axis, value in pairs if value == chosen), None)
    if axis is None or chosen is None:
        return list(groups), None
    names = {tuple(sorted(group.values.items())): group.name for group in groups if group.values}
    found = [
        replace(group, baseline=names.get(tuple(sorted((group.values | {axis: chosen}).items()))))
        if group.values
        else group
        for group in groups
    ]
    others = [other for other in dict(pairs) if other != axis]
    return found, f"{chosen} of the same {' and '.join(others)}"


def _runs_in(place: Path) -> list[Path]:
    """The run directories directly in a folder, and in its `cells`."""
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: no such run directory, ablation or folder of runs")
    found = sorted(path for path in (*place.glob("*"), *place.glob("cells/*")) if is_run(path))
    if found:
        return found
    others = sorted(path.parent.name for path in place.glob(f"*/{RECORD}"))
    way_out = f"name one of {', '.join(others)}" if others else "make some with video-gc train"
    raise FileNotFoundError(f"{place}: no run and no {RECORD} in it; {way_out}")


def _grouped(runs: Sequence[Run]) -> list[Group]:
    """Seeds of one config on one copy of the data are a row; a run without a config is its own."""
    rows: list[list[Run]] = []
    for run in runs:
        fitting = next((row for row in rows if _belongs(run, row[0])), None)
        if fitting is None:
            rows.append([run])
        else:
            fitting.append(run)
    named = iter(row_names([row[0].config for row in rows if row[0].config is not None]))
    groups = []
    for row in rows:
        name, settings = (row[0].name, []) if row[0].config is None else next(named)
        seeds = sorted(row, key=lambda run: (run.seed or 0, run.name))
        groups.append(Group(name, seeds, settings))
    return groups


def _belongs(run: Run, first: Run) -> bool:
    configs = [each.config for each in (run, first)]
    hashes = {None if config is None else cell_hash(config) for config in configs}
    if None in configs or len(hashes) > 1:
        return False
    copies = run.fingerprint, first.fingerprint
    return not all(copies) or same_copy(*copies) is not False


def _told_apart(parts: Sequence[tuple[str, list[Group]]]) -> list[Group]:
    """Rows of several ablations under unique names."""
    groups: list[Group] = []
    for title, rows in parts:
        for group in rows:
            name = f"{title}: {group.name}" if title else group.name
            while name in {each.name for each in groups}:
                name += "'"
            groups.append(replace(group, name=name))
    return groups


def _plain(groups: Sequence[Group]) -> str | None:
    """The row without context blocks, if exactly one was tested."""
    found = [
        group.name
        for group in groups
        if group.tested
        and (config := group.runs[0].config) is not None
        and config.model.context.kind == "none"
        and not config.model.more_context
    ]
    return found[0] if len(found) == 1 and len(groups) > 1 else None
