"""The plan of an ablation: its cells, their directories and arguments.

RUNS/cells/CELL is a cell's run directory, shared by all ablations; RUNS/ablations/NAME lists the
cells of one ablation, and has a link to each, such as GC_s0 or GC_s0_fold0of5.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

from video_gc.ablate.cell import Cell
from video_gc.ablate.spec import AblationConfig
from video_gc.atomic import write_text
from video_gc.progress import say

RECORD, CELLS, ABLATIONS = "ablation.json", "cells", "ablations"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A command of tools/ablate.py: all cells of an ablation, and how to start them."""

    name: str
    runs: str
    ablation: AblationConfig
    """of the chosen rows"""
    whole: AblationConfig
    """also of the rows that `only` leaves out"""
    cells: list[Cell]
    """seed by seed and fold by fold, so the table has all rows early"""
    pretraining: Cell | None = None
    """the training that comes first"""
    base: list[str]
    """the arguments shared by all rows that change what is trained"""
    tools: str
    """folder of train.py and test.py"""
    processes: int = 1
    """of each training, by torchrun"""
    launcher: list[str] = field(default_factory=list)
    """arguments of Hydra itself, such as hydra/launcher=joblib"""
    dry: bool = False
    """whether to show the cells only"""

    @property
    def rounds(self) -> list[list[Cell]]:
        """The cells in groups; each needs the results of those before."""
        return [*([[self.pretraining]] if self.pretraining else []), self.cells]

    @property
    def every_cell(self) -> list[Cell]:
        """Those of all rounds."""
        return list(chain(*self.rounds))

    @property
    def directory(self) -> Path:
        """RUNS/ablations/NAME."""
        return Path(self.runs) / ABLATIONS / self.name


def write_record(plan: Plan) -> Path:
    """Write ablation.json: rows, their values of each axis, reported and predicted accuracy, their
    options (for one seed), so their cost is known before training, and the directories of their
    cells.

    Seeds of the same cells from an earlier command stay, and so do rows that this command leaves
    out, if everything else was the same.

    Raises FileExistsError if an ablation of this name has other cells in a row.
    """
    file = plan.directory / RECORD
    before = json.loads(file.read_text("utf-8")) if file.is_file() else {"rows": []}
    earlier = {row["name"]: row for row in before["rows"]}
    same = before.get("arguments") == plan.base
    predictions, values = plan.whole.predictions, plan.whole.values
    rows = []
    for name, settings in plan.whole.all_rows.items():
        own = [cell for cell in plan.cells if cell.row == name]
        if not own:
            rows += [earlier[name]] if same and name in earlier else []
            continue
        reported, predicted = plan.whole.reported.get(name), predictions.get(name)
        paths = [os.path.relpath(cell.directory, plan.directory) for cell in own]
        kept = earlier[name]["cells"] if name in earlier else []
        _check_same_cells(file, name, kept, paths)
        rows.append(
            {
                "name": name,
                "settings": settings,
                "values": values.get(name, {}),
                "reported": asdict(reported) if reported else None,
                "predicted": asdict(predicted) if predicted else None,
                "options": own[0].options,
                "cells": sorted({*paths, *kept}, key=_seed_and_fold),
            }
        )
    names = [row["name"] for row in rows]
    ablation = plan.whole.only(names)
    baselines = {*names, *(value for name in names for value in values.get(name, {}).values())}
    content = {
        "name": plan.name,
        "title": ablation.title,
        "source": ablation.source,
        "baseline": plan.whole.baseline if plan.whole.baseline in baselines else None,
        "arguments": plan.base,
        "rows": rows,
    }
    if gone := earlier.keys() - set(names):
        say(f"{file}: removed the rows of another command: {', '.join(sorted(gone))}")
    written = write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    for cell in plan.cells:
        _link(plan.directory / cell.link, cell)
    return written


def _link(link: Path, cell: Cell) -> None:
    """Make `link` lead to the cell's run directory, also where it led to another."""
    if link.is_symlink():
        link.unlink()
    if not link.exists():
        link.symlink_to(os.path.relpath(cell.directory, link.parent), target_is_directory=True)


def _seed_and_fold(path: str) -> tuple[int, ...]:
    """Order of the cells of a row."""
    return tuple(map(int, re.findall(r"\d+", path.rpartition("_s")[2])))


def _without_seed(path: str) -> str:
    """What the cells of a row share: their name without seed and fold, and the number of folds."""
    name, _, rest = Path(path).name.rpartition("_s")
    folds = rest.rpartition("of")[2] if "_fold" in rest else ""
    return f"{name} on {folds} folds" if folds else name


def _check_same_cells(file: Path, row: str, before: Sequence[str], now: Sequence[str]) -> None:
    """Raise FileExistsError if the cells of a row differ in more than their seed and fold."""
    first, *others = dict.fromkeys(map(_without_seed, (*before, *now)))
    if others:
        raise FileExistsError(
            f"{file}: has other cells in row {row!r} ({first}, now {others[0]}); give name=OTHER, "
            "or delete that file (trained cells stay where they are)"
        )
