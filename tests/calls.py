"""What other processes are asked for in tests; light to import, as each process imports it."""

import os
import signal
import time
from collections.abc import Iterator

from video_gc.subprocess_call import heartbeat


def square(number: int) -> int:
    heartbeat()
    print("a library that prints to standard output", flush=True)
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 4:
        os._exit(7)
    if number == 5:
        raise ZeroDivisionError("five")
    return number * number


def sleeps_at_1(number: int) -> int:
    if number == 1:
        time.sleep(60)
    return number


def gets_on() -> str:
    for _ in range(2):
        heartbeat()
        time.sleep(1.1)
    return "done"


def countdown(number: int) -> Iterator[int]:
    yield from range(number, 0, -1)


class OddError(Exception):
    def __init__(self, one: int, *, other: int) -> None:
        super().__init__(f"{one} and {other}")


def odd_error() -> None:
    raise OddError(1, other=2)


def dies_with_a_word() -> None:
    print("some library: no memory", flush=True)
    os.abort()
