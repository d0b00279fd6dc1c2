"""SlowFast ResNets (Feichtenhofer et al., ICCV 2019), as PySlowFast and MMAction2 train them.

pytorchvideo builds them. PySlowFast spreads the frames of the slow pathway from the first to the
last one; MMAction2 takes every α-th from the first. Logits depend on this, so backbones named after
MMAction2's use its frames.
"""

from functools import partial
from typing import Any

import torch
from pytorchvideo.models.net import MultiPathWayWithFuse
from pytorchvideo.models.slowfast import FastToSlowFusionBuilder, create_slowfast
from torch import Tensor, nn

from video_gc.backbones.heads import WindowMean

CHANNEL_RATIO = 8  # 1/β: slow channels per fast channel
SLOW_FRAMES = ("spread", "strided")


def slowfast(
    *,
    num_classes: int,
    depth: int,
    stem_channels: int,
    dropout: float,
    frame_ratio: int = 4,
    fusion_kernel: int | None = None,
    linear_fusion: bool = False,
    slow_frames: str = "spread",
    **arguments: Any,
) -> nn.Module:
    """SlowFast 8×8: one clip in, split into both pathways inside.

    frame_ratio: α, fast frames per slow frame.
    fusion_kernel: temporal kernel of the lateral connections; default: 7 at depth 50, else 5.
    linear_fusion: lateral connections without norm and ReLU, and MMAction2's heads, which average
        over all positions.
    slow_frames: see `split_pathways`.

    Raises ValueError if the fast pathway would have no channel.
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
        head_pool=nn.AdaptiveAvgPool3d if linear_fusion else nn.AvgPool3d,
        **arguments,
    )
    for name in [name for name, m in model.named_modules() if isinstance(m, nn.AvgPool3d)]:
        model.set_submodule(name, WindowMean((None, 7, 7)))
    model.register_forward_pre_hook(
        partial(split_pathways, frame_ratio=frame_ratio, slow_frames=slow_frames)
    )
    return model


slowfast_4x16 = partial(slowfast, frame_ratio=8, fusion_kernel=5)
"""SlowFast 4×16: eight fast frames per slow frame."""
slowfast_fuse5 = partial(slowfast, fusion_kernel=5)
"""SlowFast 8×8 with lateral kernels of 5 at any depth: PySlowFast's SLOWFAST_NLN_8x8_R50."""
slowfast_linear = partial(slowfast, linear_fusion=True, fusion_kernel=7, slow_frames="strided")
"""MMAction2's SlowFast 8×8."""
slowfast_4x16_linear = partial(slowfast_4x16, linear_fusion=True, slow_frames="strided")
"""MMAction2's SlowFast 4×16."""


def slowfast_4x16_linear_r101_r50(*, depth: int, **arguments: Any) -> nn.Module:
    """MMAction2's 4×16 with a slow pathway of depth 101 and a fast one of depth 50.

    Raises ValueError at another depth, or if the fast pathway would have no channel.
    """
    if depth != 101:
        raise ValueError(f"depth ({depth}) must be 101 for slowfast_4x16_linear_r101_r50")
    model, shallow = (slowfast_4x16_linear(depth=d, **arguments) for d in (101, 50))
    stages, theirs = (
        [module for module in network.modules() if isinstance(module, MultiPathWayWithFuse)]
        for network in (model, shallow)
    )
    for stage, other in zip(stages, theirs, strict=True):
        stage.multipathway_blocks[1] = other.multipathway_blocks[1]
    return model


def slowfast_16x8(*, depth: int, fast_blocks: int = 6, **arguments: Any) -> nn.Module:
    """SlowFast 16×8 R101-50-50: temporal kernels in the first 6 of res4's 23 blocks only.

    PySlowFast's SLOWFAST_8x8_R101_50_50 is the same network for 32 frames.

    fast_blocks: how many of res4's blocks have temporal kernels in the fast pathway.

    Raises ValueError at another depth, or if the fast pathway would have no channel.
    """
    if depth != 101:
        raise ValueError(f"depth ({depth}) must be 101 for slowfast_16x8 and slowfast_r101_50_101")
    slow_res4, fast_res4 = (
        ((3, 1, 1),) * count + ((1, 1, 1),) * (23 - count) for count in (6, fast_blocks)
    )
    return slowfast(
        depth=depth,
        stage_conv_a_kernel_sizes=(
            ((1, 1, 1), (1, 1, 1), slow_res4, (3, 1, 1)),
            ((3, 1, 1), (3, 1, 1), fast_res4, (3, 1, 1)),
        ),
        **arguments,
    )


slowfast_r101_50_101 = partial(slowfast_16x8, fast_blocks=23)
"""PySlowFast's SLOWFAST_8x8_R101_50_101: temporal kernels in all blocks of the fast res4."""


def split_pathways(
    _module: nn.Module,
    inputs: tuple[Tensor],
    frame_ratio: int = 4,
    slow_frames: str = "spread",
) -> tuple[list[Tensor]]:
    """(N, C, T, H, W) → [slow (N, C, T/α, H, W), fast (the clip itself)].

    slow_frames: `spread` from the first to the last one, rounded down (PySlowFast and
        pytorchvideo), or `strided`, every α-th from the first (MMAction2).

    Raises ValueError unless T is a multiple of α.
    """
    (clip,) = inputs
    frames = clip.shape[2]
    if frames % frame_ratio:
        raise ValueError(f"slowfast needs a multiple of {frame_ratio} frames, not {frames}")
    if slow_frames == "strided":
        return ([clip[:, :, ::frame_ratio], clip],)
    chosen = torch.linspace(0, frames - 1, frames // frame_ratio, device=clip.device).long()
    return ([clip.index_select(2, chosen), clip],)
