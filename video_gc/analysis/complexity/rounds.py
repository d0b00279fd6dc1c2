"""How often something is repeated."""

import time
from collections.abc import Iterator

LEAST, MOST = 4, 100
VERY_SLOW = 12.0
"""Seconds; of what takes longer, one round after the one that warms up is enough."""


def rounds(seconds: float) -> Iterator[int]:
    """0, 1, 2 … for about `seconds`; the first one is to warm up."""
    started = time.perf_counter()
    for number in range(MOST):
        spent = time.perf_counter() - started
        if number > 1 and spent > VERY_SLOW * number:
            return
        if number >= LEAST and spent > seconds:
            return
        yield number
