"""Parts of a network that people name: stages, residual blocks and context blocks."""

from dataclasses import dataclass

from torch import nn

from video_gc.backbones.stages import residual_blocks, whole_stages
from video_gc.models.context import context_blocks

STAGE, BLOCK, CONTEXT = "stage", "block", "context"


@dataclass(frozen=True)
class Part:
    """A module with a name that people use."""

    name: str
    """stem, res3, res3.1, slow.res3.1, fuse2, head; of a context block that of its residual block,
    and its place behind it unless after_add"""
    kind: str
    """stage (also stem, head, lateral), block (residual), or context"""
    module: nn.Module
    path: str
    """its name in the network"""


def network_parts(model: nn.Module) -> list[Part]:
    """In the network's order, each stage before its blocks, context blocks at the end.

    Stages do not overlap; a residual block is part of its stage, a context block of its residual
    block.
    """
    paths = {id(module): path for path, module in model.named_modules()}
    blocks = residual_blocks(model)
    parts = []
    for name, module in whole_stages(model).items():
        parts.append(Part(name, STAGE, module, paths[id(module)]))
        parts += [
            Part(inner, BLOCK, block, paths[id(block)])
            for inner, block in blocks.items()
            if inner.rpartition(".")[0] == name
        ]
    for name, context in context_blocks(model).items():
        parts.append(Part(name, CONTEXT, context, paths[id(context)]))
    return parts
