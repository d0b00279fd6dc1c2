"""Time and memory of a call, and the machine that they hold for."""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import torch

MIB = 1 << 20
LIBRARIES = ("torch", "torchvision", "pytorchvideo")
SLOW, VERY_SLOW = 3.0, 12.0
"""Seconds; a call that takes longer than the one is timed a second time only, longer than the other
not even that."""
T = TypeVar("T")


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
) -> Cost:
    """Time and peak memory of `call`, which is repeated for `seconds` unless it is slow itself.

    Measure one call a process: see `peak_mib`.
    """
    started = time.perf_counter()
    peak = peak_mib(call, device)
    first = time.perf_counter() - started
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


def interleave(items: Sequence[T], rounds: Iterable[int]) -> Iterator[tuple[int, T]]:
    """Round and item, each item once a round; the order moves on by one from round to round.

    So a slow moment of the machine hits all alike.
    """
    for number in rounds:
        at = number % len(items)
        for item in [*items[at:], *items[:at]]:
            yield number, item


def peak_mib(call: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """The most MiB that were held in the next `calls` calls beyond what was held before.

    On a CPU of the process's resident memory, so measure one thing a process; on a GPU of the
    allocator's.
    """
    before = _held(device)
    _forget_peak(device)
    for _ in range(calls):
        call()
        wait(device)
    return (peak_bytes(device) - before) / MIB


def load() -> float:
    """Processes that wanted a processor in the last minute, on average; 0 where nobody counts."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


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


def peak_bytes(device: torch.device) -> int:
    """Most bytes in use since `_forget_peak`, or since the process began.

    Not what getrusage says: that begins with the peak of the process that started this one.
    """
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
