"""Precise batch norm: the statistics of the weights that are tested, not of those on the way there.

Wu and Johnson, Rethinking "batch" in BatchNorm, 2021, section 3; computed by fvcore.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from video_gc.data.batches.workers import WorkerLoader
from video_gc.data.dataset import Batch, TrainingClips, collate
from video_gc.train.resume.workers import shield_workers
from video_gc.train.task import RecognitionTask
from video_gc.train.training_bar import TrainingBar

KEY = "running_statistics"
WORK = "Statistics of norms"
STATISTICS = ("running_mean", "running_var")


class PreciseNorms(pl.Callback):
    """Lightning callback: validate with the statistics of a fixed set of training clips.

    A checkpoint that is written before the next step has them in its `state_dict`, and those that
    training goes on with under their own name: what is tested is what was validated, and a resumed
    run goes on as if nothing had been computed.
    """

    def __init__(self, clips: TrainingClips, *, steps: int, videos: int, workers: int = 0) -> None:
        """steps: batches of a whole step each; videos: in a step, over all processes."""
        self.clips, self.steps, self.videos, self.workers = clips, steps, videos, workers
        self.own: dict[str, Tensor] = {}
        self.tested: dict[str, Tensor] = {}

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning: in eval mode, before the first batch."""
        assert isinstance(pl_module, RecognitionTask)
        parts = trainer.world_size * trainer.accumulate_grad_batches
        batches = fixed_batches(
            self.clips,
            count=self.steps * parts,
            videos=max(self.videos // parts, 1),
            rank=trainer.global_rank,
            world=trainer.world_size,
        )
        # frames from the GPU do not leave their process
        workers = 0 if self.clips.decoding.device == "cuda" else min(self.workers, len(batches))
        loader = WorkerLoader(
            self.clips,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=workers,
        )
        shield_workers([loader])
        with (
            isolate_rng(),
            torch.inference_mode(False),
            torch.no_grad(),
            torch.compiler.set_stance("force_eager"),  # compiled code has no hooks for fvcore
            trainer.precision_plugin.forward_context(),
        ):
            norms = _norms(pl_module)
            self.own, self.tested = _statistics(norms), {}
            shown: Iterable[Batch] = loader
            if isinstance(trainer.progress_bar_callback, TrainingBar):
                shown = trainer.progress_bar_callback.track(loader, WORK, len(batches))
            _compute(pl_module, norms, shown, len(batches))
            if trainer.world_size > 1:
                _average_over_processes(trainer, norms)
            self.tested = _statistics(norms)

    def on_validation_end(self, _trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning: before the checkpoint callbacks."""
        _put(pl_module, self.own)

    def on_train_batch_start(self, *_: Any) -> None:
        """Lightning: from here on the weights are others."""
        self.own, self.tested = {}, {}

    def on_save_checkpoint(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning: what is tested stands with the weights, what trains beside them."""
        if self.own:
            checkpoint["state_dict"] = checkpoint["state_dict"] | (self.tested or self.own)
            checkpoint[KEY] = self.own

    def on_load_checkpoint(
        self, _trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning: after the weights were loaded."""
        if checkpoint.get(KEY):
            self.own = checkpoint[KEY]
            self.tested = {name: checkpoint["state_dict"][name] for name in self.own}
            _put(pl_module, self.own)


def fixed_batches(
    clips: TrainingClips, *, count: int, videos: int, rank: int = 0, world: int = 1
) -> list[list[tuple[int, int]]]:
    """Keys of at most `count` batches over all processes, those of this one; always the same.

    All processes get as many, of `videos` each; fewer where the data set ends.
    """
    rows = np.random.default_rng(clips.seed).permutation(len(clips))
    videos = min(videos, max(len(rows) // world, 1))
    whole = min(count, len(rows) // videos) // world * world
    keys = [(0, int(row)) for row in rows[: whole * videos]]
    return [keys[start : start + videos] for start in range(0, len(keys), videos)][rank::world]


class _Together(nn.Module):
    """The networks of a task on a batch: videos are decoded once for all of them."""

    def __init__(self, task: RecognitionTask) -> None:
        super().__init__()
        self.networks = nn.ModuleList(task.networks.values())
        self.prepare = task.prepare
        self.on = task.device

    def forward(self, batch: Batch) -> None:
        batch = batch.to(self.on)
        if batch.clips is not None:
            clips = self.prepare(batch)
            for network in self.networks:
                network(clips)


def _compute(
    task: RecognitionTask, norms: dict[str, nn.Module], loader: Iterable[Batch], count: int
) -> None:
    before = {name: (norm.running_mean, norm.running_var) for name, norm in norms.items()}
    together = _Together(task)
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


def _norms(task: RecognitionTask) -> dict[str, nn.Module]:
    """The batch norms that have statistics of their own, frozen ones left out."""
    task.train()
    found = set(get_bn_modules(task))
    task.eval()
    return {name: module for name, module in task.named_modules() if module in found}


def _statistics(norms: dict[str, nn.Module]) -> dict[str, Tensor]:
    names = (*STATISTICS, "num_batches_tracked")
    return {
        f"{prefix}.{name}": norm.get_buffer(name).clone()
        for prefix, norm in norms.items()
        for name in names
    }


def _put(module: nn.Module, statistics: dict[str, Tensor]) -> None:
    for name, value in statistics.items():
        module.get_buffer(name).copy_(value)


def _average_over_processes(trainer: pl.Trainer, norms: dict[str, nn.Module]) -> None:
    for norm in norms.values():
        mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        moments = trainer.strategy.reduce(torch.stack([mean, var + mean**2]), reduce_op="mean")
        assert isinstance(moments, Tensor)
        mean.copy_(moments[0])
        var.copy_(moments[1] - moments[0] ** 2)
