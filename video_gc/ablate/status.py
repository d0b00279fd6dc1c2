"""How far a cell is: what its directory says, and whether somebody is at it."""

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

from video_gc.ablate.cell import options_hash
from video_gc.ablate.plan import Cell
from video_gc.atomic import write_text
from video_gc.data.fingerprint import same_copy
from video_gc.locks import locked
from video_gc.models.weights.reading.read import read_file
from video_gc.train.checkpoint import KEY
from video_gc.train.resume.run_directory import CONFIG, is_finished
from video_gc.train.run_checkpoint import BEST, best_checkpoint

STATUS, LOG, LOCK = "cell.json", "cell.log", ".cell.lock"
STOPPED = "stopped by "
"""How the reason begins that is a signal to this job."""
PATIENCE = 2.0
"""Seconds to wait for a lock that somebody may only look at."""


@dataclass(frozen=True, kw_only=True)
class CellStatus:
    """What a cell's job writes into cell.json."""

    status: str
    """running, finished or failed"""
    reason: str | None = None
    """why it failed"""
    started: str
    """when its job began, ISO 8601"""
    seconds: float = 0.0
    """that its jobs took, the earlier ones too"""
    command: list[str]
    """that trains it alone"""

    @property
    def stopped(self) -> bool:
        """Whether it failed because somebody stopped it."""
        return (self.reason or "").startswith(STOPPED)

    @property
    def typed(self) -> str:
        """`command` as it is typed."""
        return shlex.join(["python" if part == sys.executable else part for part in self.command])


def read_status(directory: Path) -> CellStatus | None:
    """Of the last job; None where a cell was never a job, or was trained by tools/train.py."""
    with suppress(OSError, ValueError, TypeError):
        return CellStatus(**json.loads((directory / STATUS).read_text("utf-8")))
    return None


def write_status(directory: Path, status: CellStatus) -> None:
    """Replace cell.json at once."""
    write_text(directory / STATUS, json.dumps(asdict(status), indent=2) + "\n")


def mark_finished(directory: Path) -> None:
    """Say in cell.json of a cell that has results that it is finished.

    Another job, or the command typed by hand, may have made them after one that failed.
    """
    status = read_status(directory)
    if status is not None and status.status != "finished":
        write_status(directory, replace(status, status="finished", reason=None))


def cell_lock(directory: Path, timeout: float = PATIENCE) -> FileLock:
    """The lock that a job holds while it trains and tests the cell; take it with `with`.

    Entering raises filelock.Timeout where another job has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return FileLock(directory / LOCK, timeout=timeout)


def is_trained(cell: Cell) -> bool:
    """Whether the training of exactly these options came to its end."""
    directory = Path(cell.directory)
    if not is_finished(directory):
        return False
    kept = yaml.safe_load((directory / CONFIG).read_text("utf-8"))
    try:
        return options_hash(kept) == options_hash(cell.options)
    except (AttributeError, TypeError):  # of another version: tools/train.py says what differs
        return False


def has_results(cell: Cell) -> bool:
    """Whether it is trained to the end, and tested as its options ask.

    What the results do not say, because an older version wrote them, is no difference; nor is the
    precision where the options ask for `auto`, which is what the machine of the test has.
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
    """accuracy.json of a run's test; empty where there is none."""
    with suppress(OSError, ValueError):
        return dict(json.loads((directory / "test" / "accuracy.json").read_text("utf-8")))
    return {}


def other_videos(directory: Path, now: Mapping[str, str]) -> str | None:
    """How the videos of a trained cell differ from those that are given now; None if not.

    now: split → fingerprint; nothing is compared where it has none.
    """
    then: dict[str, str] = {}
    best = best_checkpoint(directory)
    if best.is_file():
        then |= read_file(best, mapped=True)[KEY].get("fingerprint", {})
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
    """finished, failed, running, stopped or to do; and why it failed.

    Takes the locks for a moment, to see whether somebody holds them.
    """
    directory = Path(cell.directory)
    if has_results(cell):
        return "finished", None
    if not directory.is_dir():
        return "to do", None
    if is_training(directory) or _has_job(directory):
        return "running", None
    status = read_status(directory)
    if status is not None and status.status == "failed" and not status.stopped:
        return "failed", status.reason
    return "stopped", None


def _has_job(directory: Path) -> bool:
    try:
        if (directory / LOCK).is_file():
            with cell_lock(directory, timeout=0):
                pass
    except Timeout:
        return True
    return False


def is_training(directory: Path) -> bool:
    """Whether tools/train.py or tools/test.py is at work in a run directory."""
    for folder in filter(Path.is_dir, (directory, directory / "test")):
        try:
            with locked(folder):
                pass
        except BlockingIOError:
            return True
    return False
