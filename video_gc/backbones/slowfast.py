"""SlowFast ResNets, as pytorchvideo publishes them (Feichtenhofer et al., ICCV 2019)."""

from functools import partial
from typing import Any

import torch
from pytorchvideo.models.slowfast import FastToSlowFusionBuilder, create_slowfast
from torch import Tensor, nn

CHANNEL_RATIO = 8  # 1/β: slow channels per fast channel


def slowfast(
    *,
    num_classes: int,
    depth: int,
    stem_channels: int,
    dropout: float,
    frame_ratio: int = 4,
    fusion_kernel: int | None = None,
    linear_fusion: bool = False,
    **arguments: Any,
) -> nn.Module:
    """SlowFast 8×8: one clip in, split into both pathways inside.

    frame_ratio: α, fast frames per slow frame.
    fusion_kernel: temporal kernel of the lateral connections; by default 7 at depth 50, else 5.
    linear_fusion: lateral connections without norm and ReLU.

    Raises ValueError where the fast pathway would have no channel.
    """
    if stem_channels < CHANNEL_RATIO:
        raise ValueError(
            f"width ({stem_channels / 64}) leaves the fast pathway without a channel; "
            f"slowfast needs at least {CHANNEL_RATIO / 64}"
        )
    fusion = FastToSlowFusionBuilder(
        slowfast_channel_reduction_ratio=CHANNEL_RATIO,
        conv_fusion_channel_ratio=2,
        conv_kernel_size=(fusion_kernel or (7 if depth == 50 else 5), 1, 1),
        conv_stride=(frame_ratio, 1, 1),
        norm=None if linear_fusion else nn.BatchNorm3d,
        activation=None if linear_fusion else nn.ReLU,
    )
    model = create_slowfast(
        model_depth=depth,
        model_num_class=num_classes,
        dropout_rate=dropout,
        stem_dim_outs=(stem_channels, stem_channels // CHANNEL_RATIO),
        fusion_builder=fusion.create_module,
        **arguments,
    )
    model.register_forward_pre_hook(partial(split_pathways, frame_ratio=frame_ratio))
    return model


slowfast_4x16 = partial(slowfast, frame_ratio=8, fusion_kernel=5)
"""SlowFast 4×16: eight fast frames per slow frame."""
slowfast_linear = partial(slowfast, linear_fusion=True, fusion_kernel=7)
"""SlowFast 8×8 as MMAction2 trains it."""
slowfast_4x16_linear = partial(slowfast_4x16, linear_fusion=True)
"""SlowFast 4×16 as MMAction2 trains it."""


def slowfast_16x8(*, depth: int, **arguments: Any) -> nn.Module:
    """SlowFast 16×8 R101-50-50: temporal kernels in the first 6 of res4's 23 blocks only.

    Raises ValueError at another depth, or where the fast pathway would have no channel.
    """
    if depth != 101:
        raise ValueError(f"depth ({depth}) must be 101 for slowfast_16x8")
    res4 = ((3, 1, 1),) * 6 + ((1, 1, 1),) * 17
    return slowfast(
        depth=depth,
        stage_conv_a_kernel_sizes=(
            ((1, 1, 1), (1, 1, 1), res4, (3, 1, 1)),
            ((3, 1, 1), (3, 1, 1), res4, (3, 1, 1)),
        ),
        head_pool_kernel_sizes=((16, 7, 7), (64, 7, 7)),
        **arguments,
    )


def split_pathways(
    _module: nn.Module, inputs: tuple[Tensor], frame_ratio: int = 4
) -> tuple[list[Tensor]]:
    """(N, C, T, H, W) → [slow (N, C, T/α, H, W), fast (the clip itself)].

    The slow frames are spread from the first to the last one, as in the published training.

    Raises ValueError where T is no multiple of α.
    """
    (clip,) = inputs
    frames = clip.shape[2]
    if frames % frame_ratio:
        raise ValueError(f"slowfast needs a multiple of {frame_ratio} frames, not {frames}")
    slow_frames = torch.linspace(0, frames - 1, frames // frame_ratio, device=clip.device).long()
    return ([clip.index_select(2, slow_frames), clip],)
