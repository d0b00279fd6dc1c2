"""Calls in turns, and what is kept of them."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers import Done


@dataclass
class Row:
    """One implementation on one sample of one video."""

    video: str
    sample: str
    name: str
    size: list[int]
    """(height, width)"""
    group: float
    """mean number of frames from one key frame to the next"""
    clips: int
    """that come of one call"""
    seconds: list[float] = field(default_factory=list)
    """of each round"""
    packets: float | None = None
    """that went into the decoder, mean"""
    pictures: float | None = None
    """that came out of it, mean"""
    difference: float | None = None
    """from a sequential decode and torchvision's crop, mean grey levels"""
    error: str | None = None
    note: str | None = None

    @property
    def median(self) -> float | None:
        """Seconds; None where it could not be measured."""
        return statistics.median(self.seconds) if self.seconds else None


def take_turns(
    calls: Mapping[str, Callable[[Any], Done]],
    samples: Sequence[Any],
    note: Callable[[str, Done, float], None],
) -> None:
    """Each call on each sample in turn, the order moving on by one from round to round."""
    names = list(calls)
    for number, sample in enumerate(samples):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            gc.collect()
            started = time.perf_counter()
            done = calls[name](sample)
            note(name, done, time.perf_counter() - started)
            del done
