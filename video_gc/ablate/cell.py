"""A cell of an ablation, and the job that trains and tests it in Hydra's sweep."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from video_gc.atomic import write_text


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A network of a row, trained with one seed, perhaps on one fold."""

    row: str
    seed: int
    fold: str | None = None
    """such as 0/5"""
    directory: str
    """its run directory"""
    arguments: list[str]
    """of tools/train.py"""
    options: dict[str, Any]
    """the resolved config from `arguments`"""

    @property
    def name(self) -> str:
        """Name of its run directory, such as i3d_gc_five_0dde795b_s0 or …_s0_fold0of5."""
        return Path(self.directory).name

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.row}, seed {self.seed}{f', fold {self.fold}' if self.fold else ''}"

    @property
    def link(self) -> str:
        """Name of the link to it in its ablation, such as GC_s0 or GC_s0_fold0of5."""
        return f"{self.row}_s{self.name.rpartition('_s')[2]}".replace("/", "-")


@dataclass(frozen=True, kw_only=True)
class Job:
    """The input of one process of Hydra's sweep: a cell, and how to start it."""

    cell: Cell
    """its directory is absolute"""
    folder: str
    """where the ablation was started; base of relative paths in the cell's arguments"""
    tools: str
    processes: int = 1
    fingerprints: dict[str, str] = field(default_factory=dict)
    """split → present fingerprint of its videos"""


def write_jobs(folder: Path, jobs: Sequence[Job]) -> Path:
    """Write the jobs under a name made from their contents, and return the absolute path.

    So two simultaneous sweeps of one ablation, with different seeds, never read each other's jobs.
    """
    text = json.dumps([asdict(job) for job in jobs], indent=1)
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return write_text((folder / "sweep" / f"plan-{digest}.json").absolute(), text)


def read_jobs(file: Path) -> list[Job]:
    """All jobs of a file."""
    jobs = json.loads(file.read_text("utf-8"))
    return [Job(**job | {"cell": Cell(**job["cell"])}) for job in jobs]
