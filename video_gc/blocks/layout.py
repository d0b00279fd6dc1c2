"""Feature maps as matrices, without copying them, in both memory layouts.

(N, C, *positions) is seen as (N, C, P); products with a weight need a row for each position.
Both are views that differ only in strides, and a matrix product accepts either.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def inner_width(channels: int, reduction: int) -> int:
    """C / r, for projections; ValueError if that is below 1, or r is not a whole number."""
    if not isinstance(reduction, int) or not 1 <= reduction <= channels:
        raise ValueError(
            f"reduction ({reduction}) must be a whole number in 1…{channels}, to leave an inner "
            f"channel of {channels}"
        )
    return channels // reduction


def rows(x: Tensor) -> Tensor:
    """(N, C, *positions) → (N, P, C), a view."""
    return x.flatten(2).transpose(1, 2)


def project(x: Tensor, layer: nn.Linear) -> Tensor:
    """`layer` on every row, (N, P, C) → (N, P, D) with contiguous rows, for any strides of x."""
    if x.is_contiguous():
        product = F.linear(x, layer.weight)
    else:  # a batch of products: F.linear would copy x
        product = torch.bmm(x, _weight(layer, x).t().expand(x.shape[0], -1, -1))
    return product if layer.bias is None else product.add_(layer.bias)


def project_back(mean: Tensor, layer: nn.Linear, like: Tensor) -> Tensor:
    """`layer` on every row, in the memory layout of `like`: (N, P, D) → (N, C, P)."""
    if not like.is_contiguous():
        return project(mean, layer).transpose(1, 2)
    weight = _weight(layer, mean).expand(mean.shape[0], -1, -1)  # (N, C, D)
    product = torch.bmm(weight, mean.transpose(1, 2))
    return product if layer.bias is None else product.add_(layer.bias.unsqueeze(1))


def _weight(layer: nn.Linear, x: Tensor) -> Tensor:
    """The weight in autocast's dtype: cast once here, not for each of N repetitions."""
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):
        return layer.weight
    return layer.weight.to(torch.get_autocast_dtype(x.device.type))


def add_context(x: Tensor, mean: Tensor, out: nn.Linear, norm: nn.Module) -> Tensor:
    """x + BN(W_z · mean), the fusion of a non-local block: (N, C, *positions), (N, P, d) → x's.

    norm: a 2-D batch norm sees (N, C, 1, P), which is fast in both layouts.
    """
    z = project_back(mean, out, like=x)  # (N, C, P)
    return x + norm(z.unsqueeze(2)).reshape(x.shape).to(x.dtype)


def reset_as_identity(block: nn.Module) -> None:
    """Gaussian (σ = 0.01) for the projections of a block, zero for the scale of its batch norms."""
    for layer in block.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
            nn.init.zeros_(layer.weight)


def max_pool(x: Tensor, kernel: Sequence[int]) -> Tensor:
    """Max-pooling with stride = kernel over 1 to 3 position axes, in either layout.

    A kernel longer than its axis is cut to the axis. Raises ValueError unless `kernel` has one
    number for each position axis.
    """
    size = x.shape[2:]
    if len(kernel) != len(size):
        raise ValueError(
            f"pool ({list(kernel)}) must have {len(size)} numbers, one for each position axis"
        )
    window = [min(k, s) for k, s in zip(kernel, size, strict=True)]
    for _ in range(3 - len(size)):
        x, window = x.unsqueeze(2), [1, *window]
    return F.max_pool3d(x, window).flatten(2, 5 - len(size))


def pooled_size(positions: Sequence[int], kernel: Sequence[int] | None) -> list[int]:
    """The position axes after `max_pool`."""
    if kernel is None:
        return list(positions)
    return [size // min(k, size) for size, k in zip(positions, kernel, strict=True)]
