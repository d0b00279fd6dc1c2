"""Steps for the schedule's tests; other processes import this, so it imports little."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def two(_device: str, _deadline: float) -> Iterator[dict[str, Any]]:
    yield {"what": "right", "right": True}
    yield {"what": "wrong", "right": False}


def broken(device: str, _deadline: float) -> Iterator[dict[str, Any]]:
    yield {"what": "before"}
    raise ValueError(f"no {device}")


def killed(_device: str, _deadline: float) -> Iterator[dict[str, Any]]:
    yield {"what": "before"}
    os._exit(7)


def endless(_device: str, _deadline: float) -> Iterator[dict[str, Any]]:
    yield {"what": "before"}
    time.sleep(1000)
    yield {"what": "never"}


def local(_device: str, deadline: float) -> Iterator[dict[str, Any]]:
    yield {"what": "number", "errors": [float("nan"), 1.0], "left": deadline - time.monotonic()}
    yield {"what": "/home/someone/tmp/clip.mp4: 1/2 of /x/y is no", "why": "see https://a.b/c/d"}
    raise ValueError("/home/someone/lib/thing.so: cannot open")


def endless_tests(root: str) -> Iterator[dict[str, Any]]:
    """The step `tests` with a pytest that writes its process id, and never ends."""
    from benchmarks.gpu_steps import suite

    program = "import os, pathlib, time; pathlib.Path('pid').write_text(f'{os.getpid()}.'); "
    suite.ROOT, suite.LONGEST = Path(root), 1000.0
    suite.PYTEST = (sys.executable, "-c", program + "time.sleep(1000)")
    yield from suite.measure("cpu", time.monotonic() + 1000)
