"""The order of an epoch's videos, divided among processes and parts of a step."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, row) in an order that depends on (seed, epoch) only.

    batch: videos per optimiser step; a last, smaller step is left out. Each step is cut into parts,
    and each part into equal runs for the processes (ranks).
    start, stop: the parts of the next iteration only: a resumed run has had those before `start`,
    and an epoch that ends early does not take those from `stop`.
    """

    def __init__(
        self,
        length: int,
        seed: int,
        *,
        batch: int = 1,
        rank: int = 0,
        ranks: int = 1,
        parts: int = 1,
    ) -> None:
        self.length, self.seed, self.epoch = length, seed, 0
        self.start: int = 0
        self.stop: int | None = None
        self.batch, self.rank, self.ranks, self.parts = batch, rank, ranks, parts

    def set_epoch(self, epoch: int, start: int = 0, stop: int | None = None) -> None:
        """Choose the epoch and the parts of the next iteration."""
        self.epoch, self.start, self.stop = epoch, start, stop

    def __len__(self) -> int:
        return self.length // self.batch * self.batch // self.ranks

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, steps = self.epoch, self.length // self.batch
        taken = slice(self.start, self.stop)
        self.start, self.stop = 0, None
        order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
        shape = (steps * self.parts, self.ranks, self.batch // (self.parts * self.ranks))
        cut = order[: steps * self.batch].reshape(shape)
        return ((epoch, int(row)) for row in cut[taken, self.rank].ravel())


def videos_of(batch_size: int, repeats: int, ranks: int = 1, accumulate: int = 1) -> int:
    """Videos in a step of `batch_size` clips.

    Raises ValueError with the nearest valid sizes if processes, parts and repeated clips do not
    divide it evenly.
    """
    unit = repeats * ranks * accumulate
    if batch_size % unit:
        named = {
            f"clip.repeats ({repeats})": repeats,
            f"the number of processes ({ranks})": ranks,
            f"accumulate ({accumulate})": accumulate,
        }
        product = " × ".join(name for name, factor in named.items() if factor > 1)
        below = batch_size // unit * unit
        nearest = f"{below} or {below + unit}" if below else str(unit)
        raise ValueError(f"batch_size ({batch_size}) must be a multiple of {product}: {nearest}")
    return batch_size // repeats
