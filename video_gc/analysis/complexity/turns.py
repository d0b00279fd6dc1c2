"""What the context blocks cost in time: the network with and without them, in turns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median, quantiles

import torch

from video_gc.analysis.complexity.clock import Clock


@dataclass(frozen=True)
class Difference:
    """Of two calls, in seconds; of the differences within a round."""

    median: float
    lower: float
    """a quarter of the rounds lie below"""
    upper: float
    """a quarter of the rounds lie above"""
    with_blocks: float
    """median"""
    without: float
    """median"""
    rounds: int


def in_turns(
    with_blocks: Callable[[], object],
    without: Callable[[], object],
    device: torch.device,
    rounds: Iterator[int],
) -> Difference:
    """Both calls once a round, each going first in every other round, so that a slow moment hits
    both alike; the first round warms up and is left out where there are more.
    """
    clock = Clock(device)
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in rounds:
        for which in (True, False) if number % 2 else (False, True):
            started = clock.mark()
            (with_blocks if which else without)()
            ended = clock.mark()
            clock.settle()
            times[which].append(clock.between(started, ended))
    ours, plain = (own[1:] or own for own in (times[True], times[False]))
    differences = [one - two for one, two in zip(ours, plain, strict=True)]
    lower, _, upper = quantiles(differences, n=4) if len(differences) > 1 else differences * 3
    return Difference(
        median(differences), lower, upper, median(ours), median(plain), len(differences)
    )
