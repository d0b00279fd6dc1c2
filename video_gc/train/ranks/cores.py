"""How many threads each of several processes on one machine computes with."""

import os

import torch

from video_gc.progress import say


def share_cores(processes: int) -> int:
    """Let torch compute with this process's share of the machine's cores, and say so.

    torchrun sets OMP_NUM_THREADS=1 where nobody set it, and other launchers leave every process
    all cores. A number above 1 in OMP_NUM_THREADS stands; so does what SLURM binds a task to.
    """
    threads = _threads(processes)
    torch.set_num_threads(threads)
    if processes > 1:
        many = "one thread" if threads == 1 else f"{threads} threads"
        say(f"{processes} processes on this machine compute with {many} each")
    return threads


def _threads(processes: int) -> int:
    given = int(os.environ.get("OMP_NUM_THREADS", "1").split(",")[0])
    if given > 1:
        return given
    if "SLURM_CPUS_PER_TASK" in os.environ:
        return int(os.environ["SLURM_CPUS_PER_TASK"])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    bound = "SLURM_STEP_NUM_TASKS" in os.environ and cores != os.cpu_count()
    return max((cores or 1) // (1 if bound else processes), 1)
