"""FSDP2: a checkpoint in which some parameters have no state of the optimiser goes on exactly."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning_fabric import seed_everything
from lightning_fabric.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tests.train.ranks.many import run_forked
from tests.train.resume.killing import same
from video_gc.train.distributed import strategy
from video_gc.train.distributed.strategy import (
    build_fabric,
    load_network_state,
    load_optimizer_state,
    network_state,
    optimizer_state,
)
from video_gc.train.distributed.world import World

OPTIMIZERS = {
    "momentum": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "plain": (torch.optim.SGD, {}),
    "adamw": (torch.optim.AdamW, {}),
}


def built(name: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    mesh = init_device_mesh("cpu", (1,))
    for module in (network[0], network):
        fully_shard(module, mesh=mesh)
    kind, options = OPTIMIZERS[name]
    groups = [
        {"params": list(part.parameters()), "name": name, "lr": rate}
        for part, name, rate in zip(network, ("body", "head"), (0.1, 0.2), strict=True)
    ]
    return network, kind(groups, lr=0.1, weight_decay=0.01, **options)


def step(network: Any, optimizer: torch.optim.Optimizer, number: int) -> None:
    """A step; the first three train the head alone."""
    torch.manual_seed(100 + number)
    optimizer.zero_grad()
    network(torch.randn(8, 4)).square().mean().backward()
    if number < 3:
        for parameter in network[0].parameters():
            parameter.grad = None
    optimizer.step()


def resume(name: str) -> None:
    """Two trainings, one of them from the other's checkpoint, are equal."""
    network, optimizer = built(name)
    for number in range(2):
        step(network, optimizer, number)
    for group in optimizer.param_groups:
        group["lr"] /= 2
    kept = copy.deepcopy((network_state(network), optimizer_state(network, optimizer)))
    again, other = built(name)
    load_network_state(again, kept[0])
    load_optimizer_state(again, other, kept[1])
    for number in range(2, 5):
        step(network, optimizer, number)
        step(again, other, number)
    assert same(network_state(again), network_state(network))
    assert same(optimizer_state(again, other), optimizer_state(network, optimizer))


def launch() -> None:
    """The generator is as before."""
    sharded = ModelParallelStrategy(strategy.shard_network, save_distributed_checkpoint=False)
    given = strategy.fabric_arguments(World(), strategy="fsdp", gpu=False)
    strategy.fabric_arguments = lambda *_, **__: given | {"strategy": sharded}
    seed_everything(5, verbose=False)
    torch.rand(())
    expected = torch.get_rng_state()
    build_fabric(World(), "fp32", strategy="fsdp", gpu=False, loggers=[])
    assert torch.equal(torch.get_rng_state(), expected)


def in_a_group(act: Callable[[], None]) -> None:
    """Call `act` in a forked process, alone in its process group.

    Not in this one: its gradients start threads, after which no test could fork.
    """

    def work(_: int) -> None:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        act()
        dist.destroy_process_group()

    assert run_forked(work, size=1) == [0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_was_not_trained_yet_is_resumed(name: str) -> None:
    in_a_group(lambda: resume(name))


def test_the_first_process_draws_on_as_a_single_one_does() -> None:
    """Fabric seeds again when it is launched with this strategy."""
    in_a_group(launch)
