"""Training on Lightning's Trainer: from a config to a run directory with checkpoints."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import TensorBoardLogger

from video_gc.data.batches.loader import videos_of
from video_gc.data.batches.workers import guarded_workers
from video_gc.data.dataset import Batch, TrainingClips
from video_gc.data.splits import Splits, data_manifest, open_splits, read_splits, write_splits
from video_gc.deploy.inference_network import has_bf16
from video_gc.locks import locked
from video_gc.progress import say
from video_gc.train.checkpoint import CheckpointContents, DescribeCheckpoint
from video_gc.train.inputs import build_loaders, check_inputs, decoding_of, fingerprints
from video_gc.train.network import TrainedNetwork, build_network
from video_gc.train.options import TrainConfig
from video_gc.train.ranks.trainer import SameNetwork, say_about_norms, trainer_arguments
from video_gc.train.ranks.world import (
    World,
    from_first,
    joined,
    need_shared,
    this_world,
    wait_for_all,
)
from video_gc.train.recipe.cpu_bf16 import SoundBf16
from video_gc.train.recipe.length import LastStep, about_the_head, epochs_of
from video_gc.train.recipe.precise import PreciseNorms
from video_gc.train.resume.checkpoints import Checkpoints
from video_gc.train.resume.faults import NOT_FINITE
from video_gc.train.resume.figures import EpochFigures
from video_gc.train.resume.files import CheckpointFiles, set_aside
from video_gc.train.resume.generators import Generators
from video_gc.train.resume.log import KeepLog, RunLog
from video_gc.train.resume.position import Position, check_same_videos, read_position
from video_gc.train.resume.run_directory import (
    LOGS,
    SKIPPED,
    SPLITS,
    begin_run,
    finish_run,
    is_finished,
    last_checkpoint,
)
from video_gc.train.resume.signals import Stopped, requeue
from video_gc.train.resume.workers import shield_workers
from video_gc.train.run_checkpoint import CHECKPOINTS
from video_gc.train.skipped_videos import SkippedByRanks
from video_gc.train.task import RecognitionTask
from video_gc.train.training_bar import TrainingBar

LIGHTNING = {"fp32": "32-true", "bf16": "bf16-mixed"}


def train(config: TrainConfig) -> Path:
    """Train, as one of several processes where there are, and return the run directory.

    It holds config.yaml, versions.yaml, splits/ (which videos train, choose and test),
    checkpoints/ (last.ckpt, best.ckpt, best.safetensors), logs/ (CSV and TensorBoard) and, where a
    file could not be read, skipped.csv.

    A run that was stopped goes on as if it had not been; a finished one is left as it is. Nothing
    is written before options, data and network are found usable. A directory without a checkpoint
    is that of an aborted attempt: the run starts over in it.

    Raises FileExistsError where the run exists and `resume` is off, ValueError where it exists
    with another config or other videos, BlockingIOError where another process trains in it,
    DataError or FileNotFoundError for unusable data, ImportError for a decoder that is not
    installed, FloatingPointError for a loss that is NaN, ChildProcessError or OSError for a
    decoding worker that died, Stopped after a signal.
    """
    world, asked = this_world(), None
    lock = locked(config.directory) if world.first else nullcontext()
    with joined(world, gpu=on_gpu(config.accelerator)), lock:
        try:
            _train(config, world)
        except Stopped as stopped:  # all of them, at the same step: no failure
            asked = stopped
    if asked is not None:
        if world.first:
            requeue(asked.signal)
        raise asked
    return config.directory


def _train(config: TrainConfig, world: World) -> None:
    directory, options = config.directory, asdict(config)
    given = (config.data, config.clip, config.batch_size, config.accumulate, world.size)
    from_first(world, lambda: check_inputs(*given))
    defaults = asdict(TrainConfig())
    last = from_first(
        world, lambda: last_checkpoint(directory, options, defaults, resume=config.resume)
    )
    if last is not None:
        need_shared(last)
        if is_finished(directory):
            say(f"{directory}: this run is finished; there is nothing to do")
            return
    position = Position() if last is None else read_position(last)
    pl.seed_everything(config.seed, verbose=False)
    splits = _splits(config, world, last)
    gpu = on_gpu(config.accelerator)
    network = build_network(config, splits, resumed=last is not None, gpu=gpu)
    decoding_of(config.data).check_decoder(splits.train.path(0))
    wait_for_all(world)  # whoever cannot decode says so before anything is written
    if last is None:
        from_first(world, lambda: _begin(directory, options, splits))
        need_shared(directory / SPLITS)
        splits = read_splits(directory / SPLITS)  # memory-mapped: loader processes share it
    else:
        say(f"{directory}: goes on from {last.name} ({position.said(config.epochs, config.steps)})")
        if world.first:
            set_aside(last.parent, last)

    say_about_norms(config.norm.kind, world, config.batch_size)
    loaders = build_loaders(
        splits,
        config.data,
        config.clip,
        seed=config.seed,
        batch_size=config.batch_size,
        micro_batch=config.test.micro_batch,
        pin_memory=gpu,
        accumulate=config.accumulate,
        world=world,
    )
    shield_workers(loaders)
    contents = CheckpointContents(
        model=network.config,
        clip=config.clip,
        normalisation=config.normalisation,
        names=list(splits.train.names),
        config=options,
        # the first process alone writes checkpoints
        fingerprint=fingerprints(splits, config.data, last) if world.first else {},
    )
    trainer = _trainer(config, world, contents, splits, loaders[0], position)
    for line in network.about:
        say(line)
    only_head = about_the_head(config, len(loaders[0]))  # type: ignore[arg-type]
    if only_head:
        say(only_head, style="yellow")
    cpu_bf16 = not gpu and config.precision == "bf16"
    try:
        with guarded_workers(config.data.workers), SoundBf16() if cpu_bf16 else nullcontext():
            task = _task(config, network, multi_label=splits.train.multi_label)
            trainer.fit(task, *loaders, ckpt_path=last, weights_only=True)
    except SystemExit as stopped:
        if trainer.interrupted and not isinstance(stopped, Stopped):
            raise KeyboardInterrupt from None  # Lightning's way of ending after Ctrl-C
        raise
    if world.first:
        finish_run(directory, epochs=trainer.max_epochs or config.epochs, steps=trainer.global_step)


def on_gpu(accelerator: str) -> bool:
    """Whether the training runs on a GPU."""
    return accelerator != "cpu" and torch.cuda.is_available()


def _splits(config: TrainConfig, world: World, last: Path | None) -> Splits:
    """The videos as the run kept them, or of the data set where it is new."""
    if last is None:
        return from_first(world, lambda: open_splits(config.data))
    kept, manifest = config.directory / SPLITS, data_manifest(config.data)
    splits = from_first(world, lambda: read_splits(kept, manifest))
    from_first(world, lambda: check_same_videos(last, splits, config.data))
    return splits


def _begin(directory: Path, options: dict[str, Any], splits: Splits) -> None:
    begin_run(directory, options)
    write_splits(splits, directory / SPLITS)


def _task(config: TrainConfig, network: TrainedNetwork, *, multi_label: bool) -> RecognitionTask:
    assert network.config.num_classes is not None
    return RecognitionTask(
        network.model,
        num_classes=network.config.num_classes,
        normalisation=config.normalisation,
        optim=network.optim,
        fresh_context=network.fresh_context,
        label_smoothing=config.label_smoothing,
        multi_label=multi_label,
        augment=config.augment,
        seed=config.seed,
        ema=config.ema,
    )


def _trainer(
    config: TrainConfig,
    world: World,
    contents: CheckpointContents,
    splits: Splits,
    loader: Iterable[Batch],
    position: Position,
) -> pl.Trainer:
    directory, gpu = config.directory, on_gpu(config.accelerator)
    rows, writer = RunLog(directory / LOGS), CheckpointFiles()
    troubles = SkippedByRanks(directory / SKIPPED, world)
    troubles.read()  # what was found before a resume
    # by the averaged weights where there are any: they are what such a run is for
    best = "val/" if config.ema is None else "val_ema/"
    checkpoints = Checkpoints(
        directory / CHECKPOINTS,
        config.checkpoint,
        world,
        monitor=best + ("mAP" if splits.train.multi_label else "top1"),
        contents=contents,
        writer=writer,
        path_of=splits.train.path,
        faults=directory / NOT_FINITE,
    )
    arguments = trainer_arguments(world, gpu=gpu)
    arguments["plugins"] = [*arguments["plugins"], writer]
    return pl.Trainer(
        **arguments,
        accumulate_grad_batches=config.accumulate,
        precision=_precision(config.precision, gpu=gpu),  # type: ignore[arg-type]
        max_epochs=epochs_of(config, len(loader)),  # type: ignore[arg-type]
        max_steps=config.steps or -1,
        limit_train_batches=config.steps_per_epoch and config.steps_per_epoch * config.accumulate,
        gradient_clip_val=config.optim.clip_grad,
        logger=[
            rows,
            TensorBoardLogger(
                directory / LOGS, "tensorboard", "", purge_step=position.first_unlogged_step
            ),
        ],
        callbacks=[
            checkpoints,
            SameNetwork(world, seed=config.seed),  # before the precise statistics
            *_precise_norms(config, loader),
            DescribeCheckpoint(contents),
            Generators(world),
            EpochFigures(world),
            KeepLog(rows),
            troubles,
            *([LastStep(config.steps)] if config.steps else []),
            TrainingBar(),
            LearningRateMonitor("epoch"),
        ],
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
    )


def _precise_norms(config: TrainConfig, loader: Iterable[Batch]) -> list[pl.Callback]:
    clips = getattr(loader, "dataset", None)
    if not config.norm.precise:
        return []
    assert isinstance(clips, TrainingClips)
    videos = videos_of(config.batch_size, config.clip.repeats)
    steps, workers = config.norm.precise, config.data.workers
    return [PreciseNorms(clips, steps=steps, videos=videos, workers=workers)]


def _precision(name: str, *, gpu: bool) -> str:
    """Lightning's name; `auto` is bf16 on a GPU that multiplies it, else fp32.

    Not `choose`: on a CPU a step in bf16 is the slower one.
    """
    if name == "auto":
        name = "bf16" if gpu and has_bf16(torch.device("cuda")) else "fp32"
    return LIGHTNING[name]
