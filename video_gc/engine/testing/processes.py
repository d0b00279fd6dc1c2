"""A test on several processes: the first one speaks and writes, all know the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from video_gc.engine.device import pick_device
from video_gc.engine.ranks.world import World
from video_gc.progress import console

T = TypeVar("T")


@contextmanager
def first_speaks(world: World) -> Iterator[None]:
    """Silence the lines and bars of every process but the first while the block runs."""
    before = console.quiet
    console.quiet = before or not world.first
    try:
        yield
    finally:
        console.quiet = before


def first_does(work: Callable[[], T], world: World) -> T:
    """What `work` gives on the first process, on every process; what it raises is raised on all."""
    if world.size == 1:
        return work()
    answer: list[Any] = [None, None]
    if world.first:
        try:
            answer[0] = work()
        except Exception as error:
            answer[1] = error
    dist.broadcast_object_list(answer)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


def exchange(part: T, world: World) -> list[T]:
    """Every process's `part`, in the order of ranks, on every process."""
    if world.size == 1:
        return [part]
    parts: list[Any] = [None] * world.size
    dist.all_gather_object(parts, part)
    return parts


def own_device(name: str | None, world: World) -> torch.device:
    """`pick_device`; one of several processes takes the GPU of its own number.

    Raises ValueError as `pick_device`, or where a machine has more processes than GPUs.
    """
    device = pick_device(name)
    if device.type != "cuda" or device.index is not None or world.size == 1:
        return device
    if world.local_size > torch.cuda.device_count():
        raise ValueError(
            f"{world.local_size} processes on a machine with {torch.cuda.device_count()} GPUs; "
            "start one for each, or give --device cpu"
        )
    return torch.device("cuda", world.local_rank)
