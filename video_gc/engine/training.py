"""Training on Lightning's Trainer: from a config to a run directory with checkpoints."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor, RichProgressBar
from pytorch_lightning.loggers import TensorBoardLogger

from video_gc.data.dataset import Batch, TrainingClips
from video_gc.data.loader import videos_of
from video_gc.data.source import (
    Splits,
    data_manifest,
    open_splits,
    read_splits,
    write_splits,
)
from video_gc.engine.checkpoint import CheckpointContents, DescribeCheckpoint
from video_gc.engine.inputs import build_loaders, decoding_of, fingerprints
from video_gc.engine.options import TrainConfig
from video_gc.engine.ranks.world import this_world
from video_gc.engine.recipe.groups import freeze_stages
from video_gc.engine.recipe.length import LastStep, epochs_of
from video_gc.engine.recipe.network import prepare_network
from video_gc.engine.recipe.optim import describe_optim, effective_lr
from video_gc.engine.recipe.precise import PreciseNorms
from video_gc.engine.resume.checkpoints import Checkpoints
from video_gc.engine.resume.faults import NOT_FINITE, explain
from video_gc.engine.resume.figures import EpochFigures
from video_gc.engine.resume.files import CheckpointFiles, set_aside
from video_gc.engine.resume.generators import Generators
from video_gc.engine.resume.lock import locked
from video_gc.engine.resume.log import KeepLog, RunLog
from video_gc.engine.resume.position import Position, check_same_videos, read_position
from video_gc.engine.resume.run_directory import (
    CHECKPOINTS,
    LOGS,
    SKIPPED,
    SPLITS,
    begin_run,
    finish_run,
    is_finished,
    last_checkpoint,
)
from video_gc.engine.resume.signals import Stopped, requeue
from video_gc.engine.resume.workers import shield_workers
from video_gc.engine.task import RecognitionTask
from video_gc.engine.troubles import TroubleLog
from video_gc.models.build import ModelConfig, build_with_report
from video_gc.models.context import context_blocks
from video_gc.progress import console, say

FIGURES = (
    "train/loss",
    "train/top1",
    "val/loss",
    "val/top1",
    "val/mAP",
    "val_ema/top1",
    "val_ema/mAP",
)
LIGHTNING = {"fp32": "32-true", "bf16": "bf16-mixed"}


class TrainingBar(RichProgressBar):
    """Lightning's bar, counting epochs from 1; where there is no terminal, a line per epoch."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}"

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning: after validation."""
        super().on_train_epoch_end(trainer, pl_module)
        if not console.is_terminal:
            seen = trainer.callback_metrics
            figures = ", ".join(
                f"{name} {float(seen[name]):.3f}" for name in FIGURES if name in seen
            )
            say(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {figures}")

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What stands beside the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}


def train(config: TrainConfig) -> Path:
    """Train, and return the run directory.

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
    with locked(config.directory) if this_world().first else nullcontext():
        try:
            return _train(config)
        except Stopped as stopped:
            if this_world().first:
                requeue(stopped.signal)
            raise


def _train(config: TrainConfig) -> Path:
    directory, options = config.directory, asdict(config)
    last = last_checkpoint(directory, options, asdict(TrainConfig()), resume=config.resume)
    if last is not None and is_finished(directory):
        say(f"{directory}: this run is finished; there is nothing to do")
        return directory
    position = Position() if last is None else read_position(last)
    pl.seed_everything(config.seed, verbose=False)
    kept = directory / SPLITS
    splits = read_splits(kept, data_manifest(config.data)) if last else open_splits(config.data)
    model_config = _with_classes(config.model, len(splits.train.names))
    # a resumed run takes its weights from its checkpoint
    model, report = build_with_report(replace(model_config, weights=None) if last else model_config)
    freeze_stages(model, config.optim.freeze)
    rate, about_rate = effective_lr(config.optim, config.batch_size)
    optim = replace(config.optim, lr=rate, lr_batch=None)
    fresh = report is None or not any(".context." in name for name in report.loaded)
    gpu = config.accelerator != "cpu" and torch.cuda.is_available()
    prepare_network(
        model,
        config.norm,
        weights=config.model.weights,
        gpu=gpu,
        activation_checkpointing=config.activation_checkpointing,
        compile=config.compile,
    )
    decoding_of(config.data).check_decoder(splits.train.path(0))
    if last is not None:
        check_same_videos(last, splits, config.data)
        say(f"{directory}: goes on from {last.name} ({position.said(config.epochs)})")
        if this_world().first:
            set_aside(last.parent, last)
    else:
        begin_run(directory, options)
        splits = write_splits(splits, kept)  # memory-mapped: loader processes share it

    log = TroubleLog(directory / SKIPPED)
    log.read()  # what was found before a resume
    loaders = build_loaders(
        splits,
        config.data,
        config.clip,
        seed=config.seed,
        batch_size=config.batch_size,
        micro_batch=config.test.micro_batch,
        pin_memory=gpu,
    )
    shield_workers(loaders)
    contents = CheckpointContents(
        model=model_config,
        clip=config.clip,
        normalisation=config.normalisation,
        names=list(splits.train.names),
        config=options,
        fingerprint=fingerprints(splits, config.data, last),
    )
    task = RecognitionTask(
        model,
        num_classes=len(splits.train.names),
        normalisation=config.normalisation,
        optim=optim,
        fresh_context=fresh,
        label_smoothing=config.label_smoothing,
        multi_label=splits.train.multi_label,
        augment=config.augment,
        seed=config.seed,
        ema=config.ema,
    )
    # by the averaged weights where there are any: they are what such a run is for
    best = "val/" if config.ema is None else "val_ema/"
    best += "mAP" if splits.train.multi_label else "top1"
    rows, writer = RunLog(directory / LOGS), CheckpointFiles()
    checkpoints = Checkpoints(
        directory / CHECKPOINTS,
        config.checkpoint,
        monitor=best,
        contents=contents,
        writer=writer,
        path_of=splits.train.path,
        faults=directory / NOT_FINITE,
    )
    trainer = pl.Trainer(
        accelerator=config.accelerator,
        devices=1,
        precision=_precision(config.precision, gpu=gpu),  # type: ignore[arg-type]
        max_epochs=epochs_of(config, len(loaders[0])),  # type: ignore[arg-type]
        max_steps=config.steps or -1,
        limit_train_batches=config.steps_per_epoch and config.steps_per_epoch * config.accumulate,
        gradient_clip_val=config.optim.clip_grad,
        logger=[
            rows,
            TensorBoardLogger(
                directory / LOGS, "tensorboard", "", purge_step=position.first_unlogged_step
            ),
        ],
        accumulate_grad_batches=config.accumulate,
        plugins=[writer],
        callbacks=[
            checkpoints,
            *_precise_norms(config, loaders[0]),
            DescribeCheckpoint(contents),
            Generators(),
            EpochFigures(),
            KeepLog(rows),
            log,
            *([LastStep(config.steps)] if config.steps else []),
            TrainingBar(),
            LearningRateMonitor("epoch"),
        ],
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
    )
    say(_announcement(config, splits, model))
    say(about_rate)
    if last is None:
        pretrained = config.model.weights is not None
        for line in describe_optim(model, optim, fresh=fresh, pretrained=pretrained):
            say(line)
    # oneDNN's bf16 gradients of Conv3d weights read memory that nobody wrote (seen in torch 2.15:
    # NaN now and then, in small clips), so bf16 on the CPU does without oneDNN: slow, but right
    doubtful = not gpu and config.precision == "bf16"
    try:
        with torch.backends.mkldnn.flags(enabled=False) if doubtful else nullcontext():
            trainer.fit(task, *loaders, ckpt_path=last, weights_only=True)
    except RuntimeError as error:
        explained = explain(error, config.data.workers)
        if explained is None:
            raise
        raise explained from error
    except SystemExit as stopped:
        if trainer.interrupted and not isinstance(
            stopped, Stopped
        ):  # Lightning's way of ending after Ctrl-C
            raise KeyboardInterrupt from None
        raise
    finish_run(directory, epochs=config.epochs, steps=trainer.global_step)
    return directory


def _precise_norms(config: TrainConfig, loader: Iterable[Batch]) -> list[pl.Callback]:
    clips = getattr(loader, "dataset", None)
    if not config.norm.precise:
        return []
    assert isinstance(clips, TrainingClips)
    videos = videos_of(config.batch_size, config.clip.repeats)
    steps, workers = config.norm.precise, config.data.workers
    return [PreciseNorms(clips, steps=steps, videos=videos, workers=workers)]


def _with_classes(config: ModelConfig, num_classes: int) -> ModelConfig:
    if config.num_classes not in (None, num_classes):
        raise ValueError(
            f"model.num_classes ({config.num_classes}) differs from the data's {num_classes}"
        )
    return replace(config, num_classes=num_classes)


def _precision(name: str, *, gpu: bool) -> str:
    """Lightning's name; `auto` is bf16 on a GPU that multiplies it, else fp32."""
    if name == "auto":
        bf16 = gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        name = "bf16" if bf16 else "fp32"
    return LIGHTNING[name]


def _announcement(config: TrainConfig, splits: Splits, model: torch.nn.Module) -> str:
    context = config.model.context
    blocks = len(context_blocks(model))
    kinds = [context.kind, *(more.kind for more in config.model.more_context)]
    kind = f"{blocks} context blocks ({', '.join(kinds)})" if blocks else "no context blocks"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"{config.name}: {config.model.backbone} R{config.model.depth} "
        f"(width {config.model.width:g}), {kind}, {parameters:,} parameters; "
        f"{len(splits.train)} training and {len(splits.val)} validation videos, "
        f"{len(splits.train.names)} classes"
    )
