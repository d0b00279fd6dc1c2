"""Trainings in a forked process, which a test kills at a chosen moment."""

import csv
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.train.loop import train

FORK = multiprocessing.get_context("fork")
RANDOM = [
    "epochs=3", "batch_size=2", "data.workers=2", "model.dropout=0.5", "augment.mixup=0.8",
    "optim.optimizer=adamw", "optim.lr=0.003", "optim.warmup_epochs=1", "checkpoint.every_steps=2",
    "label_smoothing=0.1", "model.width=0.125",
]  # fmt: skip
"""Everything that draws numbers; 5 steps in each of 3 epochs."""
Call = Callable[..., Any]


def options(clips: Path, runs: Path, *more: str) -> list[str]:
    """The arguments of a small training."""
    return [*SMALL, *RANDOM, f"data.root={clips}", f"runs={runs}", "name=run", *more]


def at_call(number: int, act: Callable[[], object], plain: Call, *, after: bool = False) -> Call:
    """`plain`, which acts before or after its call of this number, from 1."""
    calls = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        now = calls == number
        if now and not after:
            act()
        result = plain(*arguments, **named)
        if now and after:
            act()
        return result

    return counted


def send(number: int) -> Callable[[], None]:
    """Sends this process a signal."""
    return lambda: os.kill(os.getpid(), number)


kill = send(signal.SIGKILL)


def run_forked(given: list[str], *patches: tuple[Any, str, Callable[[Call], Call]]) -> int:
    """Train in a forked process; its exit status, negative where a signal ended it.

    patches: (owner, name, what is made of the function there).
    """

    def work() -> None:
        os.setsid()
        for owner, name, make in patches:
            setattr(owner, name, make(getattr(owner, name)))
        try:
            train(compose_train(given))
        except KeyboardInterrupt:
            os._exit(130)

    process = FORK.Process(target=work)
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def end_state(run: Path, name: str = "last.ckpt") -> dict[str, Any]:
    """All that a finished run's checkpoint holds of the training itself."""
    found = torch.load(run / "checkpoints" / name, weights_only=True)
    names = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")
    random = [process["generators"] for process in found["loop"]["processes"]]
    return {key: found[key] for key in names} | {"random": random}


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def rows(run: Path) -> list[dict[str, str]]:
    """The CSV log."""
    [file] = run.glob("logs/csv/*/metrics.csv")
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))
