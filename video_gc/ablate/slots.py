"""What each of several jobs on one machine may use: its share of the cores, and a GPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

HERE = ("joblib", "submitit_local")
"""Launchers that run several jobs on this machine; others give each what it may use."""


@contextmanager
def job_environment(
    folder: Path, launcher: str, jobs: int, at_once: int, processes: int
) -> Iterator[dict[str, str]]:
    """The variables for the processes of one job, while the block runs.

    jobs: how many there are. at_once: how many of them this machine runs at once at most, -1 for
    one each core. processes: of each job. A job takes the first free slot of `folder`, and the GPU
    with that number, round and round.
    """
    if launcher not in HERE:
        yield {}
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    together = min(at_once if at_once > 0 else cores, jobs)
    env = {"OMP_NUM_THREADS": str(max(cores // (together * processes), 1))}
    slot, lock = _free_slot(folder / "slots")
    try:
        gpus = _gpus()
        if len(gpus) > 1 and processes == 1:
            env["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        yield env
    finally:
        lock.release()


def _free_slot(folder: Path) -> tuple[int, FileLock]:
    folder.mkdir(parents=True, exist_ok=True)
    slot = 0
    while True:
        lock = FileLock(folder / f"{slot}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            slot += 1
            continue
        return slot, lock


def _gpus() -> list[str]:
    """The GPUs of this machine that may be used, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]
