"""The process that trains or tests a cell: its log, and its share of the machine.

A crash or a kill ends only that process. It has its own session, so the terminal's Ctrl-C reaches
it once, through this process.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from video_gc.cores import cores, need_processes

SHARED_MACHINE = ("joblib", "submitit_local")
"""Launchers of several jobs on this machine; the others assign cores and GPUs themselves."""
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def run_logged(command: Sequence[str], log: Path, *, folder: str, env: Mapping[str, str]) -> int:
    """Run `command`, append its output to `log`, and return its exit status (-N after signal N).

    Ctrl-C, SIGTERM and SIGHUP let it save and end; then raises KeyboardInterrupt or SystemExit.
    If this process is killed, the command gets SIGTERM (on Linux).
    Raises OSError on Windows.
    """
    need_processes("train each row with video-gc train")
    with _ended_by_exceptions(), log.open("ab") as stream:
        stream.write(f"\n$ {' '.join(command)}\n".encode())
        stream.flush()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=folder,
            env=env, start_new_session=True, preexec_fn=_end_with_parent,
        )  # fmt: skip
        try:
            return process.wait()
        except BaseException as stop:  # a launcher's own signal handler may raise others
            number = signal.SIGINT if isinstance(stop, KeyboardInterrupt) else signal.SIGTERM
            while process.poll() is None:
                process.send_signal(number)
                with suppress(KeyboardInterrupt):  # a second Ctrl-C is passed on too
                    process.wait()
            raise


@contextmanager
def _ended_by_exceptions() -> Iterator[None]:
    """While the block runs, a signal that would end this process at once raises SystemExit."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    ending = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]
    for number in ending:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)


def _end_with_parent() -> None:
    """In the new process: ask Linux for SIGTERM (save and end) when the parent dies."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


@contextmanager
def job_environment(
    folder: Path, launcher: str, jobs: int, at_once: int, processes: int
) -> Iterator[dict[str, str]]:
    """While the block runs, the environment variables for the processes of one job.

    jobs: their number. at_once: number of them that run simultaneously on this machine, -1 for one
    per core. processes: of each job. A job takes the first free slot of `folder`, and the GPU with
    that number modulo the number of GPUs.
    """
    if launcher not in SHARED_MACHINE:
        yield {}
        return
    together = min(at_once if at_once > 0 else cores(), jobs)
    env = {"OMP_NUM_THREADS": str(max(cores() // (together * processes), 1))}
    with _free_slot(folder / "slots") as slot:
        gpus = _gpus()
        if len(gpus) > 1 and processes == 1:
            env["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        yield env


@contextmanager
def _free_slot(folder: Path) -> Iterator[int]:
    """The first free number, held while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    for slot in count():
        lock = FileLock(folder / f"{slot}.lock", timeout=0)
        with suppress(Timeout):
            lock.acquire()
            break
    try:
        yield slot
    finally:
        lock.release()


def _gpus() -> list[str]:
    """The usable GPUs of this machine, by their names in CUDA_VISIBLE_DEVICES."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]
