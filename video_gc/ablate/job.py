"""One cell as one job: trained and tested once, by whoever comes first.

The trainings are processes of tools/train.py and tools/test.py, so that a job can be killed at any
moment and the next one goes on from the last checkpoint.
"""

import os
import re
import shlex
import signal
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from filelock import Timeout

from video_gc.ablate.child import run_child
from video_gc.ablate.plan import Cell, Job
from video_gc.ablate.status import (
    LOG,
    STOPPED,
    CellStatus,
    cell_lock,
    has_results,
    is_trained,
    is_training,
    mark_finished,
    other_videos,
    read_status,
    write_status,
)
from video_gc.train.run_checkpoint import best_checkpoint

DONE, ELSEWHERE, FAILED = "finished", "running elsewhere", "failed"


class CellStopped(KeyboardInterrupt):
    """A signal stopped a cell, and with it the sweep."""


def run_job(job: Job, env: dict[str, str] | None = None) -> str:
    """Train and test the cell of `job` where it has no results yet; "finished", "failed" or
    "running elsewhere".

    env: variables for its processes, over those of this one.

    Raises CellStopped after Ctrl-C, SystemExit after another signal; the cell's training has saved
    then.
    """
    cell = job.cell
    directory = Path(job.folder, cell.directory)
    try:
        with cell_lock(directory):
            return _run(job, replace(cell, directory=str(directory)), env or {})
    except Timeout:
        return ELSEWHERE


def _run(job: Job, cell: Cell, env: dict[str, str]) -> str:
    directory = Path(cell.directory)
    earlier = read_status(directory)
    command = to_train(cell, job.tools, job.processes)
    status = CellStatus(
        status="running",
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        seconds=earlier.seconds if earlier else 0.0,
        command=command,
    )
    if has_results(cell):
        differs = other_videos(directory, job.fingerprints)
        if differs:
            write_status(directory, replace(status, status="failed", reason=differs))
            return FAILED
        mark_finished(directory)
        return DONE
    if is_training(directory):
        return ELSEWHERE
    write_status(directory, status)
    began = time.monotonic()
    steps = [] if is_trained(cell) else [command]
    reason, got = None, 0
    for step in (*steps, to_test(cell, job.tools, job.processes)):
        reason, got = _step(step, directory / LOG, job.folder, env)
        if reason is not None or got:
            break
    if reason is None and not got and not has_results(cell):
        reason = "was tested in another way than its options ask; see test/accuracy.json"
    if got:
        reason = f"{STOPPED}{signal.Signals(got).name}; the same command goes on from there"
    seconds = status.seconds + time.monotonic() - began
    ended = "finished" if reason is None else "failed"
    write_status(directory, replace(status, status=ended, reason=reason, seconds=seconds))
    if got == signal.SIGINT:
        raise CellStopped("Interrupted; all is saved, and the same command goes on from there.")
    if got:
        raise SystemExit(128 + got)
    return DONE if reason is None else FAILED


def to_train(cell: Cell, tools: str, processes: int = 1) -> list[str]:
    """The command that trains this cell, by hand too."""
    return [*_python(processes), f"{tools}/train.py", *cell.arguments]


def to_test(cell: Cell, tools: str, processes: int = 1) -> list[str]:
    """The command that tests it; results of another test, which are not asked for, it replaces."""
    best = best_checkpoint(Path(cell.directory))
    out = ["--out", str(Path(cell.directory, "test"))]
    device = ["--device", "cpu"] if cell.options["accelerator"] == "cpu" else []
    return [*_python(processes), f"{tools}/test.py", str(best), *out, *device]


def as_typed(command: list[str]) -> str:
    """A command as it is typed."""
    return shlex.join(["python" if part == sys.executable else part for part in command])


def _python(processes: int) -> list[str]:
    if processes == 1:
        return [sys.executable]
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    return [sys.executable, *torchrun]


def _step(
    command: list[str], log: Path, folder: str, env: dict[str, str]
) -> tuple[str | None, int]:
    """Run one tool; why it failed, and the signal that stopped us."""
    start = log.stat().st_size if log.is_file() else 0
    status, got = run_child(command, log, folder=folder, env=os.environ | env)
    if status == 0 or got:
        return None, got
    with log.open("rb") as stream:
        stream.seek(start)
        said = stream.read().decode(errors="replace")
    tool = next(part for part in command if part.endswith(".py"))
    return failure(Path(tool).name, status, said), 0


def failure(tool: str, status: int, said: str) -> str:
    """Why a tool failed, in one line. status: its exit status; said: what it printed."""
    first = re.search(r"torch/distributed/elastic/.*failed \(exitcode: (-?\d+)\)", said)
    if first:  # torchrun's report, below what its processes said, has the status of the first one
        status = int(first[1])
        said = re.split(r"(?m)^\w+ .*torch/distributed/elastic/", said, maxsplit=1)[0]
    lines = [line.strip() for line in re.split(r"[\r\n]+", said) if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    if status < 0 or status > 128:
        number = -status if status < 0 else status - 128
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = " (out of memory?)" if number == signal.SIGKILL else ""
        return f"{tool} was ended by {name}{hint}"
    if errors:
        return errors[-1].removeprefix("error: ")
    last = f": {lines[-1]}" if lines else ""
    return f"{tool} ended with exit status {status}{last}"[:300]
