"""Processes of one training that stop and save together."""

from typing import Any

import torch
import torch.distributed as dist

from video_gc.train.ranks.world import World


class Agreement:
    """The largest of everybody's numbers, so that all stop and save at the same step.

    It has a gloo group of its own: numbers on the CPU do not wait for the GPU.
    """

    def __init__(self, world: World) -> None:
        self.group: Any = dist.new_group(backend="gloo") if world.size > 1 else None

    def largest(self, *numbers: int) -> list[int]:
        """Each number's maximum over the processes. All must call it."""
        if self.group is None:
            return list(numbers)
        found = torch.tensor(numbers)
        dist.all_reduce(found, dist.ReduceOp.MAX, self.group)
        return [int(number) for number in found.tolist()]
