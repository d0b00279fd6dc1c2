"""A step in two parts is the step in one, where no norm looks at the batch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from video_gc.data.batches.batch import Batch
from video_gc.data.transforms import Normalisation
from video_gc.models.build import ModelConfig, build_model
from video_gc.train.distributed.world import World
from video_gc.train.loop import optimiser_step
from video_gc.train.options import Length, TrainConfig
from video_gc.train.recipe.averaging import averaged_copy
from video_gc.train.recipe.norms import NormConfig, prepare_norms
from video_gc.train.recipe.optim import OptimConfig, build_optimizer
from video_gc.train.recipe.schedule import build_schedule
from video_gc.train.resume.signals import StopSignals
from video_gc.train.resume.state import LoopState
from video_gc.train.skipped_by_ranks import SkippedByRanks
from video_gc.train.step import Objective
from video_gc.train.training import Training


def batches(size: int) -> list[Batch]:
    """The same twelve clips, in batches of `size`."""
    random = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (12, 4, 32, 32, 3), dtype=torch.uint8, generator=random)
    labels = torch.randint(0, 3, (12,), generator=random)
    none = torch.zeros(size, dtype=torch.long)
    return [
        Batch(c, y, none, none.bool(), none, none, [])
        for c, y in zip(clips.split(size), labels.split(size), strict=True)
    ]


def trained(
    size: int, accumulate: int, ema: float | None = None, weights: Tensor | None = None
) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = build_model(ModelConfig(backbone="slow", width=0.125, num_classes=3, dropout=0))
    prepare_norms(model, NormConfig(zero_init=False), weights=None, gpu=False)
    prepare_norms(model, NormConfig(kind="frozen"), weights="some", gpu=False)
    config = TrainConfig(accumulate=accumulate, batch_size=4, ema=ema)
    fabric = Fabric(accelerator="cpu", devices=1)
    networks = {"model": model} | ({} if ema is None else {"average": averaged_copy(model)})
    optimizer = build_optimizer(model, OptimConfig(lr=0.01))
    unused: Any = None
    training = Training(
        config=config, world=World(), fabric=fabric, precision="fp32", length=Length(1, 3, 3),
        networks=networks,
        objective=Objective(
            num_classes=3, normalisation=Normalisation(), class_weights=weights
        ),
        network=fabric.setup_module(model), optimizer=optimizer,
        schedule=build_schedule(optimizer, OptimConfig(lr=0.01), steps=3, steps_per_epoch=3),
        skipped=SkippedByRanks(Path("skipped.csv"), World()), state=LoopState(),
        signals=StopSignals(),
        loader=unused, views=unused, precise=unused, contents=unused, splits=unused,
    )  # fmt: skip
    training.train_mode()
    start = {name: value.clone() for name, value in states(networks)}
    every = iter(batches(size))
    for _ in range(3):
        assert not optimiser_step(training, every)
    assert training.state.step == 3
    return {
        name: value - start[name]
        for name, value in states(networks)
        if value.is_floating_point() and "running" not in name
    }


def states(networks: dict[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for prefix, network in networks.items():
        yield from ((f"{prefix}.{name}", value) for name, value in network.state_dict().items())


def test_two_parts_of_a_step_are_the_step() -> None:
    weights = torch.tensor([0.2, 1.0, 3.0])
    whole = trained(4, 1, ema=0.9, weights=weights)
    parts = trained(2, 2, ema=0.9, weights=weights)  # the average moves once a step
    assert any(name.startswith("average.") for name in whole)
    for name, moved in whole.items():
        scale = moved.abs().max().item()
        torch.testing.assert_close(
            parts[name], moved, rtol=1e-3, atol=1e-4 * scale + 1e-7, msg=name
        )
    assert max(moved.abs().max() for moved in whole.values()) > 1e-3
