"""Which of how many processes this one is, as torchrun or SLURM started it, and exchange."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")
PATIENCE = timedelta(days=2)
"""A process may be done with its part hours before another; one that died is noticed at once."""


@dataclass(frozen=True)
class World:
    """One process among `size`; alone, rank 0 of 1."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """number on its own machine: its GPU"""
    local_size: int = 1
    """processes on its own machine"""

    @property
    def first(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.rank == 0


def this_world() -> World:
    """From the variables that torchrun sets, or srun with one task per process."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if all(name in os.environ for name in names):
        return World(*(int(os.environ[name]) for name in names))
    return World()


@contextmanager
def joined(world: World) -> Iterator[None]:
    """Let the processes exchange objects (gloo) while the block runs; nothing when alone."""
    if world.size == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def gather(part: T, world: World) -> list[T] | None:
    """Every process's `part` in the order of ranks, on the first; None on the others."""
    if world.size == 1:
        return [part]
    parts: list[T] | None = [part] * world.size if world.first else None
    dist.gather_object(part, parts)
    return parts


def pick_gpu(world: World) -> torch.device | None:
    """This process's own GPU; None where there is none."""
    return torch.device("cuda", world.local_rank) if torch.cuda.is_available() else None
