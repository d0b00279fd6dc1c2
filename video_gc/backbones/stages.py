"""Residual blocks by name, found by structure, and the places in them.

List positions are misleading: in pytorchvideo's I3D `blocks[2]` is a max-pool, not res3.
"""

from dataclasses import dataclass
from itertools import takewhile

from pytorchvideo.models.head import ResNetBasicHead
from pytorchvideo.models.net import MultiPathWayWithFuse
from pytorchvideo.models.resnet import ResBlock, ResStage
from pytorchvideo.models.slowfast import FuseFastToSlow
from pytorchvideo.models.stem import ResNetBasicStem
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from video_gc.backbones.heads import ClipMean

STAGES = ("res2", "res3", "res4", "res5")
BLOCKS_PER_STAGE = {
    11: (1, 1, 1, 0),
    14: (1, 1, 1, 1),
    26: (2, 2, 2, 2),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
"""Depth → residual blocks in each stage."""
FEATURES = "features"
"""The last map of an image network on clips."""


@dataclass(frozen=True)
class Place:
    """A place for a context block in a residual block."""

    module: nn.Module
    channels: int
    before: bool = False
    """it sees the module's input, not its output"""


def residual_blocks(backbone: nn.Module) -> dict[str, nn.Module]:
    """{"res2.0": block, …} in order; "slow.res2.0" and "fast.res2.0" with two pathways.

    Stages are res2 … res5; blocks in a stage count from 0. For pytorchvideo's residual networks and
    torchvision's image ResNets; empty for other networks.
    """
    two_pathways = [
        tuple(module.multipathway_blocks)
        for module in backbone.modules()
        if isinstance(module, MultiPathWayWithFuse)
        and all(isinstance(block, ResStage) for block in module.multipathway_blocks)
    ]
    image = next((m for m in backbone.modules() if isinstance(m, ResNet)), None)
    if two_pathways:
        slow, fast = zip(*two_pathways, strict=True)
        pathways = {"slow.": [s.res_blocks for s in slow], "fast.": [s.res_blocks for s in fast]}
    elif image is not None:
        pathways = {"": [image.layer1, image.layer2, image.layer3, image.layer4]}
    else:
        pathways = {"": [m.res_blocks for m in backbone.modules() if isinstance(m, ResStage)]}
    return {
        f"{pathway}res{number}.{index}": block
        for pathway, stages in pathways.items()
        for number, stage in enumerate(stages, start=2)
        for index, block in enumerate(stage)
    }


def sites(backbone: nn.Module) -> dict[str, nn.Module]:
    """The modules that can have context blocks: `residual_blocks`, and in an image network on clips
    also `features`, the mean over the last map.
    """
    mean = next((module for module in backbone.modules() if isinstance(module, ClipMean)), None)
    return residual_blocks(backbone) | ({FEATURES: mean} if mean is not None else {})


def named_parts(backbone: nn.Module) -> dict[str, nn.Module]:
    """The residual blocks, stems (`stem`; `slow.stem` and `fast.stem`), lateral connections
    (`fuse1` … `fuse4`, by the stage before each, the stem being 1) and the classifier (`head`).

    For C2D, I3D, Slow-only and SlowFast; other networks lack some of them. torchvision's ResNets
    have two modules in the stem (`stem.0`, `stem.1`). Without residual blocks the parts of an image
    network on clips are `features.0`, …
    """
    parts = residual_blocks(backbone)
    image = next((m for m in backbone.modules() if isinstance(m, ResNet)), None)
    if image is not None:
        parts |= {"stem.0": image.conv1, "stem.1": image.bn1}
    elif mean := sites(backbone).get(FEATURES):
        before = takewhile(lambda child: mean not in child.modules(), backbone.children())
        parts |= {f"{FEATURES}.{number}": child for number, child in enumerate(before)}
    stems = [m for m in backbone.modules() if isinstance(m, ResNetBasicStem)]
    pathways = ("slow.", "fast.") if len(stems) == 2 else ("",)
    parts |= {f"{pathway}stem": stem for pathway, stem in zip(pathways, stems, strict=False)}
    laterals = [m for m in backbone.modules() if isinstance(m, FuseFastToSlow)]
    parts |= {f"fuse{number}": lateral for number, lateral in enumerate(laterals, start=1)}
    linear = [module for module in backbone.modules() if isinstance(module, nn.Linear)]
    return parts | ({"head": linear[-1]} if linear else {})


def whole_stages(backbone: nn.Module) -> dict[str, nn.Module]:
    """The network in disjoint parts, in order: stem, res2 … res5, head.

    With two pathways slow.stem, fast.stem, fuse1, slow.res2 …; the names of residual blocks start
    with their stage. Poolings between stages are in no part, and of an image network without
    residual blocks only `features.0`, … and its last linear layer.
    """
    named = named_parts(backbone)
    parts = {n: m for n, m in named.items() if n.startswith(FEATURES) or "stem" in n or "fuse" in n}
    holder = {
        id(block): stage
        for stage in backbone.modules()
        if isinstance(stage, ResStage | nn.Sequential)
        for block in (stage.res_blocks if isinstance(stage, ResStage) else stage)
    }
    for name, block in residual_blocks(backbone).items():
        if name.endswith(".0"):
            parts[name.removesuffix(".0")] = holder[id(block)]
    head = next((m for m in backbone.modules() if isinstance(m, ResNetBasicHead)), None)
    if head is not None:
        parts["head"] = head
    elif FEATURES in sites(backbone):
        parts["head"] = named["head"]
    order = {id(module): number for number, module in enumerate(backbone.modules())}
    return dict(sorted(parts.items(), key=lambda part: order[id(part[1])]))


def depth_of(names: list[str]) -> int | None:
    """A key of `BLOCKS_PER_STAGE`, by the blocks per (slow) stage; None for another depth."""
    stages = [name.removeprefix("slow.").split(".")[0] for name in names if name[:4] != "fast"]
    counts = tuple(stages.count(stage) for stage in STAGES)
    return next((depth for depth, blocks in BLOCKS_PER_STAGE.items() if blocks == counts), None)


def places(block: nn.Module) -> dict[str, Place]:
    """The places of a residual block, by name.

    after_add: after the sum and ReLU; after_1x1: after the last 1×1×1 convolution and its norm,
    before the sum; after_3x3: after the middle convolution, its norm and its activation. A block
    of two 3×3 convolutions has only after_add, and so has `features`.
    """
    if isinstance(block, ClipMean):
        return {"after_add": Place(block, block.channels, before=True)}
    if isinstance(block, ResBlock):
        branch = block.branch2
        outer, inner = branch.conv_c.out_channels, branch.conv_c.in_channels
        return {
            "after_add": Place(block, outer),
            "after_1x1": Place(branch, outer),
            "after_3x3": Place(branch.act_b, inner),
        }
    if isinstance(block, Bottleneck):  # its one ReLU is called three times
        outer, inner = block.conv3.out_channels, block.conv3.in_channels
        return {
            "after_add": Place(block, outer),
            "after_1x1": Place(block.bn3, outer),
            "after_3x3": Place(block.conv3, inner, before=True),
        }
    assert isinstance(block, BasicBlock)
    return {"after_add": Place(block, block.conv2.out_channels)}


def residual_branch(block: nn.Module) -> nn.Module:
    """The module whose output a residual block adds to its shortcut."""
    return block.branch2 if isinstance(block, ResBlock) else last_norm(block)


def last_norm(block: nn.Module) -> nn.Module:
    """The norm at the end of a residual block's branch, before the sum."""
    if isinstance(block, ResBlock):
        return block.branch2.norm_c
    if isinstance(block, Bottleneck):
        return block.bn3
    assert isinstance(block, BasicBlock)
    return block.bn2
