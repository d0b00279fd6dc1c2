"""Notes below every table: videos, views, precision, and warnings."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

import torch

from video_gc.analysis.compare.predictions import (
    SETTINGS,
    identical_predictions,
    unlike_tests,
)
from video_gc.analysis.measure import machine
from video_gc.analysis.table.costs import COUNTED, MEASURED
from video_gc.analysis.table.gather import Group
from video_gc.analysis.table.table import Row
from video_gc.deploy.choices import PRECISIONS
from video_gc.evaluate.selection import CHOSE, is_optimistic

BUSY = 0.5
"""Number of other waiting processes from which latency is unreliable."""
BESIDE = "other work ran while latency was measured"
ONE_SEED = (
    "; † one seed: ± the standard error from the number of videos, which does not include the "
    "spread over seeds"
)
DIFFERENCE = (
    "row − {} over the same videos, points; 95 % interval of a bootstrap paired over {} and "
    "trainings; p of {}; {}"
)
TESTS = {
    "videos": "McNemar's test (of several seeds, the sign test over videos)",
    "groups": "the sign test over groups",
}
"""What the bootstrap draws → the test beside it."""
FOLDS = (
    "each video is tested once, by the network of its fold, and all count together; the networks "
    "of two folds share most of their training videos, so the true spread is a little larger than "
    "the intervals say (Bengio and Grandvalet, JMLR 5, 2004)"
)

OUTCOME = (
    "top-1 of videos in per cent, said before the training; outcome: yes if the 95 % interval of "
    "the mean over seeds (Student's t, in the column beside it) lies on the predicted side, no if "
    "all of it lies on the other side, else open"
)


def notes_on(groups: Sequence[Group], rows: Sequence[Row], baseline: str | None) -> dict[str, str]:
    """The conditions of the figures: name → sentence."""
    defaults = {key: before for key, (_, before) in SETTINGS.items()}
    abouts = [defaults | run.about for group in groups for run in group.tested]
    notes = {
        "videos": _each(
            f"{about['video_level'].get('count', '?')} of {about.get('data', 'unknown videos')} "
            f"(fingerprint {about.get('fingerprint', 'unknown')})"
            + (f", subset {about['subset']}" if about["subset"] else "")
            + (f", {about['not_scored']} not scored" if about.get("not_scored") else "")
            for about in abouts
        ),
        "views": _each(
            f"{about['clips'] or '?'} × {about['crops'] or '?'} a video (clips × crops), fused by "
            f"{about['fuse']}; clip level: each view alone"
            for about in abouts
        ),
        "precision": _each(
            f"tested in {about['precision']} with the {about['weights']} weights"
            # checkpoints of older versions say `auto`, or nothing
            + (f", trained in {own}" if (own := about.get("trained_in")) in PRECISIONS[1:] else "")
            for about in abouts
        ),
        "rows": _each(
            f"{group.name}: {' '.join(group.settings)}"
            for group in groups
            if set(" ".join(group.settings).split()) - set(group.name.split())
        ),
    }
    unit = "groups" if any(row.groups for row in rows) else "videos"
    if seeds := sorted({len(row.seeds) for row in rows if row.runs}):
        notes["seeds"] = f"{' or '.join(map(str, seeds))} a row"
        kinds = [found for row in rows for found in row.figures.values()]
        plain = {found.kind for found in kinds if found.interval is None}
        notes["seeds"] += "; mean ± standard deviation over them" * ("sd" in plain)
        notes["seeds"] += ONE_SEED * ("se" in plain)
        if any(found.interval for found in kinds):
            notes["seeds"] += f"; [95 % interval] of a bootstrap over {unit}"
            notes["seeds"] += " and seeds" if seeds[-1] > 1 else ", without the spread over seeds"
    if folds := sorted({row.folds for row in rows if row.folds}):
        notes["folds"] = f"{' or '.join(map(str, folds))}; {FOLDS}"
    if unit == "groups":
        notes["groups"] = _each(
            f"{row.videos} videos of {row.groups} groups (source videos, persons, matches)"
            for row in rows
            if row.groups
        )
    if compared := sum(row.against is not None for row in rows):
        several = f"{compared} comparisons are made, so use p after Holm's correction"
        made = several if compared > 1 else "1 comparison is made"
        notes["difference"] = DIFFERENCE.format(baseline, unit, TESTS[unit], made)
    clips = [group.network[1] for group in groups if group.network]
    sizes = [f"{clip.frames} frames of {clip.test_crop}×{clip.test_crop} pixels" for clip in clips]
    notes["FLOPs"] = COUNTED
    if sizes:
        notes["FLOPs"] += f"; a clip is {', or '.join(dict.fromkeys(sizes))}"
    if any(group.assumed for group in groups):
        notes["classes"] = (
            "rows that are not trained yet are counted with 400 classes, those of Kinetics-400"
        )
    if any(row.test or row.train for row in rows):
        here = machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        named = ", ".join(f"{name} {value}" for name, value in here.items())
        notes["latency and memory"] = (
            f"{MEASURED}; test: forward alone; train: forward, backward and a step; peak memory of "
            f"the process's own work; on this machine: {named}"
            + (f"; {BESIDE}" if other_work(rows) >= BUSY else "")
        )
    if where := sorted({place for row in rows for place in row.seconds_of}):
        notes["time trained"] = (
            "wall time of all processes (and folds) of a run, mean over seeds, including delays by "
            f"other programs; from {' and '.join(where)}"
        )
    if any(row.predicted for row in rows):
        notes["predicted"] = OUTCOME
    if reported := [row.reported.source for row in rows if row.reported]:
        notes["reported"] = f"not ours: {_each(filter(None, reported)) or 'source not given'}"
    date = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    notes["made"] = f"{date}, video_gc {version('video_gc')}, torch {torch.__version__}"
    return {name: text for name, text in notes.items() if text}


def warnings_on(groups: Sequence[Group], refused: Mapping[str, str]) -> list[str]:
    """Rows not tested alike, missing cells, impossible comparisons.

    refused: row → why it is not compared with the baseline.
    """
    found = [
        f"{group.name}: {len(group.tested)} of {len(group.runs)} seeds; {name}: {why}"
        for group in groups
        for name, why in group.absent.items()
    ]
    found += [f"{group.name}: has no cells yet" for group in groups if not group.runs]
    baselines = {group.baseline for group in groups if group.baseline}
    found += [
        f"the baseline row, {group.name}, is not tested: no differences"
        for group in groups
        if group.name in baselines and not group.tested
    ]
    if not baselines and len(groups) > 1:
        found.append("no baseline, so no differences: give --baseline ROW")
    found += [f"{name} is not compared with the baseline: {why}" for name, why in refused.items()]
    if optimistic := [
        group.name for group in groups if any(is_optimistic(run.about) for run in group.tested)
    ]:
        found.append(
            f"‡ {CHOSE}, so accuracy is too high: {', '.join(optimistic)}; the last epoch has that "
            "of the column beside it (one view a video); hold out a test split (DIR/test, or "
            "data.test)"
        )
    for compared in _compared(groups):
        found += unlike_tests(
            [(group.name, run.about) for group in compared for run in group.tested]
        )
    for run in (run for group in groups for run in group.tested if run.folds):
        folds = [(fold.name, fold.about | {"fingerprint": None}) for fold in run.folds]
        found += unlike_tests(folds)
    for group in groups:
        seeds = [run.seed for run in group.tested if run.seed is not None]
        if len(set(seeds)) < len(seeds):
            found.append(f"{group.name}: seeds {', '.join(map(str, seeds))}: one is repeated")
        found += identical_predictions(group.tests)
    return found


def _compared(groups: Sequence[Group]) -> list[list[Group]]:
    """The rows that are compared with each other: all, or those of each of several baselines."""
    if len({group.baseline for group in groups if group.baseline}) < 2:
        return [list(groups)]
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(group.baseline or f"only {group.name}", []).append(group)
    return list(found.values())


def other_work(rows: Sequence[Row]) -> float:
    """Largest number of other processes that wanted the processor while latency was measured."""
    return max((row.costs.load for row in rows if row.costs), default=0.0)


def _each(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))
