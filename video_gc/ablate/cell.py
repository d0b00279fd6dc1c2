"""A cell of an ablation, and the job that trains and tests it in a process of Hydra's sweep."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from video_gc.atomic import write_text


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
class Job:
    """What one process of Hydra's sweep needs to know: a cell, and how it is started."""

    cell: Cell
    """its directory is absolute"""
    folder: str
    """where the ablation was started; relative paths of the cell's arguments begin there"""
    tools: str
    processes: int = 1
    fingerprints: dict[str, str] = field(default_factory=dict)
    """split → fingerprint of its videos as they are now"""


def write_jobs(folder: Path, jobs: Sequence[Job]) -> Path:
    """Write the jobs under a name that is made from them, and return the absolute path.

    So two sweeps of one ablation at once, with different seeds, never read each other's.
    """
    text = json.dumps([asdict(job) for job in jobs], indent=1)
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return write_text((folder / "sweep" / f"plan-{digest}.json").absolute(), text)


def read_jobs(file: Path) -> list[Job]:
    """All jobs of a file."""
    jobs = json.loads(file.read_text("utf-8"))
    return [Job(**job | {"cell": Cell(**job["cell"])}) for job in jobs]
