"""A job trains and tests one cell, unless the cell has results or another job has it.

It runs tools/train.py and tools/test.py as commands, so it can be killed at any moment: the next
job resumes from the last checkpoint.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from filelock import Timeout

from video_gc.ablate.cell import Cell, Job
from video_gc.ablate.cell_process import run_logged
from video_gc.ablate.plan import Plan, write_record
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
from video_gc.data.config import DataConfig
from video_gc.data.splits import open_splits
from video_gc.train.checkpoint_paths import best_checkpoint
from video_gc.train.inputs import fingerprints

DONE, ELSEWHERE, FAILED = "finished", "running elsewhere", "failed"


def begin(plan: Plan) -> list[list[Job]]:
    """Write ablation.json; returns the jobs of the cells without results, for each of the plan's
    rounds.

    The data set is opened once for all jobs of a fold (`motions` is generated). If a failed cell
    was later trained or tested by hand, its cell.json is set to finished.

    Raises ValueError if a cell was made with other videos, FileExistsError if an ablation of this
    name has other cells, DataError or FileNotFoundError for unusable data.
    """
    known: dict[str, dict[str, str]] = {}
    rounds = [[_job(plan, cell, known) for cell in cells] for cells in plan.rounds]
    write_record(plan)
    for jobs in rounds:
        finished = [job for job in jobs if has_results(job.cell)]
        for job in finished:
            mark_finished(Path(job.cell.directory))
            jobs.remove(job)
    return rounds


def _job(plan: Plan, cell: Cell, known: dict[str, dict[str, str]]) -> Job:
    """The job of a cell. known: data and fold → the fingerprints, found once."""
    key = json.dumps([cell.options["data"], cell.fold], sort_keys=True)
    if key not in known:
        data = DataConfig(**cell.options["data"])
        known[key] = fingerprints(open_splits(data, cell.fold), data)
    directory = Path(cell.directory).absolute()
    if differs := other_videos(Path(cell.directory), known[key]):
        raise ValueError(differs)
    return Job(
        cell=replace(cell, directory=str(directory)),
        folder=str(Path.cwd()),
        tools=plan.tools,
        processes=plan.processes,
        fingerprints=known[key],
    )


def run_job(job: Job, env: Mapping[str, str] | None = None) -> str:
    """Train and test the cell of `job` if it has no results yet; returns "finished", "failed" or
    "running elsewhere".

    env: variables for its processes, overriding this process's.

    Raises KeyboardInterrupt after Ctrl-C, SystemExit after another signal, after the cell's
    training has saved.
    """
    try:
        with cell_lock(Path(job.cell.directory)):
            return _run(job, os.environ | (env or {}))
    except Timeout:
        return ELSEWHERE


def _run(job: Job, env: Mapping[str, str]) -> str:
    cell, directory = job.cell, Path(job.cell.directory)
    earlier = read_status(directory)
    status = CellStatus(
        status="running",
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        seconds=earlier.seconds if earlier else 0.0,
        command=to_train(job),
    )
    if has_results(cell):
        differs = other_videos(directory, job.fingerprints)
        if differs:
            write_status(directory, replace(status, status=FAILED, reason=differs))
        return FAILED if differs else DONE
    if is_training(directory):
        return ELSEWHERE
    write_status(directory, status)
    began = time.monotonic()
    reason: str | None = None
    try:
        steps = [to_test(job)] if is_trained(cell) else [to_train(job), to_test(job)]
        reason = next(filter(None, (_run_tool(command, job, env) for command in steps)), None)
        if reason is None and not has_results(cell):
            reason = "was tested with other settings than its options; see test/accuracy.json"
    except KeyboardInterrupt as stop:
        reason = f"{STOPPED}SIGINT; rerun the command to resume"
        stop.args = ("Interrupted; everything is saved. Rerun the command to resume.",)
        raise
    except SystemExit:
        reason = f"{STOPPED}a signal; rerun the command to resume"
        raise
    finally:
        seconds = status.seconds + time.monotonic() - began
        ended = FAILED if reason else DONE
        write_status(directory, replace(status, status=ended, reason=reason, seconds=seconds))
    return ended


def to_train(job: Job) -> list[str]:
    """The command that trains this cell, also by hand."""
    return [*_python(job), f"{job.tools}/train.py", *job.cell.arguments]


def to_test(job: Job) -> list[str]:
    """The command that tests it. It replaces the results of any other test."""
    directory = Path(job.cell.directory)
    device = ["--device", "cpu"] if job.cell.options["accelerator"] == "cpu" else []
    test = [f"{job.tools}/test.py", str(best_checkpoint(directory)), "--out"]
    return [*_python(job), *test, str(directory / "test"), *device]


def _python(job: Job) -> list[str]:
    if job.processes == 1:
        return [sys.executable]
    torchrun = ("-m", "torch.distributed.run", "--standalone")
    return [sys.executable, *torchrun, f"--nproc-per-node={job.processes}"]


def _run_tool(command: list[str], job: Job, env: Mapping[str, str]) -> str | None:
    """Run one tool; returns the reason of its failure, or None."""
    log = Path(job.cell.directory, LOG)
    start = log.stat().st_size if log.is_file() else 0
    status = run_logged(command, log, folder=job.folder, env=env)
    if status == 0:
        return None
    said = log.read_bytes()[start:].decode(errors="replace")
    tool = next(part for part in command if part.endswith(".py"))
    return failure(Path(tool).name, status, said)


def failure(tool: str, status: int, said: str) -> str:
    """The reason of a tool's failure, in one line. status: its exit status; said: its output."""
    first = re.search(r"torch/distributed/elastic/.*failed \(exitcode: (-?\d+)\)", said)
    if first:  # torchrun's report, below what its processes said, has the status of the first one
        status = int(first[1])
        said = re.split(r"(?m)^\w+ .*torch/distributed/elastic/", said, maxsplit=1)[0]
    number = -status if status < 0 else status - 128
    if number > 0:
        known = number in set(signal.Signals)
        name = signal.Signals(number).name if known else f"signal {number}"
        hint = " (out of memory?)" if number == signal.SIGKILL else ""
        return f"{tool} was ended by {name}{hint}"
    lines = [line.strip() for line in re.split(r"[\r\n]+", said) if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1].removeprefix("error: ")
    last = f": {lines[-1]}" if lines else ""
    return f"{tool} ended with exit status {status}{last}"[:300]
