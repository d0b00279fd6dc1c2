"""Time and memory of a call, and the machine that they hold for."""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

MIB = 1 << 20
LIBRARIES = ("torch", "torchvision", "pytorchvideo")
SLOW, VERY_SLOW = 3.0, 12.0
"""Seconds; a call that takes longer than the one is timed a second time only, longer than the other
not even that."""


@dataclass(frozen=True)
class Cost:
    """Of one call."""

    seconds: float
    """median"""
    peak_mib: float
    """the most that was held at once beyond what was held before, in MiB"""
    first_seconds: float
    """of the first call, which also asks the system for that memory"""
    runs: int


def measure(
    call: Callable[[], object],
    device: torch.device,
    seconds: float = 1.0,
    *,
    peak_calls: int = 1,
) -> Cost:
    """Time and peak memory of `call`, which is repeated for `seconds` unless it is slow itself.

    On a CPU the peak is that of the process's resident memory, so measure one call a process; on a
    GPU it is the allocator's. peak_calls: the calls that it is taken over, the first ones.
    """
    before = _held(device)
    _forget_peak(device)
    started = time.perf_counter()
    call()
    wait(device)
    first = time.perf_counter() - started
    for _ in range(peak_calls - 1):
        call()
        wait(device)
    peak = (_peak(device) - before) / MIB
    if first > VERY_SLOW:
        return Cost(first, peak, first, 1)
    if first > SLOW:
        started = time.perf_counter()
        call()
        wait(device)
        return Cost(time.perf_counter() - started, peak, first, 1)
    # imported late: without a GPU but with CUDA_HOME set, it prints a warning of its own
    from torch.utils.benchmark import Timer

    timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
    timing = timer.blocked_autorange(min_run_time=seconds)
    return Cost(timing.median, peak, first, len(timing.times) * timing.number_per_run)


def machine(device: torch.device) -> dict[str, str]:
    """What a figure depends on: processor, cores, memory, GPU, and the versions."""
    names = [
        line.split(":")[1].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (MIB << 10)
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {
        "processor": names[0] if names else platform.processor(),
        "threads": str(torch.get_num_threads()),
        "memory": f"{memory:.0f} GiB",
        **gpu,
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
    }


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was given; a CPU has already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _held(device: torch.device) -> int:
    """Bytes in use."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _status("VmRSS") or _most_resident()


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with suppress(OSError):  # then the peak is that of the whole process
            Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device) -> int:
    """Most bytes in use since `_forget_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM") or _most_resident()


def _status(name: str) -> int:
    """A line of the kernel's account of this process, in bytes; 0 where there is none."""
    values = [line.split()[1] for line in _lines("/proc/self/status") if line.startswith(name)]
    return int(values[0]) << 10 if values else 0


def _most_resident() -> int:
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.is_file() else []
