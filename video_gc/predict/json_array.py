"""A JSON array on stdout, element by element; closed also after an error or a signal."""

import json
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def json_array() -> Iterator[Callable[[object], None]]:
    """Yield a function that prints one element immediately.

    SIGINT (Ctrl-C) and SIGTERM end the block with KeyboardInterrupt or SystemExit(143), between two
    elements, never within one.
    """
    elements, asked = 0, list[int]()
    writing = False

    def stop(number: int, _frame: Any) -> None:
        asked.append(number)
        if not writing or len(asked) > 1:
            _end(number)

    def add(element: object) -> None:
        nonlocal elements, writing
        text = textwrap.indent(json.dumps(element, indent=2), "  ")
        writing = True
        print(",\n" if elements else "[\n", text, sep="", end="", flush=True)
        elements += 1
        writing = False
        if asked:
            _end(asked[0])

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield add
    finally:
        writing = True
        with suppress(BrokenPipeError):  # the reader has closed the pipe
            print("\n]" if elements else "[]", flush=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
