"""This process, its children, and their memory."""

import os
from pathlib import Path


def children() -> list[int]:
    """Numbers of the processes that this one has started, in whichever thread."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return sorted(int(child) for task in tasks for child in task.read_text().split())


def resident(pid: int) -> int:
    """MiB of memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    return 0
