"""Properties of a network that the shapes of its parameters do not show.

Weights of another library fit networks with other properties, and then give other logits.
"""

from functools import partial
from typing import Any

from pytorchvideo.models.resnet import ResBlock
from torch import nn

from video_gc.backbones.slowfast import split_pathways
from video_gc.backbones.stages import named_parts, residual_blocks

FRAME_RATIO = "frames of the clip per slow frame"
SLOW_FRAMES = "slow frames"
STEM_STRIDE = "stride in time of the stem"
STEM_PADDING = "padding of the stem's pool"
POOLING = "pooling in time after res2"
STRIDES = "strides of its stages"
TIME_STRIDES = "strides in time of its stages"
DILATIONS = "dilations of its stages"
STRIDE_AT = "convolution with the stride"


def unstored_options(model: nn.Module) -> dict[str, Any]:
    """Property in words → its value, for pytorchvideo's ResNets.

    Empty for other networks, and for bag, whose shapes and names show everything.
    """
    parts = named_parts(model)
    stem = parts.get("stem", parts.get("slow.stem"))
    blocks = {
        name.removeprefix("slow."): block
        for name, block in residual_blocks(model).items()
        if isinstance(block, ResBlock) and not name.startswith("fast.")
    }
    firsts = [block.branch2 for name, block in blocks.items() if name.endswith(".0")]
    conv, pool = getattr(stem, "conv", None), getattr(stem, "pool", None)
    if not firsts or not isinstance(conv, nn.Conv3d) or not isinstance(pool, nn.MaxPool3d):
        return {}
    if conv.padding_mode != "zeros":
        return {}
    found = {
        STEM_STRIDE: int(conv.stride[0]) * int(pool.stride[0]),  # type: ignore[index]
        STEM_PADDING: int(pool.padding[1]),  # type: ignore[index]
        POOLING: _pooling(model),
        STRIDES: [int(b.conv_a.stride[1] * b.conv_b.stride[1]) for b in firsts],
        TIME_STRIDES: [int(b.conv_a.stride[0] * b.conv_b.stride[0]) for b in firsts],
        DILATIONS: [int(b.conv_b.dilation[1]) for b in firsts],
        STRIDE_AT: "1×1" if any(int(b.conv_a.stride[1]) > 1 for b in firsts) else "3×3",
    }
    for hook in model._forward_pre_hooks.values():
        if isinstance(hook, partial) and hook.func is split_pathways:
            found[FRAME_RATIO] = hook.keywords["frame_ratio"]
            found[SLOW_FRAMES] = hook.keywords["slow_frames"]
    return found


def _pooling(model: nn.Module) -> int:
    """Factor by which the max-pool between res2 and res3 shortens the clip."""
    for pool in model.modules():
        if isinstance(pool, nn.MaxPool3d) and isinstance(pool.kernel_size, tuple | list):
            frames, height, _ = pool.kernel_size
            if height == 1:
                return int(frames)
    return 1
