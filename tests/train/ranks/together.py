"""What two processes do together; the test does the same alone. Arguments: a folder, options."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from video_gc.config import compose_train
from video_gc.train import loop, network
from video_gc.train.distributed.strategy import share_buffers
from video_gc.train.distributed.world import World, joined, this_world
from video_gc.train.validation import ValidationFigures, shard

FROZEN = ["norm.kind=frozen", "norm.zero_init=false", "epochs=2"]
RUNS = {
    "frozen": FROZEN,
    "sync": ["norm.kind=sync", "epochs=1"],
    "parts": [*FROZEN, "accumulate=2"],
    "fsdp": [*FROZEN, "strategy=fsdp", "ema=0.9", "optim.clip_grad=1"],
}
"""Name → options of its own."""
SIZES = (7, 3, 2)
"""Validation videos of which one process has fewer than the other, or none (groups of 2)."""


def train_all(runs: Path, options: list[str]) -> None:
    """The small trainings, with norms that let two processes equal one.

    In float64, for batch norm over a few numbers of which some are nearly equal makes large
    differences of small ones: in float32 a wrong formula could not be told from rounding.
    """
    build = network.build_with_report

    def precise(config: Any) -> Any:
        model, report = build(config)
        model.double().register_forward_pre_hook(lambda _, given: (given[0].double(),))
        return model, report

    for name, own in RUNS.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(network, "build_with_report", precise)
            given = [*options, *own, f"runs={runs}", f"name={name}"]
            loop.train(compose_train(given))


def score_all(world: World) -> dict[str, dict[str, float]]:
    """Figures of made-up scores of a few videos, each of them scored by one process."""
    found = {}
    for several in (False, True):
        for size in SIZES:
            random = torch.Generator().manual_seed(size)
            scores = torch.randn(size, 3, generator=random).sigmoid()
            labels = torch.randint(0, 2, (size, 3) if several else (size,), generator=random)
            figures = ValidationFigures(3, multi_label=several)
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
        train_all(Path(sys.argv[1]), sys.argv[2:])
        file = Path(sys.argv[1]) / f"figures_{own.rank}.json"
        file.write_text(json.dumps([score_all(own), statistics_after_sharing(own)]))
