"""SlowFast ResNets, as pytorchvideo publishes them (Feichtenhofer et al., ICCV 2019)."""

from typing import Any

import torch
from pytorchvideo.models.slowfast import create_slowfast
from torch import Tensor, nn

FRAME_RATIO = 4  # α: fast frames per slow frame
CHANNEL_RATIO = 8  # 1/β: slow channels per fast channel


def slowfast(*, num_classes: int, depth: int, stem_channels: int, dropout: float) -> nn.Module:
    """SlowFast 8×8 (or 4×16): one clip in, split into both pathways inside.

    Raises ValueError where the fast pathway would have no channel.
    """
    return _slowfast(num_classes, depth, stem_channels, dropout)


def slowfast_16x8(*, num_classes: int, depth: int, stem_channels: int, dropout: float) -> nn.Module:
    """SlowFast 16×8 R101-50-50: temporal kernels in the first 6 of res4's 23 blocks only.

    Raises ValueError at another depth, or where the fast pathway would have no channel.
    """
    if depth != 101:
        raise ValueError(f"depth ({depth}) must be 101 for slowfast_16x8")
    res4 = ((3, 1, 1),) * 6 + ((1, 1, 1),) * 17
    return _slowfast(
        num_classes,
        depth,
        stem_channels,
        dropout,
        stage_conv_a_kernel_sizes=(
            ((1, 1, 1), (1, 1, 1), res4, (3, 1, 1)),
            ((3, 1, 1), (3, 1, 1), res4, (3, 1, 1)),
        ),
        head_pool_kernel_sizes=((16, 7, 7), (64, 7, 7)),
    )


def _slowfast(
    num_classes: int, depth: int, stem_channels: int, dropout: float, **arguments: Any
) -> nn.Module:
    if stem_channels < CHANNEL_RATIO:
        raise ValueError(
            f"width ({stem_channels / 64}) leaves the fast pathway without a channel; "
            f"slowfast needs at least {CHANNEL_RATIO / 64}"
        )
    model = create_slowfast(
        model_depth=depth,
        model_num_class=num_classes,
        dropout_rate=dropout,
        stem_dim_outs=(stem_channels, stem_channels // CHANNEL_RATIO),
        slowfast_fusion_conv_kernel_size=(7 if depth == 50 else 5, 1, 1),
        **arguments,
    )
    model.register_forward_pre_hook(split_pathways)
    return model


def split_pathways(_module: nn.Module, inputs: tuple[Tensor]) -> tuple[list[Tensor]]:
    """(N, C, T, H, W) → [slow (N, C, T/4, H, W), fast (the clip itself)].

    The slow frames are spread from the first to the last one, as in the published training.

    Raises ValueError where T is no multiple of 4.
    """
    (clip,) = inputs
    frames = clip.shape[2]
    if frames % FRAME_RATIO:
        raise ValueError(f"slowfast needs a multiple of {FRAME_RATIO} frames, not {frames}")
    slow_frames = torch.linspace(0, frames - 1, frames // FRAME_RATIO, device=clip.device).long()
    return ([clip.index_select(2, slow_frames), clip],)
