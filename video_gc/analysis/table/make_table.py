"""From the groups of runs to the table: figures, differences, costs, notes."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from video_gc.analysis.compare.predictions import same_videos
from video_gc.analysis.table.accuracy import Against, against, common_videos, corrected, figures
from video_gc.analysis.table.costs import CACHE, Costs, network_costs
from video_gc.analysis.table.gather import Collection, Group
from video_gc.analysis.table.notes import BESIDE, BUSY, notes_on, other_work, warnings_on
from video_gc.analysis.table.predicted.outcome import PREDICTED, outcome
from video_gc.analysis.table.table import Row, Table
from video_gc.analysis.table.tested_run import seconds_of_all
from video_gc.data.index import DataError
from video_gc.evaluate.selection import is_optimistic
from video_gc.models.build import sketch
from video_gc.models.describe import positions_seen


def make_table(
    collection: Collection, out: Path, *, measure: bool = True, resamples: int = 10_000
) -> Table:
    """All figures of `collection`. out: the folder whose costs.json stores measured costs.

    Raises DataError if nothing was tested.
    """
    groups = collection.groups
    if not any(group.tested or group.planned for group in groups):
        name, why = next((item for group in groups for item in group.absent.items()), ("", ""))
        raise DataError(
            f"{collection.title}: none of {sum(len(g.runs) for g in groups)} trainings is tested "
            f"({name}: {why}); run: video-gc test RUN/checkpoints/best.ckpt"
        )
    compared, refused = _differences(groups, resamples)
    costs, warnings = _costs(groups, out / CACHE, measure=measure)
    rows = [
        _row(group, compared.get(group.name), costs.get(group.name), resamples) for group in groups
    ]
    if (busy := other_work(rows)) >= BUSY:
        warnings.append(
            f"{BESIDE} (up to {busy:.1f} processes): ms of all rows may be much too long; delete "
            f"{out / CACHE} and run again on a quiet machine"
        )
    return Table(
        title=collection.title,
        source=collection.source,
        baseline=collection.baseline,
        rows=rows,
        notes=notes_on(groups, rows, collection.baseline),
        warnings=[*warnings_on(groups, refused), *warnings],
    )


def _differences(
    groups: Sequence[Group], resamples: int
) -> tuple[dict[str, Against], dict[str, str]]:
    """Row → its difference from its baseline, and row → reason for none; rows without a test, or
    with a baseline without one, are in neither."""
    found: dict[str, Against] = {}
    refused: dict[str, str] = {}
    by_name = {group.name: group for group in groups}
    for group in groups:
        base = by_name.get(group.baseline or "")
        if base is None or base is group or not base.tests or not group.tests:
            continue
        try:
            _check_same_videos(base, group)
            names = base.name, group.name
            found[group.name] = against(base.tests, group.tests, names, resamples)
        except (DataError, ValueError) as error:
            refused[group.name] = str(error)
    return corrected(found), refused


def _check_same_videos(base: Group, group: Group) -> None:
    """Raise DataError if the fingerprints differ: paths and labels alone may agree by chance."""
    first, other = (each.tested[0] for each in (base, group))
    if base.folds == group.folds and same_videos(first.about, other.about) is False:
        raise DataError(
            f"it was tested on other videos (fingerprint {other.fingerprint}, not "
            f"{first.fingerprint})"
        )


def _costs(
    groups: Sequence[Group], cache: Path, *, measure: bool
) -> tuple[dict[str, Costs], list[str]]:
    """Row → its cost, and the rows without one because their network cannot be built."""
    networks, unbuilt = {}, []
    for group in groups:
        if (network := group.network) is None:
            continue
        try:
            if not group.tested:  # only building finds a wrong option
                model, clip = network
                for side in {clip.crop, clip.test_crop}:
                    positions_seen(sketch(model), (clip.frames, side, side))
        except ValueError as error:
            unbuilt.append(f"{group.name}: no cost, because it cannot be built: {error}")
        else:
            networks[group.name] = network
    found = network_costs(list(networks.values()), cache, measure=measure)
    return dict(zip(networks, found, strict=True)), unbuilt


def _row(group: Group, difference: Against | None, costs: Costs | None, resamples: int) -> Row:
    times = [found for run in group.tested if (found := seconds_of_all(run.homes))]
    chosen = [run.about["selection"] for run in group.tested if is_optimistic(run.about)]
    last = [100 * found["last_value"] for found in chosen if found]
    accuracy, videos = figures(group.tested, resamples), common_videos(group.tests)
    return Row(
        name=group.name,
        settings=group.settings,
        seeds=[run.seed for run in group.tested],
        planned=len(group.runs),
        runs=[str(home) for run in group.tested for home in run.homes],
        absent=group.absent,
        names=[] if group.planned else [run.name for run in group.runs],
        figures=accuracy,
        against=difference,
        costs=costs,
        seconds=fmean(seconds for seconds, _ in times) if times else None,
        seconds_of=sorted({where for _, where in times}),
        fingerprint=next((run.fingerprint for run in group.tested if run.fingerprint), None),
        reported=group.reported,
        folds=group.folds,
        videos=None if videos is None else len(videos.paths),
        groups=None if videos is None else videos.group_count,
        values=group.values,
        baseline=group.baseline,
        predicted=group.predicted,
        outcome=outcome(group.name, group.predicted, accuracy.get(PREDICTED)),
        optimistic=bool(chosen),
        last=fmean(last) if last else None,
    )
