"""Lightning's Trainer as one of several processes that torchrun or srun has started."""

import os
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.plugins.environments import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

from video_gc.progress import say
from video_gc.train.ranks.world import World, pick_gpu


class OneDeviceEach(ClusterEnvironment):
    """Tells Lightning that each process is a node of its own with one device.

    So it starts no processes, which under Hydra would run the command again, looks for neither
    torchrun nor SLURM itself, and takes any number of processes on any machine.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning: whether somebody else starts the processes."""
        return True

    @property
    def main_address(self) -> str:
        """Lightning: the first machine; `joined` has connected to it already."""
        return os.environ.get("MASTER_ADDR", "127.0.0.1")

    @property
    def main_port(self) -> int:
        """Lightning: see main_address."""
        return int(os.environ.get("MASTER_PORT", "0"))

    @staticmethod
    def detect() -> bool:
        """Lightning: never chosen by itself."""
        return False

    def world_size(self) -> int:
        """Lightning: the number of processes."""
        return self.world.size

    def set_world_size(self, size: int) -> None:
        """Lightning: it stands already."""

    def global_rank(self) -> int:
        """Lightning: which of them."""
        return self.world.rank

    def set_global_rank(self, rank: int) -> None:
        """Lightning: it stands already."""

    def local_rank(self) -> int:
        """Lightning: which device of those that it knows, and it knows one."""
        return 0

    def node_rank(self) -> int:
        """Lightning: which node."""
        return self.world.rank


def trainer_arguments(world: World, *, gpu: bool) -> dict[str, Any]:
    """Accelerator, device and strategy of this process; inside `joined` where there are several.

    gpu: whether to train on one. Alone the device is Lightning's choice.
    """
    alone = world.size == 1
    # a 1×1×1 convolution's weight is the same in both memory layouts: nothing is lost there
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
    warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    device = pick_gpu(world) if gpu and not alone else None
    return {
        "accelerator": "gpu" if gpu else "cpu",
        "devices": 1 if device is None else [device.index],
        "num_nodes": world.size,
        "plugins": [OneDeviceEach(world)],
        "use_distributed_sampler": False,  # EpochSampler has taken this process's part already
        # the buffers of norms are shared once before validation, see SameNetwork: DDP would wait
        # for every process at every batch of it, and they do not have equally many
        # looking for unused parameters keeps DDP from sorting its buckets anew after the first
        # step, which a resumed run would do later: sums of three and more numbers were others
        "strategy": "auto"
        if alone
        else DDPStrategy(broadcast_buffers=False, find_unused_parameters=not gpu),
    }


class SameNetwork(pl.Callback):
    """Different noise on each process, and the first one's statistics of norms before validation.

    Parameters are equal all the time, for gradients are averaged; statistics are those of each
    process's own clips unless norms are synchronised or frozen.
    """

    def __init__(self, world: World, *, seed: int) -> None:
        self.world, self.seed = world, seed

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lightning: before a checkpoint is read. Dropout must not hit the same place everywhere.

        The first process draws as if it were alone.
        """
        if self.world.rank:
            torch.manual_seed(self.seed + 1_000_003 * self.world.rank)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning: all processes validate the network that the first one saves."""
        share_buffers(pl_module, self.world)


def share_buffers(module: nn.Module, world: World) -> None:
    """Give every process the first one's buffers, such as running statistics."""
    if world.size > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)


def say_about_norms(kind: str, world: World, batch_size: int) -> None:
    """Warn where norms see a part of the batch only; kind: as NormConfig's."""
    if world.size > 1 and kind == "batch":
        say(
            f"Each of {world.size} processes normalises over its own {batch_size // world.size} "
            f"clips of a step, one over all {batch_size}; with norm.kind=sync they do, too",
            style="yellow",
        )
