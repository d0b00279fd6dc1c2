"""A backbone, its weights and its context blocks, from one config."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from video_gc.backbones import (
    BACKBONES,
    HEAD_POOLS,
    OWN_OPTIONS,
    build_backbone,
    check_width,
    depths_of,
)
from video_gc.backbones.image import image_network_of
from video_gc.backbones.published import PUBLISHED
from video_gc.models.context import ContextConfig, place_blocks
from video_gc.models.stochastic_depth import drop_branches
from video_gc.models.weights import INFLATIONS, KINDS, WeightReport, load_weights
from video_gc.models.weights.context_checks import named_options


@dataclass(kw_only=True)
class ModelConfig:
    """A network: backbone, head, initial weights and context blocks."""

    backbone: str = "i3d"
    """c2d, c2d_nopool, i3d, i3d_3x3x3, slow, slowfast, slowfast_4x16, slowfast_16x8, x3d, x3d_s,
    x3d_l, csn, r2plus1d, slowfast_r101_50_101, slowfast_fuse5; MMAction2's are c2d_unpadded,
    i3d_32x2, i3d_heavy, slowfast_linear, slowfast_4x16_linear, slowfast_4x16_linear_r101_r50; bag
    sees small neighbourhoods alone, but for its context blocks; image is an image network"""
    depth: int = 50
    """50 or 101; bag also comes with 11 (without res5), 14 or 26"""
    width: float = 1.0
    """factor on every channel count; 0.125 is fast on a CPU"""
    num_classes: int | None = None
    """classes; default: those of the data set"""
    dropout: float = 0.5
    """dropout probability before the classifier"""
    stochastic_depth: float = 0.0
    """stochastic depth: probability of dropping the last residual branch, linear over depth"""
    head_pool: str | None = None
    """adaptive (the mean over the whole map) or published (the publisher's average for test crops
    larger than training crops); default: published with the weights of a zoo such as slow_r50,
    else adaptive"""
    slow_frames: str | None = None
    """slowfast: frames of the slow pathway, spread from the first to the last (PySlowFast) or
    strided (MMAction2); default: the choice of the backbone's publisher"""
    kernels_until: str | None = None
    """of bag, the last part that sees more than one position: stem (the default), res2 … res5"""
    image_network: str | None = None
    """of image, the network of torchvision.models that sees each frame: resnet50 (the default),
    efficientnet_b0, …"""
    weights: str | None = None
    """imagenet, a name of the PyTorchVideo zoo such as slow_r50, one of torchvision's such as
    ResNet50_Weights.IMAGENET1K_V2, a URL, or a file of ours, of PyTorchVideo, PySlowFast, MMAction2
    or torchvision"""
    inflation: str = "repeat"
    """inflation of image weights in time: repeat (and divide) or centre"""
    weights_kind: str | None = None
    """for a file with both: raw (as trained) or ema (averaged); default: ema"""
    context: ContextConfig = field(default_factory=ContextConfig)
    """the context blocks"""
    more_context: list[ContextConfig] = field(default_factory=list)
    """further kinds of context block for the same network"""

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
        for option, of in OWN_OPTIONS.items():
            of(self.backbone, getattr(self, option))
        if self.depth not in (depths := depths_of(self.backbone)):
            raise ValueError(f"model.depth ({self.depth}) must be one of {depths}")
        for name in ("dropout", "stochastic_depth"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"model.{name} ({getattr(self, name)}) must be in [0, 1)")

    @property
    def title(self) -> str:
        """The network in words: i3d R50 (width 0.125), or image resnet18."""
        if self.backbone == "image":
            return f"image {image_network_of('image', self.image_network)}"
        width = f" (width {self.width:g})" if self.width != 1 else ""
        return f"{self.backbone} R{self.depth}{width}"


def build_model(config: ModelConfig) -> nn.Module:
    """The network of `config`, on the CPU: (N, 3, T, H, W) → logits (N, num_classes).

    Raises ValueError for a missing `num_classes` or an unknown choice.
    """
    return build_with_report(config)[0]


def settled(config: ModelConfig) -> ModelConfig:
    """The config with the defaults of `head_pool` and the options of one backbone filled in.

    So a checkpoint describes its network even if a later version has other defaults.
    """
    published = config.weights is not None and config.weights in PUBLISHED
    own: dict[str, Any] = {
        option: of(config.backbone, getattr(config, option)) for option, of in OWN_OPTIONS.items()
    }
    return replace(
        config,
        head_pool=config.head_pool or ("published" if published else "adaptive"),
        **own,
    )


def sketch(config: ModelConfig) -> nn.Module:
    """As `build_model` without weights, with meta tensors: enough for counting, fast and without
    memory."""
    with torch.device("meta"):
        return build_model(replace(config, weights=None))


def build_with_report(config: ModelConfig) -> tuple[nn.Module, WeightReport | None]:
    """As `build_model`, with the report on the weights (None without `config.weights`)."""
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
        **{option: getattr(config, option) for option in OWN_OPTIONS},
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
