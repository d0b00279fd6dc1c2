"""The objects of a training: built from its config, saved and restored."""

import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from video_gc.data.batches.loader import ThreadLoader
from video_gc.data.batches.workers import WorkerLoader
from video_gc.data.dataset import TrainingClips
from video_gc.data.reading import common_rate
from video_gc.data.skipped_videos import SKIPPED
from video_gc.data.splits import Splits
from video_gc.progress import say
from video_gc.train.checkpoint import KEY, CheckpointContents, described
from video_gc.train.checkpoint_paths import CHECKPOINTS
from video_gc.train.display import Display
from video_gc.train.distributed.strategy import (
    build_fabric,
    is_parallel,
    load_network_state,
    load_optimizer_state,
    network_state,
    optimizer_state,
    seed_this_process,
    shard_copy,
)
from video_gc.train.distributed.world import World, to_all
from video_gc.train.inputs import build_loaders, fingerprints
from video_gc.train.logs import RowLogger, open_loggers
from video_gc.train.network import TrainedNetwork
from video_gc.train.options import Length, TrainConfig, decoding_of
from video_gc.train.recipe.averaging import averaged_copy, pick_weights
from video_gc.train.recipe.bf16_on_cpu import sound_bf16
from video_gc.train.recipe.groups import train_mode, waiting_parameters
from video_gc.train.recipe.optim import build_optimizer
from video_gc.train.recipe.precise_norms import KEY as STATISTICS
from video_gc.train.recipe.precise_norms import PreciseNorms, precise_norms
from video_gc.train.recipe.schedule import about_the_head, build_schedule, head_steps
from video_gc.train.resume.run_directory import LOGS
from video_gc.train.resume.signals import StopSignals
from video_gc.train.resume.state import LoopState, set_generators
from video_gc.train.skipped_by_ranks import SkippedByRanks
from video_gc.train.step import Objective, balanced_weights

PREFIXES = {"model": "val", "average": "val_ema"}
"""Prefix of names in a checkpoint → prefix of the metrics."""


@dataclass
class Training:
    """The objects of a training."""

    config: TrainConfig
    world: World
    fabric: Fabric
    precision: str
    """fp32 or bf16"""
    objective: Objective
    length: Length
    networks: dict[str, nn.Module]
    """model and, with averaged weights, average: the prefixes of names in a checkpoint"""
    network: Any
    """the model wrapped by Fabric: its precision, gradients over all processes"""
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    loader: WorkerLoader | ThreadLoader
    views: Any
    """batches of validation views"""
    precise: PreciseNorms | None
    contents: CheckpointContents
    splits: Splits
    skipped: SkippedByRanks
    state: LoopState
    signals: StopSignals
    display: Display = field(default_factory=Display)
    saved_at: float = field(default_factory=time.monotonic)
    saved_step: int = 0
    videos: list[Tensor] = field(default_factory=list)
    """rows of the last step's videos, part by part"""
    not_saved: str = ""
    """the message if the newest checkpoint could not be written"""

    @property
    def model(self) -> nn.Module:
        """The network that is trained."""
        return self.networks["model"]

    @property
    def average(self) -> nn.Module | None:
        """The network with averaged weights."""
        return self.networks.get("average")

    @property
    def folder(self) -> Path:
        """The folder of the checkpoints."""
        return self.config.directory / CHECKPOINTS

    @property
    def monitor(self) -> str:
        """The metric that chooses the best checkpoint; higher is better."""
        # of the averaged weights if there are any: such a run is for them
        figure = "mAP" if self.objective.multi_label else "top1"
        return f"{PREFIXES[list(self.networks)[-1]]}/{figure}"

    def sound_bf16(self) -> AbstractContextManager[object]:
        """Around the forward pass of a step: makes the gradients of bf16 on the CPU correct."""
        return sound_bf16(self.fabric.device, low=self.precision == "bf16")

    def waiting(self) -> list[nn.Parameter]:
        """Parameters that are not trained yet, while the head is trained alone."""
        alone = head_steps(self.config.optim, self.length.steps_per_epoch)
        return waiting_parameters(self.optimizer) if self.state.step < alone else []

    def train_mode(self) -> None:
        """Put all modules in train mode, except those that are not trained."""
        train_mode(self.model, self.average, self.waiting())


def build_training(
    config: TrainConfig,
    world: World,
    signals: StopSignals,
    splits: Splits,
    network: TrainedNetwork,
    state: LoopState,
    known: dict[str, str],
) -> Training:
    """Build loaders, Fabric, optimiser, schedule and logs. known: fingerprints in a checkpoint."""
    gpu = on_gpu(config)
    loader, views = build_loaders(splits, config, world, gpu=gpu)
    length = config.length(len(loader))
    for line in network.about:
        say(line)
    counts = {"steps": length.steps, "steps_per_epoch": length.steps_per_epoch}
    warning = about_the_head(config.optim, **counts)
    if warning:
        say(warning, style="yellow")
    loggers = open_loggers(config.directory / LOGS, config, state) if world.first else []
    fabric = build_fabric(
        world, network.precision, strategy=config.strategy, gpu=gpu, loggers=loggers
    )
    seed_this_process(world, config.seed)
    model = network.model.to(fabric.device)
    if not is_parallel(fabric):  # FSDP2 divides only contiguous parameters
        model = model.to(memory_format=torch.channels_last_3d)
    networks = {"model": model}
    if config.ema is not None:
        networks["average"] = averaged_copy(model)
    wrapped = fabric.setup_module(model)
    if config.ema is not None:
        shard_copy(networks["average"], fabric)
    optimizer = build_optimizer(model, network.optim, fresh=network.fresh_context)
    assert network.config.num_classes is not None
    objective = Objective(
        num_classes=network.config.num_classes,
        normalisation=config.normalisation,
        augment=config.augment,
        label_smoothing=config.label_smoothing,
        multi_label=splits.train.multi_label,
        class_weights=_class_weights(splits) if config.class_weights else None,
    )
    clips = loader.dataset
    assert isinstance(clips, TrainingClips)
    return Training(
        config=config,
        world=world,
        fabric=fabric,
        precision=network.precision,
        objective=objective,
        length=length,
        networks=networks,
        network=wrapped,
        optimizer=optimizer,
        schedule=build_schedule(optimizer, network.optim, **counts),
        loader=loader,
        views=views,
        precise=precise_norms(networks, objective.prepare, clips, config=config, world=world),
        contents=CheckpointContents(
            model=network.config,
            clip=config.clip,
            normalisation=config.normalisation,
            names=list(splits.train.names),
            config=asdict(config) | {"precision": network.precision},
            # only the first process writes checkpoints
            fingerprint=fingerprints(splits, config.data, known) if world.first else {},
            fps=None
            if config.clip.target_fps or not world.first
            else common_rate(splits.train, decoding_of(config.data)),
        ),
        splits=splits,
        skipped=SkippedByRanks(config.directory / SKIPPED, world),
        state=state,
        signals=signals,
        saved_step=state.step,
    )


def _class_weights(splits: Splits) -> Tensor:
    """The balanced weights of the training videos; prints their range."""
    names = splits.train.names
    counts = torch.bincount(torch.from_numpy(splits.train.labels), minlength=len(names))
    weights = balanced_weights(counts)
    rare, common = int(weights.argmax()), int(counts.argmax())
    say(
        f"class_weights=balanced: a clip of {names[rare]!r} ({counts[rare]:,} videos) counts "
        f"{weights[rare]:.2f} times, one of {names[common]!r} ({counts[common]:,}) "
        f"{weights[common]:.2f} times"
    )
    return weights


def saved(training: Training, trained: dict[str, Tensor]) -> dict[str, Any]:
    """The content of a checkpoint; all processes call this, and the first gets all of it.

    trained: the norm statistics for further training, if validation uses others.
    """
    state = training.state
    training.skipped.exchange()
    state.skipped = [list(row) for row in training.skipped.rows()]
    state.rows = sum(log.rows for log in training.fabric.loggers if isinstance(log, RowLogger))
    optimizer = optimizer_state(training.model, training.optimizer)
    weights = {
        f"{prefix}.{name}": value
        for prefix, network in training.networks.items()
        for name, value in network_state(network).items()
    }
    content = {
        "epoch": state.epoch,
        "global_step": state.step,
        "state_dict": weights,
        "optimizer_states": [optimizer],
        "lr_schedulers": [training.schedule.state_dict()],
        KEY: described(training.contents, pick_weights(weights) if training.world.first else {}),
        "loop": {"processes": to_all(state.saved(), training.world)},
    }
    return content | ({STATISTICS: trained} if trained else {})


def restore(training: Training, kept: dict[str, Any]) -> None:
    """Restore the result of `saved`; the generators last, when nothing draws from them any more."""
    for prefix, network in training.networks.items():
        names = [name for name in kept["state_dict"] if name.startswith(f"{prefix}.")]
        own = {name.removeprefix(f"{prefix}."): kept["state_dict"][name] for name in names}
        load_network_state(network, own)
    if training.precise is not None:
        training.precise.put(kept.get(STATISTICS, {}))
    [optimizer], [schedule] = kept["optimizer_states"], kept["lr_schedulers"]
    load_optimizer_state(training.model, training.optimizer, optimizer)
    training.schedule.load_state_dict(schedule)
    training.skipped.restore(tuple(row) for row in training.state.skipped)
    training.skipped.write()
    restore_generators(training.state, training.world, training.config.seed)


def restore_generators(state: LoopState, world: World, seed: int) -> None:
    """Restore the generators of this process; one that is new in the run begins its own noise."""
    set_generators(state.generators)
    if "torch" not in state.generators:
        seed_this_process(world, seed, step=state.step)


def on_gpu(config: TrainConfig) -> bool:
    """Whether the training runs on a GPU."""
    return config.accelerator != "cpu" and torch.cuda.is_available()
