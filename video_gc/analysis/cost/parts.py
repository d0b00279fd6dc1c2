"""The named parts of a network, and the counts of each in a line."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from video_gc.backbones.stages import residual_blocks, whole_stages
from video_gc.models.context import context_blocks
from video_gc.models.counts import count_modules, inside

STAGE, BLOCK, CONTEXT = "stage", "block", "context"
"""Kinds of parts."""
NETWORK, WITHOUT, CONTEXTS, REST = "network", "without", "contexts", "rest"
"""Kinds of further lines, one of each: the network, the network without context blocks, the sum of
the blocks, and the rest."""


@dataclass(frozen=True)
class NetworkPart:
    """A module with a common name."""

    name: str
    """stem, res3, res3.1, slow.res3.1, fuse2, head; for a context block that of its residual block,
    followed by its place unless that is after_add"""
    kind: str
    """stage (also stem, head, lateral), block (residual), or context"""
    module: nn.Module
    path: str
    """its name in the network"""

    @property
    def key(self) -> str:
        """The key of its line."""
        return f"{self.kind} {self.name}"


def network_parts(model: nn.Module) -> list[NetworkPart]:
    """In the network's order, each stage before its blocks, context blocks at the end.

    Stages do not overlap; a residual block is part of its stage, a context block of its residual
    block.
    """
    paths = {id(module): path for path, module in model.named_modules()}
    blocks = residual_blocks(model)
    parts = []
    for name, module in whole_stages(model).items():
        parts.append(NetworkPart(name, STAGE, module, paths[id(module)]))
        parts += [
            NetworkPart(inner, BLOCK, block, paths[id(block)])
            for inner, block in blocks.items()
            if inner.rpartition(".")[0] == name
        ]
    for name, context in context_blocks(model).items():
        parts.append(NetworkPart(name, CONTEXT, context, paths[id(context)]))
    return parts


@dataclass(frozen=True)
class Line:
    """One line; None: not measured, or it has none."""

    name: str
    kind: str
    """stage (also stem, head, lateral), block, context, rest, network, without or contexts"""
    parameters: int
    flops: int
    """multiply-adds of one clip"""
    activations: int
    """elements of the outputs of convolutions and matrix products, of one clip"""
    test_seconds: float | None = None
    """of a batch, forward"""
    train_seconds: float | None = None
    """of a training step; for a part, its forward and backward"""
    kept_mib: float | None = None
    """feature maps of a batch kept for backward"""
    test_peak_mib: float | None = None
    train_peak_mib: float | None = None

    @property
    def counted(self) -> tuple[int, int, int]:
        """Parameters, multiply-adds and activations."""
        return self.parameters, self.flops, self.activations

    @property
    def key(self) -> str:
        """Among all lines."""
        single = self.kind in (NETWORK, WITHOUT, CONTEXTS, REST)
        return self.kind if single else f"{self.kind} {self.name}"


def counted_lines(
    network: nn.Module, parts: Sequence[NetworkPart], clip: tuple[int, int, int]
) -> list[Line]:
    """A line for each part, then the context blocks' sum, the rest and the network.

    clip: (T, H, W). The stages and the rest add up to the network exactly.
    """
    counts = count_modules(network, torch.empty(1, 3, *clip, device="meta"))

    def line(name: str, kind: str, module: nn.Module, path: str) -> Line:
        parameters = sum(parameter.numel() for parameter in module.parameters())
        return Line(
            name, kind, parameters, inside(counts.flops, path), inside(counts.activations, path)
        )

    def sums(kind: str) -> tuple[int, int, int]:
        own = [one.counted for one in lines if one.kind == kind]
        parameters, flops, activations = map(sum, zip((0, 0, 0), *own, strict=True))
        return parameters, flops, activations

    lines = [line(part.name, part.kind, part.module, part.path) for part in parts]
    whole = line("network", NETWORK, network, "")
    if any(one.kind == CONTEXT for one in lines):
        lines.append(Line("context blocks", CONTEXTS, *sums(CONTEXT)))
    rest = (total - stages for total, stages in zip(whole.counted, sums(STAGE), strict=True))
    return [*lines, Line("rest", REST, *rest), whole]
