"""Steps for the schedule's tests; other processes import this, so it imports little."""

import os
import time
from collections.abc import Iterator
from typing import Any


def two(_device: str, _seconds: float) -> Iterator[dict[str, Any]]:
    yield {"what": "right", "right": True}
    yield {"what": "wrong", "right": False}


def broken(device: str, _seconds: float) -> Iterator[dict[str, Any]]:
    yield {"what": "before"}
    raise ValueError(f"no {device}")


def killed(_device: str, _seconds: float) -> Iterator[dict[str, Any]]:
    yield {"what": "before"}
    os._exit(7)


def endless(_device: str, _seconds: float) -> Iterator[dict[str, Any]]:
    yield {"what": "before"}
    time.sleep(1000)
    yield {"what": "never"}
