"""One trained block as a simpler one: NL → SNL, SNL → GC without norm and activation.

All in float64. What is exact and what is not stands in `models.convert.convert`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from video_gc.blocks import GlobalContext, NonLocal, build_block


def simplified(block: NonLocal, query: Tensor) -> tuple[GlobalContext, dict[str, Any]]:
    """The SNL block that looks as `query` (d,) does, and its options: W_k = s W_φᵀ q.

    W_v = W_z W_g, with the batch norm of NL in it and in its bias as it is in eval mode.
    """
    out, value = _weight(block.out), _weight(block.value)
    factor, shift = torch.ones(block.channels).double(), torch.zeros(block.channels).double()
    if isinstance(block.norm, nn.BatchNorm2d):
        norm = block.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        factor = norm.weight.detach().cpu() / (norm.running_var.cpu().double() + norm.eps).sqrt()
        shift = norm.bias.detach().cpu() - factor * norm.running_mean.cpu()
    look = query if block.pairwise == "gaussian" else query @ _weight(block.key)
    options = {"bias": True}
    new = _build("snl", block.channels, options)
    _set(new.key, block.scale * look.unsqueeze(0))
    bias = factor * (out @ _bias(block.value) + _bias(block.out)) + shift
    _set(new.transform[0], factor.unsqueeze(1) * (out @ value), bias)
    return new, options


def bottleneck(
    block: GlobalContext, reduction: int
) -> tuple[GlobalContext, dict[str, Any], int, float]:
    """The GC block whose two layers are W_v at rank C / reduction, and its options.

    Also the rank, and the share of the sum of squares of W_v's singular values that is left.

    Raises ValueError for a reduction that leaves no channel.
    """
    matrix = block.transform[0]
    biased = matrix.bias is not None
    options = {
        "reduction": reduction,
        "norm": False,
        "relu": False,
        "bias": biased,
        "fusion": block.fusion,
    }
    new = _build("gc", block.channels, options)
    left, values, right = torch.linalg.svd(_weight(matrix))
    rank = block.channels // reduction
    roots = values[:rank].sqrt()
    _set(new.key, _weight(block.key))
    inner = torch.zeros(rank) if biased else None
    _set(new.transform[0], roots.unsqueeze(1) * right[:rank], inner)
    _set(new.transform[-1], left[:, :rank] * roots, _bias(matrix) if biased else None)
    squares = values.square()
    energy = float(squares[:rank].sum() / squares.sum()) if squares.any() else 1.0
    return new, options, rank, energy


def _build(kind: str, channels: int, options: dict[str, Any]) -> GlobalContext:
    block = build_block(kind, channels, **options).double()
    assert isinstance(block, GlobalContext)
    return block


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach().cpu().double()


def _bias(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return layer.bias.detach().cpu().double()


def _set(layer: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
