"""Backbones, most from pytorchvideo's builders: (N, C, T, H, W) in, logits (N, classes) out."""

import warnings
from collections.abc import Callable

from torch import nn

with warnings.catch_warnings():  # pytorchvideo scripts a function that we do not use
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
    import pytorchvideo.models  # noqa: F401

from video_gc.backbones.bag import PARTS, bag
from video_gc.backbones.heads import pool_as_published, pool_everywhere
from video_gc.backbones.image import image, image_network_of
from video_gc.backbones.resnet import (
    c2d,
    c2d_nopool,
    c2d_unpadded,
    i3d,
    i3d_3x3x3,
    i3d_32x2,
    i3d_heavy,
    slow,
)
from video_gc.backbones.separable import csn, r2plus1d, x3d, x3d_l, x3d_s
from video_gc.backbones.slowfast import (
    SLOW_FRAMES,
    slowfast,
    slowfast_4x16,
    slowfast_4x16_linear,
    slowfast_4x16_linear_r101_r50,
    slowfast_16x8,
    slowfast_fuse5,
    slowfast_linear,
    slowfast_r101_50_101,
)
from video_gc.backbones.stages import BLOCKS_PER_STAGE

__all__ = ["BACKBONES", "OWN_OPTIONS", "build_backbone"]

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "c2d": c2d,
    "c2d_nopool": c2d_nopool,
    "c2d_unpadded": c2d_unpadded,
    "i3d": i3d,
    "i3d_32x2": i3d_32x2,
    "i3d_heavy": i3d_heavy,
    "i3d_3x3x3": i3d_3x3x3,
    "slow": slow,
    "slowfast": slowfast,
    "slowfast_4x16": slowfast_4x16,
    "slowfast_16x8": slowfast_16x8,
    "slowfast_r101_50_101": slowfast_r101_50_101,
    "slowfast_fuse5": slowfast_fuse5,
    "slowfast_linear": slowfast_linear,
    "slowfast_4x16_linear": slowfast_4x16_linear,
    "slowfast_4x16_linear_r101_r50": slowfast_4x16_linear_r101_r50,
    "x3d": x3d,
    "x3d_s": x3d_s,
    "x3d_l": x3d_l,
    "csn": csn,
    "r2plus1d": r2plus1d,
    "bag": bag,
    "image": image,
}
HEAD_POOLS = ("adaptive", "published")


def build_backbone(
    name: str,
    *,
    num_classes: int = 400,
    depth: int = 50,
    width: float = 1.0,
    dropout: float = 0.5,
    head_pool: str = "adaptive",
    **own: str | None,
) -> nn.Module:
    """A randomly initialised backbone with its head, on the CPU.

    width: factor on every channel count (1/8 is fast on a CPU); the depth and all names of residual
        blocks stay.
    head_pool: `adaptive` averages over the whole remaining T, H and W; `published` averages as the
        network's publisher does, in windows of the size of a training crop's map, or everywhere
        (MMAction2).
    own: options of one backbone: `slow_frames`, the frames of SlowFast's slow pathway (`spread` or
        `strided`, see `split_pathways`), `kernels_until` of bag, `image_network` of image. The
        default is the publisher's choice, and the first of the others.

    Raises ValueError naming the field, its value and the choices.
    """
    for field, value, choices in (
        ("backbone", name, tuple(BACKBONES)),
        ("depth", depth, depths_of(name)),
        ("head_pool", head_pool, HEAD_POOLS),
    ):
        if value not in choices:
            raise ValueError(f"{field} ({value!r}) must be one of {', '.join(map(str, choices))}")
    check_width(width)
    if unknown := own.keys() - OWN_OPTIONS.keys():
        raise TypeError(f"build_backbone has no option {', '.join(sorted(unknown))}")
    chosen = {option: choose(name, own.get(option)) for option, choose in OWN_OPTIONS.items()}
    model = BACKBONES[name](
        num_classes=num_classes,
        depth=depth,
        stem_channels=int(64 * width),
        dropout=dropout,
        **{option: value for option, value in chosen.items() if value is not None},
    )
    if head_pool == "adaptive":
        pool_everywhere(model)
    else:
        pool_as_published(model)
    for module in model.modules():  # some sizes are numpy's, which torch.compile treats as unknown
        if isinstance(module, nn.Conv3d):
            module.stride = tuple(map(int, module.stride))
    return model


def depths_of(name: str) -> tuple[int, ...]:
    """The depths that a backbone comes in."""
    return tuple(BLOCKS_PER_STAGE) if name == "bag" else (50, 101)


def kernels_until_of(name: str, chosen: str | None = None) -> str | None:
    """The last part of a bag network that sees more than one position; None for other networks.

    Raises ValueError for a choice that does not exist.
    """
    if name != "bag":
        if chosen is not None:
            raise ValueError(f"kernels_until ({chosen!r}) is an option of bag, not of {name}")
        return None
    if chosen not in (None, *PARTS):
        raise ValueError(f"kernels_until ({chosen!r}) must be one of {', '.join(PARTS)}")
    return chosen or PARTS[0]


def check_width(width: float) -> None:
    """Raise ValueError unless `width` leaves a whole number of the stem's 64 channels."""
    if 64 * width < 1 or 64 * width != int(64 * width):
        raise ValueError(f"width ({width}) must leave a whole number of the stem's 64 channels")


def slow_frames_of(name: str, chosen: str | None = None) -> str | None:
    """The frames of a backbone's slow pathway, by default its publisher's choice.

    None without a slow pathway. Raises ValueError for an unknown choice.
    """
    if not name.startswith("slowfast"):
        if chosen is not None:
            raise ValueError(f"slow_frames ({chosen!r}) has no effect on {name}, only on slowfast")
        return None
    usual = "strided" if "linear" in name else "spread"
    if chosen not in (None, *SLOW_FRAMES):
        raise ValueError(f"slow_frames ({chosen!r}) must be one of {', '.join(SLOW_FRAMES)}")
    return chosen or usual


OWN_OPTIONS: dict[str, Callable[..., str | None]] = {
    "slow_frames": slow_frames_of,
    "kernels_until": kernels_until_of,
    "image_network": image_network_of,
}
"""Option of one backbone → a function: name of the backbone, choice or None → the value, None for
other backbones."""
