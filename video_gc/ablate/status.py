"""The state of a cell, from its directory and the locks of running processes."""

import json
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from video_gc.ablate.cell import Cell
from video_gc.ablate.cell_name import options_hash
from video_gc.atomic import write_text
from video_gc.data.fingerprint import same_copy
from video_gc.locks import LOCK as RUN_LOCK
from video_gc.models.weights.reading.read import read_file
from video_gc.train.checkpoint import KEY
from video_gc.train.checkpoint_paths import BEST, best_checkpoint
from video_gc.train.resume.run_directory import CONFIG, is_finished

STATUS, LOG, LOCK = "cell.json", "cell.log", ".cell.lock"
STOPPED = "stopped by "
"""Beginning of the reason of a stopped job."""
PATIENCE = 2.0
"""Seconds to wait for a lock: `state_of` takes it for a moment."""


@dataclass(frozen=True, kw_only=True)
class CellStatus:
    """The content of cell.json, written by the cell's job."""

    status: str
    """running, finished or failed"""
    reason: str | None = None
    """why it failed"""
    started: str
    """when its job began, ISO 8601"""
    seconds: float = 0.0
    """total of its jobs, including earlier ones"""
    command: list[str]
    """command that trains only this cell"""

    @property
    def stopped(self) -> bool:
        """Whether it failed because somebody stopped it."""
        return (self.reason or "").startswith(STOPPED)

    @property
    def typed(self) -> str:
        """`command` as typed in a shell."""
        return shlex.join(["python" if part == sys.executable else part for part in self.command])


def read_status(directory: Path) -> CellStatus | None:
    """The content of cell.json; None if there is none, for example after tools/train.py by hand."""
    with suppress(OSError, ValueError, TypeError):
        return CellStatus(**json.loads((directory / STATUS).read_text("utf-8")))
    return None


def write_status(directory: Path, status: CellStatus) -> None:
    """Replace cell.json atomically."""
    write_text(directory / STATUS, json.dumps(asdict(status), indent=2) + "\n")


def mark_finished(directory: Path) -> None:
    """Set cell.json to finished if the results are newer than a failed job."""
    status = read_status(directory)
    if status is not None and status.status != "finished":
        write_status(directory, replace(status, status="finished", reason=None))


def cell_lock(directory: Path) -> FileLock:
    """The lock that a job holds while it trains and tests the cell; take it with `with`.

    Entering raises filelock.Timeout if another job has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return FileLock(directory / LOCK, timeout=PATIENCE)


def is_trained(cell: Cell) -> bool:
    """Whether a training with exactly these options was completed."""
    directory = Path(cell.directory)
    if not is_finished(directory):
        return False
    kept = yaml.safe_load((directory / CONFIG).read_text("utf-8"))
    try:
        return options_hash(kept) == options_hash(cell.options)
    except (AttributeError, TypeError):  # of another version; tools/train.py explains it
        return False


def has_results(cell: Cell) -> bool:
    """Whether it is fully trained, and tested as its options require.

    Settings missing in the results of an older version count as equal; so does any precision if the
    option is `auto`.
    """
    found = _read_results(Path(cell.directory))
    if not found or Path(found.get("checkpoint", BEST)).name != BEST:
        return False
    asked = cell.options["test"]
    wanted = {name: asked[name] for name in ("clips", "crops", "fuse", "precision")}
    wanted |= {"subset": None, "weights": "raw" if cell.options["ema"] is None else "ema"}
    if asked["precision"] == "auto":
        del wanted["precision"]
    return all(found.get(key, value) == value for key, value in wanted.items()) and is_trained(cell)


def _read_results(directory: Path) -> dict[str, Any]:
    """accuracy.json of a run's test; empty if there is none."""
    with suppress(OSError, ValueError):
        return dict(json.loads((directory / "test" / "accuracy.json").read_text("utf-8")))
    return {}


def other_videos(directory: Path, now: Mapping[str, str]) -> str | None:
    """The message if a cell was made with other videos than these; None if it was not.

    now: split → fingerprint; other splits are not compared.
    """
    then: dict[str, str] = {}
    best = best_checkpoint(directory)
    if best.is_file():
        then |= read_file(best, mapped=True)[KEY]["fingerprint"]
    if tested := _read_results(directory).get("fingerprint"):
        then["test"] = tested
    for split, what in (("train", "training"), ("val", "validation"), ("test", "test")):
        if same_copy(then.get(split, ""), now.get(split, "")) is False:
            return (
                f"{directory}: was made with other {what} videos (fingerprint {then[split]}, now "
                f"{now[split]}); give runs=OTHER for these, or the old data"
            )
    return None


def state_of(cell: Cell) -> tuple[str, str | None]:
    """finished, failed, running, stopped or to do; and the reason of a failure.

    Takes the locks briefly, to see whether a process holds them.
    """
    directory = Path(cell.directory)
    if has_results(cell):
        return "finished", None
    if not directory.is_dir():
        return "to do", None
    if is_training(directory) or _held(directory / LOCK):
        return "running", None
    status = read_status(directory)
    if status is not None and status.status == "failed" and not status.stopped:
        return "failed", status.reason
    return "stopped", None


def is_training(directory: Path) -> bool:
    """Whether tools/train.py or tools/test.py is running in a run directory."""
    return _held(directory / RUN_LOCK) or _held(directory / "test" / RUN_LOCK)


def _held(lock: Path) -> bool:
    try:
        if lock.is_file():
            with FileLock(lock, timeout=0):
                pass
    except Timeout:
        return True
    return False
