"""Trainings of several forked processes, which a test stops at a chosen moment of one of them."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import SMALL
from tests.train.resume.killing import FORK, Call
from video_gc.cli import run_tool
from video_gc.config import compose_train
from video_gc.train.loop import train

RANDOM = [
    "epochs=3", "batch_size=4", "accumulate=2", "model.dropout=0.5", "ema=0.9", "norm.kind=sync",
    "norm.precise=1", "optim.optimizer=adamw", "optim.lr=0.003", "checkpoint.every_steps=3",
    "model.width=0.125",
]  # fmt: skip
"""What differs between processes, or is shared by them; 2 steps in each of 3 epochs."""
Patch = tuple[int, Any, str, Callable[[Call], Call]]


def options(clips: Path, runs: Path, *more: str) -> list[str]:
    """The arguments of a small training."""
    return [*SMALL, *RANDOM, f"data.root={clips}", f"runs={runs}", "name=run", *more]


def train_forked(given: list[str], *patches: Patch, size: int = 2) -> list[int]:
    """Train in forked processes; their exit statuses, negative where a signal ended one.

    patches: (rank, owner, name, what is made of the function there); the act of a patch sees the
    processes in `everybody`.
    """

    def work(rank: int) -> None:
        for whose, owner, name, make in patches:
            if whose == rank:
                setattr(owner, name, make(getattr(owner, name)))
        run_tool(lambda: train(compose_train(given)) and None)

    return run_forked(work, size)


def run_forked(act: Callable[[int], None], size: int = 2) -> list[int]:
    """Call `act` with its number in each of the forked processes; their exit statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    numbers = FORK.Array("i", size)

    def work(rank: int) -> None:
        os.environ |= {
            "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        numbers[rank] = os.getpid()
        while not all(numbers):
            time.sleep(0.01)
        everybody[:] = numbers
        act(rank)

    started = [FORK.Process(target=work, args=(rank,)) for rank in range(size)]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    for process in started:
        if process.exitcode is None:
            process.kill()
    return [process.exitcode for process in started]  # type: ignore[misc]


everybody: list[int] = []
"""Ids of the processes, in each of them."""


def send_all(number: int) -> Callable[[], None]:
    """Sends every process a signal, this one last."""

    def act() -> None:
        for process in sorted(everybody, key=lambda one: one == os.getpid()):
            os.kill(process, number)

    return act


kill_all = send_all(signal.SIGKILL)
