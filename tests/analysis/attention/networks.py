"""A network that is one context block: what goes in is what the block sees, where it is ≥ 0."""

import torch
from pytorchvideo.models.resnet import ResBlock, ResStage, create_bottleneck_block
from torch import nn

from video_gc.models.context import insert_context


def alone(block: nn.Module) -> nn.Module:
    """`block` after a residual block whose branch is zero; its name is res2.0."""
    ones = (1, 1, 1)
    branch = create_bottleneck_block(
        dim_in=block.channels,
        dim_inner=1,
        dim_out=block.channels,
        conv_a_kernel_size=ones,
        conv_a_stride=ones,
        conv_a_padding=(0, 0, 0),
        conv_b_kernel_size=ones,
        conv_b_stride=ones,
        conv_b_padding=(0, 0, 0),
    )
    nn.init.zeros_(branch.norm_c.weight)
    stage = ResStage(
        nn.ModuleList([ResBlock(branch2=branch, branch_fusion=torch.add, activation=nn.ReLU())])
    )
    insert_context(stage, after="res2.0", make_block=lambda _: block)
    return stage.double().eval()


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random, ≥ 0, float64."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).double()
