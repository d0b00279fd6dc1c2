"""Lightning Fabric for one of several processes that torchrun or srun has started."""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.loggers import Logger
from lightning_fabric.plugins.environments import ClusterEnvironment
from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from video_gc.backbones.stages import residual_blocks
from video_gc.progress import say
from video_gc.train.distributed.world import World, pick_gpu
from video_gc.train.resume.state import generator_states, set_generators

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
PARTIAL = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)
"""As FULL; parameters may lack a state."""


class OneDeviceEach(ClusterEnvironment):
    """Tells Fabric that each process is a node with one device.

    So Fabric starts no processes (under Hydra they would run the command again), does not look for
    torchrun or SLURM, and accepts any number of processes on any machine.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @property
    def creates_processes_externally(self) -> bool:
        """For Fabric: whether another program starts the processes."""
        return True

    @property
    def main_address(self) -> str:
        """For Fabric: the first machine; `joined` has connected to it already."""
        return os.environ.get("MASTER_ADDR", "127.0.0.1")

    @property
    def main_port(self) -> int:
        """For Fabric: see main_address."""
        return int(os.environ.get("MASTER_PORT", "0"))

    @staticmethod
    def detect() -> bool:
        """For Fabric: never chosen automatically."""
        return False

    def world_size(self) -> int:
        """For Fabric: the number of processes."""
        return self.world.size

    def set_world_size(self, size: int) -> None:
        """For Fabric: fixed already."""

    def global_rank(self) -> int:
        """For Fabric: the number of this process."""
        return self.world.rank

    def set_global_rank(self, rank: int) -> None:
        """For Fabric: fixed already."""

    def local_rank(self) -> int:
        """For Fabric: the number of the device; it knows only one."""
        return 0

    def node_rank(self) -> int:
        """For Fabric: the number of the node."""
        return self.world.rank


def fabric_arguments(world: World, *, strategy: str, gpu: bool) -> dict[str, Any]:
    """Accelerator, device and strategy of this process; several processes call it inside `joined`.

    strategy: ddp or fsdp (FSDP2); unused by a single process. gpu: whether to train on one.
    """
    alone = world.size == 1
    # a 1×1×1 convolution's weight is the same in both memory layouts, so this is harmless
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
    warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module .* returned a view tensor")
    device = pick_gpu(world) if gpu and not alone else None
    chosen: str | Strategy = "auto"
    if not alone and strategy == "fsdp":
        chosen = ModelParallelStrategy(shard_network, save_distributed_checkpoint=False)
    elif not alone:
        # Norm buffers are shared once before validation: with DDP's own sharing, each validation
        # batch would wait for all processes, which have different numbers of batches. Looking for
        # unused parameters keeps DDP from reordering its buckets after the first step: a resumed
        # run would do that later, and sums of three or more numbers would differ.
        chosen = DDPStrategy(broadcast_buffers=False, find_unused_parameters=not gpu)
    return {
        "accelerator": "gpu" if gpu else "cpu",
        "devices": 1 if device is None else [device.index],
        "num_nodes": world.size,
        "plugins": [OneDeviceEach(world)],
        "strategy": chosen,
    }


def build_fabric(
    world: World, precision: str, *, strategy: str, gpu: bool, loggers: list[Logger]
) -> Fabric:
    """Fabric for this process, launched. precision: fp32 or bf16."""
    fabric = Fabric(
        **fabric_arguments(world, strategy=strategy, gpu=gpu),
        precision=PRECISIONS[precision],  # type: ignore[arg-type]
        loggers=loggers,
    )
    drawn = generator_states()
    fabric.launch()  # with FSDP2 this seeds the generators again; a single process draws on
    set_generators(drawn)
    return fabric


def shard_network(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """FSDP2: each process keeps a part of every parameter and of its optimiser state."""
    for block in residual_blocks(network).values():
        fully_shard(block, mesh=mesh["data_parallel"])
    fully_shard(network, mesh=mesh["data_parallel"])
    return network


def is_parallel(fabric: Fabric) -> bool:
    """Whether each process keeps a part of the network (FSDP2)."""
    return isinstance(fabric.strategy, ModelParallelStrategy)


def shard_copy(network: nn.Module, fabric: Fabric) -> None:
    """Divide a copy of the network as Fabric divided the network, if it did."""
    if isinstance(fabric.strategy, ModelParallelStrategy):
        shard_network(network, fabric.strategy.device_mesh)


@contextmanager
def all_parameters(networks: Iterable[nn.Module]) -> Iterator[None]:
    """FSDP2: let forward passes in the block need no other process.

    Processes validate different numbers of batches.
    """
    parts = [m for network in networks for m in network.modules() if isinstance(m, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    yield
    for part in parts:
        part.set_reshard_after_forward(True, recurse=False)
        part.reshard()


def is_sharded(network: nn.Module) -> bool:
    """Whether FSDP2 manages this module."""
    return isinstance(network, FSDPModule)


def network_state(network: nn.Module) -> dict[str, Any]:
    """The whole `state_dict`, gathered from its parts; with FSDP2 only on the first process."""
    return (
        get_model_state_dict(network, options=FULL) if is_sharded(network) else network.state_dict()
    )


def load_network_state(network: nn.Module, state: dict[str, Any]) -> None:
    """Load the result of `network_state`. Raises RuntimeError if it does not fit."""
    if is_sharded(network):
        set_model_state_dict(network, state, options=FULL)
    else:
        network.load_state_dict(state)


def optimizer_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's whole state in the form of a single process: parameters have numbers."""
    if not is_sharded(network):
        return optimizer.state_dict()
    found: dict[str, Any] = get_optimizer_state_dict(network, optimizer, options=FULL)
    names = [name for group in found.get("param_groups", []) for name in group["params"]]
    numbers = {name: number for number, name in enumerate(names)}
    groups = [
        group | {"params": [numbers[name] for name in group["params"]]}
        for group in found.get("param_groups", [])
    ]
    state = {numbers[name]: of for name, of in found.get("state", {}).items()}
    return {"state": state, "param_groups": groups}


def load_optimizer_state(
    network: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Load the result of `optimizer_state`, on one process or several.

    A parameter has no state if the optimiser keeps none, or if it has not been trained yet.
    """
    if not is_sharded(network):
        optimizer.load_state_dict(state)
        return
    if not state["state"]:  # torch needs at least one
        for group, kept in zip(optimizer.param_groups, state["param_groups"], strict=True):
            group.update({name: value for name, value in kept.items() if name != "params"})
        return
    every = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    name_of = {id(parameter): name for name, parameter in network.named_parameters()}
    names = [name_of[id(parameter)] for parameter in every]
    groups = [
        group | {"params": [names[number] for number in group["params"]]}
        for group in state["param_groups"]
    ]
    named = {names[number]: of for number, of in state["state"].items()}
    set_optimizer_state_dict(
        network, optimizer, {"state": named, "param_groups": groups}, options=PARTIAL
    )
    for number, parameter in enumerate(every):  # torch has given each of them a state
        if number not in state["state"]:
            optimizer.state.pop(parameter, None)


def share_buffers(module: nn.Module, world: World) -> None:
    """Give every process the first one's buffers, such as running statistics.

    Parameters are always equal, because gradients are averaged. Statistics come from each process's
    own clips unless norms are synchronised or frozen.
    """
    if world.size > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)


def seed_this_process(world: World, seed: int, *, step: int = 0) -> None:
    """Seed different noise on each process, so that dropout masks differ.

    The first process draws as a single process does. step: at which this process joins a run.
    """
    if world.rank:
        torch.manual_seed(seed + 1_000_003 * world.rank + 7_919 * step)


def say_about_norms(kind: str, world: World, batch_size: int, accumulate: int) -> None:
    """Warn if norms see only a part of the batch. kind: as in NormConfig."""
    if world.size > 1 and kind == "batch":
        clips = batch_size // accumulate
        what = "step" if accumulate == 1 else "part of a step"
        say(
            f"Each of {world.size} processes normalises over its own {clips // world.size} clips "
            f"of a {what}; with norm.kind=sync over all {clips}, as a single process does",
            style="yellow",
        )
