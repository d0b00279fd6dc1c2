"""Residual blocks by name, found by structure.

List positions mislead: in pytorchvideo's I3D `blocks[2]` is a max-pool, not res3.
"""

from pytorchvideo.models.net import MultiPathWayWithFuse
from pytorchvideo.models.resnet import ResBlock, ResStage
from torch import nn


def residual_blocks(backbone: nn.Module) -> dict[str, ResBlock]:
    """{"res2.0": block, …} in order; "slow.res2.0" and "fast.res2.0" with two pathways.

    Stages are res2 … res5; blocks in a stage count from 0.
    """
    two_pathways = [
        tuple(module.multipathway_blocks)
        for module in backbone.modules()
        if isinstance(module, MultiPathWayWithFuse)
        and all(isinstance(block, ResStage) for block in module.multipathway_blocks)
    ]
    if two_pathways:
        slow, fast = zip(*two_pathways, strict=True)
        pathways = {"slow.": slow, "fast.": fast}
    else:
        pathways = {"": tuple(m for m in backbone.modules() if isinstance(m, ResStage))}
    return {
        f"{pathway}res{number}.{index}": block
        for pathway, stages in pathways.items()
        for number, stage in enumerate(stages, start=2)
        for index, block in enumerate(stage.res_blocks)
    }


def out_channels(block: ResBlock) -> int:
    """Channels after the block."""
    return block.branch2.conv_c.out_channels


def inner_channels(block: ResBlock) -> int:
    """Channels of the bottleneck's middle convolution."""
    return block.branch2.conv_b.out_channels
