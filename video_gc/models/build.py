"""A backbone, its weights and its context blocks, from one config."""

from dataclasses import dataclass, field, replace

import torch
from torch import nn

from video_gc.backbones import (
    BACKBONES,
    DEPTHS,
    HEAD_POOLS,
    build_backbone,
    check_width,
    slow_frames_of,
)
from video_gc.backbones.published import PUBLISHED
from video_gc.models.context import ContextConfig, place_blocks
from video_gc.models.stochastic_depth import drop_branches
from video_gc.models.weights import INFLATIONS, KINDS, WeightReport, load_weights
from video_gc.models.weights.context_checks import named_options


@dataclass(kw_only=True)
class ModelConfig:
    """A network: backbone, head, weights to start from and context blocks."""

    backbone: str = "i3d"
    """c2d, c2d_nopool, i3d, i3d_3x3x3, slow, slowfast, slowfast_4x16, slowfast_16x8, x3d, x3d_s,
    x3d_l, csn, r2plus1d, slowfast_r101_50_101, slowfast_fuse5; MMAction2's are c2d_unpadded,
    i3d_32x2, i3d_heavy, slowfast_linear, slowfast_4x16_linear, slowfast_4x16_linear_r101_r50"""
    depth: int = 50
    """50 or 101"""
    width: float = 1.0
    """factor on every channel count; 0.125 is quick on a CPU"""
    num_classes: int | None = None
    """classes; taken from the data set where it is not given"""
    dropout: float = 0.5
    """probability, before the classifier"""
    stochastic_depth: float = 0.0
    """probability that the last residual branch is left out in training, linear over depth"""
    head_pool: str | None = None
    """adaptive (the mean over the whole map) or published (as the network's publisher averages a
    test crop that is larger than those of training); by default published with the weights of a
    zoo such as slow_r50, else adaptive"""
    slow_frames: str | None = None
    """of slowfast, frames of the slow pathway: spread from the first to the last (PySlowFast) or
    strided (MMAction2); by default as the backbone's publisher has it"""
    weights: str | None = None
    """imagenet, a name of the PyTorchVideo zoo such as slow_r50, a URL, or a file of ours, of
    PyTorchVideo, PySlowFast, MMAction2 or torchvision"""
    inflation: str = "repeat"
    """of image weights in time: repeat (and divide) or centre"""
    weights_kind: str | None = None
    """of a file with both: raw (as trained) or ema (averaged); by default the averaged ones"""
    context: ContextConfig = field(default_factory=ContextConfig)
    """the context blocks"""
    more_context: list[ContextConfig] = field(default_factory=list)
    """further kinds of context block in the same network"""

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("backbone", self.backbone, tuple(BACKBONES)),
            ("head_pool", self.head_pool or HEAD_POOLS[0], HEAD_POOLS),
            ("inflation", self.inflation, INFLATIONS),
            ("weights_kind", self.weights_kind or "ema", KINDS),
        ):
            if value not in choices:
                raise ValueError(f"model.{name} ({value!r}) must be one of {', '.join(choices)}")
        check_width(self.width)
        slow_frames_of(self.backbone, self.slow_frames)
        if self.depth not in DEPTHS:
            raise ValueError(f"model.depth ({self.depth}) must be one of {DEPTHS}")
        for name in ("dropout", "stochastic_depth"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"model.{name} ({getattr(self, name)}) must be in [0, 1)")


def build_model(config: ModelConfig) -> nn.Module:
    """The network of `config`, on the CPU: (N, 3, T, H, W) → logits (N, num_classes).

    Raises ValueError where `num_classes` is missing or a choice does not exist.
    """
    return build_with_report(config)[0]


def settled(config: ModelConfig) -> ModelConfig:
    """The same with what follows from other options written out: `head_pool` and `slow_frames`.

    So that a checkpoint says what its network computes, whatever a later version's defaults are.
    """
    published = config.weights is not None and config.weights in PUBLISHED
    return replace(
        config,
        head_pool=config.head_pool or ("published" if published else "adaptive"),
        slow_frames=slow_frames_of(config.backbone, config.slow_frames),
    )


def sketch(config: ModelConfig) -> nn.Module:
    """As `build_model` without weights, of tensors that have sizes and no numbers: enough to count
    with, at once and without memory."""
    with torch.device("meta"):
        return build_model(replace(config, weights=None))


def build_with_report(config: ModelConfig) -> tuple[nn.Module, WeightReport | None]:
    """As `build_model`, with the account of the weights (None without `config.weights`)."""
    config = settled(config)
    if config.num_classes is None:
        raise ValueError("model.num_classes is missing; give the number of classes")
    model = build_backbone(
        config.backbone,
        num_classes=config.num_classes,
        depth=config.depth,
        width=config.width,
        dropout=config.dropout,
        head_pool=config.head_pool or "adaptive",
        slow_frames=config.slow_frames,
    )
    for context in (config.context, *config.more_context):
        place_blocks(model, context)
    if config.stochastic_depth:
        drop_branches(model, config.stochastic_depth)
    if config.weights is None:
        return model, None
    return model, load_weights(
        model,
        config.weights,
        inflation=config.inflation,
        kind=config.weights_kind,
        named=named_options((config.context, *config.more_context)),
    )
