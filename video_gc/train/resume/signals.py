"""Signals that ask a training to stop: it saves after the step, and SLURM queues it again.

Exit statuses: 143 after SIGTERM, 138 after SIGUSR1 (SLURM's notice with --signal=USR1@90), 130
after Ctrl-C.
"""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from video_gc.progress import console, say

REQUEUED = [getattr(signal, n) for n in ("SIGTERM", "SIGUSR1") if hasattr(signal, n)]
"""Windows has no SIGUSR1."""
SIGNALS = [*REQUEUED, signal.SIGINT]
WORKER_GRACE = 60
"""Seconds that a decoding worker keeps running after a SIGTERM to the process group."""


class Stopped(SystemExit):
    """A training ended early by a signal; `code` is the exit status 128 + signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class StopSignals:
    """Remembers the first signal; a second Ctrl-C ends the process at once.

    Before the first step and after the last, Ctrl-C ends it at once, and so does any signal if the
    process is alone: nothing has to be saved, and no other process waits for this one.
    """

    def __init__(self, *, alone: bool = True) -> None:
        self.alone = alone
        self.training = False
        """whether steps and validations run"""
        self.wanted = 0
        """number of the signal, 0 without one"""

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Handle the signals while the block runs.

        The block raises Stopped when a signal comes outside training, if the process is alone.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        again = self.wanted == signal.SIGINT == number
        if again or (number == signal.SIGINT and not self.training):
            raise KeyboardInterrupt
        if not self.wanted and not console.quiet:  # only the first process prints
            more = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
            name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            # os.write: the handler may interrupt rich in the middle of a line
            if self.training:
                what = "stops; a training step in progress is finished and saved first"
            else:
                what = "stops" if self.alone else "stops when all processes are ready"
            os.write(2, f"\n{name}: {what}{more}\n".encode())
        self.wanted = self.wanted or number
        if self.alone and not self.training:
            raise Stopped(self.wanted)


def worker_signals(_worker: int) -> None:
    """Start a decoding worker: signals to the process group are for the training process.

    The worker ignores Ctrl-C, and SIGTERM ends it only after a minute, so the current step still
    gets its clips.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(WORKER_GRACE) and None)


def requeue(number: int) -> bool:
    """Ask SLURM to queue this job again, if it is a job and was not cancelled.

    Returns whether it is queued; prints the reason if not.
    """
    job = _slurm_job()
    if job is None or number not in REQUEUED:
        return False
    if number == signal.SIGTERM and "CANCELLED" in _scontrol("show", "job", job)[1]:
        return False  # scancel also sends SIGTERM
    status, said = _scontrol("requeue", job)
    if status:
        say(f"scontrol requeue {job} failed ({said.strip() or status})", style="yellow")
        return False
    say(f"SLURM job {job} is queued again")
    return True


def _slurm_job() -> str | None:
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}") for name in ("JOB_ID", "TASK_ID"))
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")
    return job if re.fullmatch(r"[0-9_]+", job) else None


def _scontrol(*arguments: str) -> tuple[int, str]:
    try:
        done: Any = subprocess.run(
            ["scontrol", *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout + done.stderr
