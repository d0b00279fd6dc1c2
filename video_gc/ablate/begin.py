"""Before the first job: which copy of the data set this is, and which cells are done already."""

import json
from dataclasses import replace
from pathlib import Path

from video_gc.ablate.plan import Plan, write_record
from video_gc.ablate.status import has_results, mark_finished, other_videos
from video_gc.data.config import DataConfig
from video_gc.data.splits import open_splits
from video_gc.train.inputs import fingerprints


def begin(plan: Plan) -> tuple[Plan, list[int]]:
    """Write ablation.json; returns the plan with fingerprints, and the jobs without results.

    The data set is opened, and generated where it is `motions`, once for all jobs. The cell.json of
    a cell that failed and was then trained or tested by hand says that it is finished.

    Raises ValueError where a cell was made with other videos, FileExistsError where an ablation of
    this name has other cells, DataError or FileNotFoundError for unusable data.
    """
    known: dict[str, dict[str, str]] = {}
    found: dict[str, dict[str, str]] = {}
    for cell in plan.jobs:
        key = json.dumps(cell.options["data"], sort_keys=True)
        if key not in known:
            data = DataConfig(**cell.options["data"])
            known[key] = fingerprints(open_splits(data), data)
        found[cell.name] = known[key]
        differs = other_videos(Path(cell.directory), found[cell.name])
        if differs:
            raise ValueError(differs)
    write_record(plan)
    todo = []
    for number, cell in enumerate(plan.jobs):
        if has_results(cell):
            mark_finished(Path(cell.directory))
        else:
            todo.append(number)
    return replace(plan, fingerprints=found), todo
