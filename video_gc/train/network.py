"""The network of a training run, prepared as its recipe says."""

import os
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, replace

from torch import nn

from video_gc.data.sampling import ClipConfig
from video_gc.data.splits import Splits
from video_gc.models.activation_checkpointing import Context, checkpoint_activations
from video_gc.models.build import ModelConfig, build_with_report, settled
from video_gc.models.context import context_blocks
from video_gc.models.describe import check_clip
from video_gc.train.options import TrainConfig
from video_gc.train.recipe.bf16_on_cpu import SoundBf16
from video_gc.train.recipe.groups import freeze_stages
from video_gc.train.recipe.norms import NormConfig, prepare_norms
from video_gc.train.recipe.optim import OptimConfig, describe_optim, effective_lr
from video_gc.train.recipe.precision import training_precision


@dataclass(frozen=True)
class TrainedNetwork:
    """The network to train, and its settings."""

    model: nn.Module
    config: ModelConfig
    """with the number of classes filled in"""
    precision: str
    """fp32 or bf16"""
    optim: OptimConfig
    """with the learning rate for this batch size"""
    fresh_context: bool
    """whether the context blocks start from scratch (a resumed optimiser restores this)"""
    about: list[str]
    """lines to print"""


def build_network(
    config: TrainConfig, splits: Splits, *, resumed: bool, gpu: bool, bf16: bool
) -> TrainedNetwork:
    """Build the network, freeze and convert it; a resumed run loads its weights later.

    bf16: whether all devices of the run multiply it.
    Raises ValueError for options that do not fit the network or the data.
    """
    classes = len(splits.train.names)
    if config.model.num_classes not in (None, classes):
        raise ValueError(
            f"model.num_classes ({config.model.num_classes}) differs from the data's {classes}"
        )
    described = settled(replace(config.model, num_classes=classes))
    model, report = build_with_report(replace(described, weights=None) if resumed else described)
    _check_clip(model, config.clip)
    precision, about_precision = training_precision(config, model, gpu=gpu, multiplies=bf16)
    cpu_bf16 = not gpu and precision == "bf16"
    if cpu_bf16 and config.compile and config.activation_checkpointing:
        # the compiler drops SoundBf16 inside checkpointed blocks
        raise ValueError(
            "compile, activation_checkpointing and precision=bf16 together give wrong gradients on "
            "the CPU; leave out one of them"
        )
    freeze_stages(model, config.optim.freeze)
    rate, about_rate = effective_lr(config.optim, config.batch_size)
    optim = replace(config.optim, lr=rate, lr_batch=None)
    fresh = report is None or not any(".context." in name for name in report.loaded)
    about = [_announcement(config, splits, model), about_precision, about_rate]
    if optim.schedule == "steps" and optim.milestones_in == "epochs" and config.steps is None:
        late = [milestone for milestone in optim.milestones if milestone >= config.epochs]
        if late:
            about.append(
                f"optim.milestones {late} are after the {config.epochs} epochs of this run"
            )
    if config.compile:
        about.append("torch.compile: the first step takes minutes")
    if not resumed:
        pretrained = config.model.weights is not None
        about += describe_optim(model, optim, fresh=fresh, pretrained=pretrained)
    prepare_network(
        model,
        config.norm,
        weights=config.model.weights,
        gpu=gpu,
        activation_checkpointing=config.activation_checkpointing,
        compile=config.compile,
        recompute_in=SoundBf16 if cpu_bf16 else nullcontext,
    )
    return TrainedNetwork(model, described, precision, optim, fresh, about)


def prepare_network(
    model: nn.Module,
    norm: NormConfig,
    *,
    weights: str | None,
    gpu: bool,
    activation_checkpointing: bool = False,
    compile: bool = False,
    recompute_in: Context = nullcontext,
) -> None:
    """Norms, activation checkpointing and compiling, in place and in this order.

    weights: the initial weights of the run, also if it is resumed. The first training step compiles
    for its shapes; without gradients the network runs uncompiled.

    Raises ValueError for frozen norms in a network from random weights, or if `compile` finds no
    compiler.
    """
    prepare_norms(model, norm, weights=weights, gpu=gpu)
    if activation_checkpointing:
        checkpoint_activations(model, recompute_in=recompute_in)
    if compile:
        if not gpu and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
            raise ValueError("compile: the CPU needs a C++ compiler; install g++, or compile=false")
        model.compile(dynamic=False)


def _check_clip(model: nn.Module, clip: ClipConfig) -> None:
    """Raise ValueError, naming the option, if the network is too deep for the smaller crop."""
    option = "crop" if clip.crop <= clip.test_crop else "test_crop"
    side = getattr(clip, option)
    try:
        check_clip(model, (clip.frames, side, side))
    except ValueError as error:
        raise ValueError(
            f"clip.frames ({clip.frames}) and clip.{option} ({side}) do not fit "
            f"model.backbone: {error}; give more frames or a larger crop"
        ) from error


def _announcement(config: TrainConfig, splits: Splits, model: nn.Module) -> str:
    context = config.model.context
    blocks = len(context_blocks(model))
    kinds = [context.kind, *(more.kind for more in config.model.more_context)]
    kind = f"{blocks} context blocks ({', '.join(kinds)})" if blocks else "no context blocks"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"{config.name}: {config.model.title}, {kind}, {parameters:,} parameters; "
        f"{len(splits.train)} training and {len(splits.val)} validation videos, "
        f"{len(splits.train.names)} classes"
    )
