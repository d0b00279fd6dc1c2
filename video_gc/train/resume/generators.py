"""The random generators of a run, saved and restored: Lightning does neither."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from video_gc.train.ranks.world import World, to_all


class Generators(pl.Callback):
    """Python's, numpy's and torch's generators of every process, in each checkpoint.

    They are put back when training starts, after everything else was built and restored.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.loaded: list[dict[str, Any]] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Lightning: called on every process before a checkpoint is written."""
        return {"processes": to_all(generator_states(), self.world)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning: called while a checkpoint is restored."""
        self.loaded = state_dict["processes"]

    def on_train_start(self, *_: Any) -> None:
        """Lightning: before the first step."""
        if self.loaded:
            # another number of processes than before: some share a state, as at a new run's start
            set_generators(self.loaded[self.world.rank % len(self.loaded)])
            self.loaded = None


def generator_states() -> dict[str, Any]:
    """The states as tensors and numbers, which `read_file` reads."""
    version, words, gauss = random.getstate()
    numpy: Any = np.random.get_state()
    states = {
        "python": [version, list(words), gauss],
        "numpy": [numpy[0], torch.from_numpy(numpy[1].astype(np.int64)), *map(float, numpy[2:])],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_generators(states: dict[str, Any]) -> None:
    """Put back what `generator_states` gave."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state(
        (name, keys.numpy().astype(np.uint32), int(position), int(has_gauss), cached)
    )
    torch.set_rng_state(states["torch"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())
