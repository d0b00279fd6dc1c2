"""What the processes of one training tell each other about resuming; nothing when alone."""

from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


def many() -> bool:
    """Whether there are other processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's number."""
    return dist.get_rank() if many() else 0


def parts_of_all(part: T) -> list[T]:
    """Every process's part in the order of ranks, on each of them. All must call it."""
    if not many():
        return [part]
    parts: list[T] = [part] * dist.get_world_size()
    dist.all_gather_object(parts, part)
    return parts


def own_part(parts: list[T]) -> T | None:
    """This process's part of what `parts_of_all` gave; None where their number was another."""
    size = dist.get_world_size() if many() else 1
    return parts[rank()] if len(parts) == size else None


class Agreement:
    """The largest of everybody's numbers, so that all stop and save at the same step.

    It has a gloo group of its own: numbers on the CPU do not wait for the GPU.
    """

    def __init__(self) -> None:
        self.group: Any = dist.new_group(backend="gloo") if many() else None

    def largest(self, *numbers: int) -> list[int]:
        """Each number's maximum over the processes. All must call it."""
        if self.group is None:
            return list(numbers)
        found = torch.tensor(numbers)
        dist.all_reduce(found, dist.ReduceOp.MAX, self.group)
        return [int(number) for number in found.tolist()]
