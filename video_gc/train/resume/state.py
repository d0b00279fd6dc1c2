"""The state of a training: everything that changes per step beside weights and optimiser."""

import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor


@dataclass
class TrainingSums:
    """The sums behind the means of this epoch's training, on the device that computes them."""

    loss: Tensor = field(default_factory=lambda: torch.zeros(()))
    """each batch's mean loss times its clips"""
    right: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.long))
    """clips whose highest score is their class"""
    clips: int = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss (), logits (N, classes), labels (N,) or (N, classes)."""
        self.clips += len(labels)
        self.loss = self.loss.to(loss.device) + loss.detach().float() * len(labels)
        if labels.ndim == 1:
            self.right = self.right.to(loss.device) + (logits.argmax(1) == labels).sum()

    def on_cpu(self) -> Self:
        """The same on the CPU."""
        return type(self)(self.loss.cpu(), self.right.cpu(), self.clips)

    def means(self, *, multi_label: bool) -> dict[str, float]:
        """The metrics of the epoch so far; with several labels per clip only the loss."""
        found = {"train/loss": float(self.loss / self.clips)}
        if not multi_label:
            found["train/top1"] = float(self.right / torch.tensor(self.clips))
        return found


@dataclass
class LoopState:
    """The state of the loop, saved in each checkpoint and restored from it."""

    epoch: int = 0
    """the current epoch, from 0"""
    batches: int = 0
    """batches of this epoch that each process has done"""
    step: int = 0
    """optimiser steps done"""
    validated: bool = False
    """whether this epoch has been trained and validated"""
    best: float | None = None
    """highest metric of a validation so far"""
    best_step: int = -1
    """step of that validation"""
    rows: int = 0
    """rows of the CSV log"""
    run_id: str = ""
    """the run's name at Weights & Biases"""
    skipped: list[list[Any]] = field(default_factory=list)
    """kind, path, times and reason of each unreadable file"""
    sums: TrainingSums = field(default_factory=TrainingSums)
    """of this process"""
    generators: dict[str, Any] = field(default_factory=dict)
    """states of this process's random generators"""

    def begin_next_epoch(self) -> None:
        """Move to the first batch of the next epoch."""
        self.epoch, self.batches, self.validated = self.epoch + 1, 0, False
        self.sums = TrainingSums()

    def saved(self) -> dict[str, Any]:
        """As tensors on the CPU, numbers, strings, lists and dictionaries."""
        self.generators = generator_states()
        return asdict(replace(self, sums=self.sums.on_cpu()))


def total(parts: Iterable[TrainingSums]) -> TrainingSums:
    """The sums of several processes together."""
    found = TrainingSums()
    for part in parts:
        found.loss = found.loss + part.loss
        found.right = found.right + part.right
        found.clips += part.clips
    return found


def restored_state(processes: list[dict[str, Any]], rank: int, size: int) -> LoopState:
    """The state of process `rank` of `size`, from the results of `saved` on each earlier process.

    If the number of processes has changed, the first takes the sums of all. A process that is new
    has no state of torch's generators, so that it is seeded as at the start of a run; Python's and
    numpy's are equal on all processes.
    """
    states = [LoopState(**one | {"sums": TrainingSums(**one["sums"])}) for one in processes]
    state = replace(states[rank % len(states)])
    if len(states) != size:
        state.sums = total(other.sums for other in states if rank == 0)
    if rank >= len(states):
        state.generators = {name: state.generators[name] for name in ("python", "numpy")}
    return state


def generator_states() -> dict[str, Any]:
    """Python's, numpy's and torch's generators, as tensors and numbers."""
    version, words, gauss = random.getstate()
    numpy: Any = np.random.get_state()
    states = {
        "python": [version, list(words), gauss],
        "numpy": [numpy[0], torch.from_numpy(numpy[1].astype(np.int64)), *map(float, numpy[2:])],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():  # reading it would initialise CUDA
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_generators(states: dict[str, Any]) -> None:
    """Restore the result of `generator_states`, or a part of it."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state(
        (name, keys.numpy().astype(np.uint32), int(position), int(has_gauss), cached)
    )
    if "torch" in states:
        torch.set_rng_state(states["torch"].cpu())
    if "cuda" in states and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(states["cuda"].cpu())
