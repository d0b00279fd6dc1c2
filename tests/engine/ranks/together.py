"""What two processes do together; the test does the same alone. Arguments: a folder, options."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorchvideo.layers.batch_norm import differentiable_all_reduce
from torch import Tensor, nn

from video_gc.config import compose_train
from video_gc.engine import training
from video_gc.engine.ranks.shards import ValidationFigures, shard
from video_gc.engine.ranks.trainer import share_buffers
from video_gc.engine.ranks.world import World, joined, this_world
from video_gc.engine.task import metrics

RUNS = {"frozen": ["epochs=2"], "sync": ["epochs=1"], "parts": ["epochs=2", "accumulate=2"]}
"""Name → options of its own."""
SIZES = (7, 3, 2)
"""Validation videos of which one process has fewer than the other, or none (groups of 2)."""


class SyncNorm(nn.BatchNorm3d):
    """Batch norm over all processes."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        axes, shape = (0, 2, 3, 4), (1, -1, 1, 1, 1)
        mean = differentiable_all_reduce(x.mean(axes)) / 2
        centred = x - mean.view(shape)
        var = differentiable_all_reduce((centred * centred).mean(axes)) / 2
        count = 2 * x.numel() / x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scaled = centred * torch.rsqrt(var + self.eps).view(shape)
        return scaled * self.weight.view(shape) + self.bias.view(shape)


class FrozenNorm(nn.BatchNorm3d):
    """Batch norm that stays as it is."""

    def train(self, _mode: bool = True) -> "FrozenNorm":
        return super().train(False)


def train_all(runs: Path, options: list[str], world: World) -> None:
    """The small trainings, with norms that let two processes equal one.

    In float64, for batch norm over a few numbers of which some are nearly equal makes large
    differences of small ones: in float32 a wrong formula could not be told from rounding.
    """
    build = training.build_model

    def prepared(config: Any, kind: str) -> nn.Module:
        model = build(config).double()
        model.register_forward_pre_hook(lambda _, given: (given[0].double(),))
        for module in model.modules():
            if type(module) is nn.BatchNorm3d and kind != "sync":
                module.__class__ = FrozenNorm
                module.train(False).requires_grad_(False)
            elif type(module) is nn.BatchNorm3d and world.size > 1:
                module.__class__ = SyncNorm
        return model

    for name, own in RUNS.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "build_model", lambda c, name=name: prepared(c, name))
            given = [*options, *own, f"runs={runs}", f"name={name}"]
            training.train(compose_train(given))


def score_all(world: World) -> dict[str, dict[str, float]]:
    """Figures of made-up scores of a few videos, each of them scored by one process."""
    found = {}
    for several in (False, True):
        for size in SIZES:
            random = torch.Generator().manual_seed(size)
            scores = torch.randn(size, 3, generator=random).sigmoid()
            labels = torch.randint(0, 2, (size, 3) if several else (size,), generator=random)
            figures = ValidationFigures(metrics(3, multi_label=several, training=False), 3)
            rows = shard(size, world, group=2)
            for start in range(0, len(rows), 2):
                part = rows[start : start + 2]
                loss = scores[part].mean()
                figures.update(loss, scores[part], labels[part])
            count = {"count": float(figures.videos.compute())}
            found[f"{several} {size}"] = figures.finish() | count
            assert figures.finish() == {}  # begun anew, on all of them
    return found


def statistics_after_sharing(world: World) -> list[float]:
    """Running means of a norm that saw other clips on each process."""
    norm = nn.BatchNorm3d(2)
    norm(torch.full((1, 2, 2, 2, 2), 10.0 + world.rank))
    share_buffers(norm, world)
    return norm.running_mean.tolist()


if __name__ == "__main__":
    own = this_world()
    with joined(own):
        torch.set_num_threads(1)
        train_all(Path(sys.argv[1]), sys.argv[2:], own)
        file = Path(sys.argv[1]) / f"figures_{own.rank}.json"
        file.write_text(json.dumps([score_all(own), statistics_after_sharing(own)]))
