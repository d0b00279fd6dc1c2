"""The CPU cores that this process may use; a cluster may give it a part of the machine."""

import os


def cores() -> int:
    """Their number."""
    affinity = getattr(os, "sched_getaffinity", None)  # only on Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1
