"""Backbones from pytorchvideo's builders: (N, C, T, H, W) in, logits (N, classes) out."""

import warnings
from collections.abc import Callable

from torch import nn

with warnings.catch_warnings():  # pytorchvideo scripts a function that nothing here uses
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
    import pytorchvideo.models  # noqa: F401

from video_gc.backbones.resnet import c2d, c2d_nopool, i3d, i3d_3x3x3, i3d_32x2, slow
from video_gc.backbones.separable import csn, r2plus1d, x3d, x3d_l
from video_gc.backbones.slowfast import (
    slowfast,
    slowfast_4x16,
    slowfast_4x16_linear,
    slowfast_16x8,
    slowfast_linear,
)

__all__ = ["BACKBONES", "build_backbone"]

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "c2d": c2d,
    "c2d_nopool": c2d_nopool,
    "i3d": i3d,
    "i3d_32x2": i3d_32x2,
    "i3d_3x3x3": i3d_3x3x3,
    "slow": slow,
    "slowfast": slowfast,
    "slowfast_4x16": slowfast_4x16,
    "slowfast_16x8": slowfast_16x8,
    "slowfast_linear": slowfast_linear,
    "slowfast_4x16_linear": slowfast_4x16_linear,
    "x3d": x3d,
    "x3d_l": x3d_l,
    "csn": csn,
    "r2plus1d": r2plus1d,
}
DEPTHS = (50, 101)
HEAD_POOLS = ("adaptive", "published")


def build_backbone(
    name: str,
    *,
    num_classes: int = 400,
    depth: int = 50,
    width: float = 1.0,
    dropout: float = 0.5,
    head_pool: str = "adaptive",
) -> nn.Module:
    """A randomly initialised backbone with its head, on the CPU.

    width: factor on every channel count (1/8 is quick on a CPU); the depth and so every name of a
        residual block stays.
    head_pool: `adaptive` averages over whatever is left of T, H and W; `published` has
        pytorchvideo's fixed window, which needs the published clip size or more.

    Raises ValueError naming the field, its value and the choices.
    """
    for field, value, choices in (
        ("backbone", name, tuple(BACKBONES)),
        ("depth", depth, DEPTHS),
        ("head_pool", head_pool, HEAD_POOLS),
    ):
        if value not in choices:
            raise ValueError(f"{field} ({value!r}) must be one of {', '.join(map(str, choices))}")
    check_width(width)
    model = BACKBONES[name](
        num_classes=num_classes, depth=depth, stem_channels=int(64 * width), dropout=dropout
    )
    if head_pool == "adaptive":
        _pool_adaptively(model)
    for module in model.modules():  # some are numpy's, which torch.compile takes for unknown
        if isinstance(module, nn.Conv3d):
            module.stride = tuple(map(int, module.stride))
    return model


def check_width(width: float) -> None:
    """Raise ValueError unless `width` leaves a whole number of the stem's 64 channels."""
    if 64 * width < 1 or 64 * width != int(64 * width):
        raise ValueError(f"width ({width}) must leave a whole number of the stem's 64 channels")


def _pool_adaptively(model: nn.Module) -> None:
    """Put a global mean wherever a head has a fixed window."""
    windows = [name for name, module in model.named_modules() if isinstance(module, nn.AvgPool3d)]
    for name in windows:
        model.set_submodule(name, nn.AdaptiveAvgPool3d(1))
