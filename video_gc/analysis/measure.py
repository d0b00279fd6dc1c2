"""Time and memory of a call, and the machine's description."""

import os
import platform
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
"""Seconds; above the first, a call is timed only twice, above the second only once."""
T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Of one call."""

    seconds: float
    """median"""
    peak_mib: float
    """peak memory beyond that before the call, in MiB"""
    first_seconds: float
    """of the first call, which also allocates the memory"""
    runs: int


def measure(
    call: Callable[[], object],
    device: torch.device,
    seconds: float = 1.0,
) -> Cost:
    """Time and peak memory of `call`, which is repeated for `seconds` unless it is slow.

    Measure one call per process: see `peak_mib`.
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
    # imported here: without a GPU but with CUDA_HOME set, it prints a warning
    from torch.utils.benchmark import Timer

    timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
    timing = timer.blocked_autorange(min_run_time=seconds)
    return Cost(timing.median, peak, first, len(timing.times) * timing.number_per_run)


def interleave(items: Sequence[T], rounds: Iterable[int]) -> Iterator[tuple[int, T]]:
    """Round and item, each item once a round; the order rotates by one from round to round.

    So a busy moment of the machine affects all equally.
    """
    for number in rounds:
        at = number % len(items)
        for item in [*items[at:], *items[:at]]:
            yield number, item


def peak_mib(call: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """The peak memory of the next `calls` calls beyond that before them, in MiB.

    On a CPU it is the process's resident memory, so measure one thing per process; on a GPU it is
    the allocator's.
    """
    before = _held(device)
    _forget_peak(device)
    for _ in range(calls):
        call()
        wait(device)
    return (peak_bytes(device) - before) / MIB


def load() -> float:
    """Processes that wanted a processor in the last minute, on average; 0 if unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def machine(device: torch.device) -> dict[str, str]:
    """The conditions of a figure: processor, cores, memory, GPU, and versions."""
    names = [
        line.split(":")[1].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith("model name")
    ]
    memory = "unknown"
    if hasattr(os, "sysconf"):
        gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (MIB << 10)
        memory = f"{gib:.0f} GiB"
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {
        "processor": names[0] if names else platform.processor(),
        "threads": str(torch.get_num_threads()),
        "memory": memory,
        **gpu,
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
    }


def wait(device: torch.device) -> None:
    """Wait until a GPU has finished its work; nothing to do on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _held(device: torch.device) -> int:
    """Bytes in use."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return status_bytes("VmRSS") or _most_resident()


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with suppress(OSError):  # otherwise the peak is the whole process's
            Path("/proc/self/clear_refs").write_text("5", "utf-8")


def peak_bytes(device: torch.device) -> int:
    """Peak bytes since `_forget_peak`, or since the process began.

    getrusage would begin with the peak of the parent process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return status_bytes("VmHWM") or _most_resident()


def status_bytes(name: str) -> int:
    """A line of /proc's status of this process, in bytes; 0 if missing."""
    values = [line.split()[1] for line in _lines("/proc/self/status") if line.startswith(name)]
    return int(values[0]) << 10 if values else 0


def _most_resident() -> int:
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text("utf-8").splitlines() if file.is_file() else []
