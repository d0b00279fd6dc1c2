"""Precise batch norm: statistics of the final weights, not of the weights during training.

Wu and Johnson, Rethinking "batch" in BatchNorm, 2021, section 3; computed by fvcore.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from torch import Tensor, nn

from video_gc.data.batches.batch import Batch, collate
from video_gc.data.batches.sampler import videos_of
from video_gc.data.batches.workers import WorkerLoader
from video_gc.data.dataset import TrainingClips
from video_gc.train.display import Display
from video_gc.train.distributed.world import World
from video_gc.train.inputs import shield_workers
from video_gc.train.options import TrainConfig

KEY = "running_statistics"
WORK = "Statistics of norms"
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class PreciseNorms:
    """The statistics of the norms of `networks` over a fixed set of training clips.

    The checkpoint after a validation has them in its `state_dict`, so a test uses what was
    validated, and the statistics for further training under KEY, so training is unaffected.
    """

    networks: dict[str, nn.Module]
    """prefix of the names in a checkpoint → network"""
    prepare: Callable[[Batch], Tensor]
    """a batch on the device → the clips that the networks see"""
    clips: TrainingClips
    batches: list[list[tuple[int, int]]]
    """keys, see `fixed_batches`"""
    workers: int
    world: World

    def compute(self, device: torch.device, display: Display) -> dict[str, Tensor]:
        """Compute and set them, from train mode; leaves the networks in eval mode.

        Returns the earlier statistics, for `put`.
        """
        norms = _norms(self.networks)
        own = _statistics(norms)
        # frames decoded on the GPU do not leave their process
        decodes = self.clips.decoding.device == "cuda"
        loader = WorkerLoader(
            self.clips,
            batch_sampler=self.batches,
            collate_fn=collate,
            num_workers=0 if decodes else min(self.workers, len(self.batches)),
        )
        shield_workers([loader])
        for network in self.networks.values():
            network.eval()
        count = len(self.batches)
        # compiled code has no hooks for fvcore
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            together = _Together(list(self.networks.values()), self.prepare, device)
            _compute(together, norms, display.track(loader, WORK, count), count)
            if self.world.size > 1:
                _average_over_processes(norms, self.world.size)
        return own

    def put(self, statistics: dict[str, Tensor]) -> None:
        """Set the statistics by name."""
        for name, value in statistics.items():
            prefix, _, buffer = name.partition(".")
            self.networks[prefix].get_buffer(buffer).copy_(value)


def precise_norms(
    networks: dict[str, nn.Module],
    prepare: Callable[[Batch], Tensor],
    clips: TrainingClips,
    *,
    config: TrainConfig,
    world: World,
) -> PreciseNorms | None:
    """As `config` sets them; None if they are off."""
    if not config.norm.precise:
        return None
    parts = world.size * config.accumulate
    videos = videos_of(config.batch_size, config.clip.repeats)
    batches = fixed_batches(
        clips,
        count=config.norm.precise * parts,
        videos=max(videos // parts, 1),
        rank=world.rank,
        world=world.size,
    )
    return PreciseNorms(networks, prepare, clips, batches, config.data.workers, world)


def fixed_batches(
    clips: TrainingClips, *, count: int, videos: int, rank: int = 0, world: int = 1
) -> list[list[tuple[int, int]]]:
    """This process's keys of at most `count` batches over all processes; always the same.

    All processes get equally many, of `videos` each; fewer if the data set is small.
    """
    rows = np.random.default_rng(clips.seed).permutation(len(clips))
    videos = min(videos, max(len(rows) // world, 1))
    whole = min(count, len(rows) // videos) // world * world
    keys = [(0, int(row)) for row in rows[: whole * videos]]
    return [keys[start : start + videos] for start in range(0, len(keys), videos)][rank::world]


class _Together(nn.Module):
    """Runs several networks on a batch: videos are decoded once for all of them."""

    def __init__(
        self,
        networks: list[nn.Module],
        prepare: Callable[[Batch], Tensor],
        device: torch.device,
    ) -> None:
        super().__init__()
        self.networks, self.prepare, self.device = nn.ModuleList(networks), prepare, device

    def forward(self, batch: Batch) -> None:
        batch = batch.to(self.device)
        if batch.clips is not None:
            clips = self.prepare(batch)
            for network in self.networks:
                network(clips)


def _compute(
    together: nn.Module, norms: dict[str, nn.Module], loader: Iterable[Batch], count: int
) -> None:
    before = {name: (norm.running_mean, norm.running_var) for name, norm in norms.items()}
    for norm in norms.values():
        norm.train()
    try:
        update_bn_stats(together, loader, count)
    finally:
        for name, norm in norms.items():
            norm.eval()
            for statistic, buffer in zip(STATISTICS, before[name], strict=True):
                found = getattr(norm, statistic)  # fvcore puts another tensor there
                assert isinstance(buffer, Tensor)
                setattr(norm, statistic, buffer.copy_(found))


def _norms(networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The batch norms with statistics, except frozen ones; in train mode."""
    return {
        f"{prefix}.{name}": module
        for prefix, network in networks.items()
        for found in [set(get_bn_modules(network))]
        for name, module in network.named_modules()
        if module in found
    }


def _statistics(norms: dict[str, nn.Module]) -> dict[str, Tensor]:
    names = (*STATISTICS, "num_batches_tracked")
    return {
        f"{prefix}.{name}": norm.get_buffer(name).clone()
        for prefix, norm in norms.items()
        for name in names
    }


def _average_over_processes(norms: dict[str, nn.Module], processes: int) -> None:
    for norm in norms.values():
        mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        moments = torch.stack([mean, var + mean**2])
        dist.all_reduce(moments)
        moments /= processes
        mean.copy_(moments[0])
        var.copy_(moments[1] - moments[0] ** 2)
