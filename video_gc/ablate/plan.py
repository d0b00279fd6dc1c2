"""The plan of an ablation: which cells there are, in which directories, with which arguments.

RUNS/cells/CELL is a cell's run directory, shared by all ablations; RUNS/ablations/NAME says which
of them belong to one.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from video_gc.ablate.spec import AblationConfig
from video_gc.atomic import write_text
from video_gc.progress import say

RECORD, CELLS, ABLATIONS = "ablation.json", "cells", "ablations"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A network of a row, trained with one seed."""

    row: str
    seed: int
    directory: str
    """its run directory"""
    arguments: list[str]
    """of tools/train.py"""
    options: dict[str, Any]
    """the resolved config that `arguments` give"""

    @property
    def name(self) -> str:
        """Of its run directory, such as i3d_gc_five_0dde795b_s0."""
        return Path(self.directory).name

    @property
    def title(self) -> str:
        """As a person calls it."""
        return f"{self.row}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All cells of an ablation, and what its jobs need to know."""

    name: str
    runs: str
    ablation: AblationConfig
    """of the rows that are asked for"""
    cells: list[Cell]
    """seed by seed, so that the table has all rows early"""
    tools: str
    """folder of train.py and test.py"""
    fingerprints: dict[str, dict[str, str]] = field(default_factory=dict)
    """cell → split → fingerprint of its videos as they are now"""
    processes: int = 1
    """of each training, by torchrun"""
    whole: AblationConfig | None = None
    """with the rows that `only` leaves out, too; None where it leaves out none"""
    base: list[str] = field(default_factory=list)
    """the arguments that all rows share, of those that change what is trained"""

    @property
    def directory(self) -> Path:
        """RUNS/ablations/NAME."""
        return Path(self.runs) / ABLATIONS / self.name

    @property
    def jobs(self) -> list[Cell]:
        """Each cell once, though several rows may have it."""
        return list({cell.name: cell for cell in self.cells}.values())


@dataclass(frozen=True)
class Job:
    """What one process of the sweep reads of a plan."""

    cell: Cell
    folder: str
    """where the ablation was started; relative paths of its arguments begin there"""
    tools: str
    fingerprints: dict[str, str]
    processes: int


def write_plan(plan: Plan) -> Path:
    """Write the jobs of `plan` under a name that is made from them, and return the file.

    So two sweeps of one ablation at once, with different seeds, never read each other's.
    """
    content = {
        "folder": os.getcwd(),
        "tools": plan.tools,
        "processes": plan.processes,
        "cells": [asdict(cell) for cell in plan.jobs],
        "fingerprints": plan.fingerprints,
    }
    text = json.dumps(content, indent=1)
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return write_text((plan.directory / "sweep" / f"plan-{digest}.json").absolute(), text)


def read_job(file: Path, number: int) -> Job:
    """Job `number` of a plan file."""
    content = json.loads(file.read_text("utf-8"))
    cell = Cell(**content["cells"][number])
    known = content["fingerprints"].get(cell.name, {})
    return Job(cell, content["folder"], content["tools"], known, content["processes"])


def write_record(plan: Plan) -> Path:
    """Write ablation.json: rows, what is reported for them, their options (those of one seed), so
    that their cost is known before they are trained, and where their cells lie.

    Seeds that an earlier command trained of the same cells stay, and so do rows that this one
    leaves out, if all else in it was the same.

    Raises FileExistsError where an ablation of this name has other cells in one of the rows.
    """
    file = plan.directory / RECORD
    before = json.loads(file.read_text("utf-8")) if file.is_file() else {"rows": []}
    earlier = {row["name"]: row for row in before["rows"]}
    alike = before.get("arguments") == plan.base
    ablation = plan.whole if plan.whole and alike else plan.ablation
    rows = []
    for name, settings in ablation.all_rows.items():
        own = [cell for cell in plan.cells if cell.row == name]
        if not own:
            rows += [earlier[name]] if name in earlier else []
            continue
        paths = [_relative(plan, cell) for cell in own]
        kept = earlier[name]["cells"] if name in earlier else []
        kinds = {_without_seed(path) for path in (*paths, *kept)}
        if len(kinds) > 1:
            raise FileExistsError(
                f"{file}: has other cells in row {name!r} ({_without_seed(kept[0])}, now "
                f"{_without_seed(paths[0])}); give name=OTHER, or delete that file (trained cells "
                "stay where they are)"
            )
        reported = ablation.reported.get(name)
        rows.append(
            {
                "name": name,
                "settings": settings,
                "reported": asdict(reported) if reported else None,
                "options": own[0].options,
                "cells": sorted({*paths, *kept}, key=_seed),
            }
        )
    content = {
        "name": plan.name,
        "title": ablation.title,
        "source": ablation.source,
        "baseline": ablation.baseline,
        "arguments": plan.base,
        "rows": rows,
    }
    if gone := earlier.keys() - {row["name"] for row in rows}:
        say(f"{file}: the rows of another command are no longer in it: {', '.join(sorted(gone))}")
    return write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _relative(plan: Plan, cell: Cell) -> str:
    return os.path.relpath(cell.directory, plan.directory)


def _without_seed(path: str) -> str:
    return Path(path).name.rpartition("_s")[0]


def _seed(path: str) -> int:
    return int(path.rpartition("_s")[2])
