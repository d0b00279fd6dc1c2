"""Feature maps as matrices, without copying them, in both memory layouts.

(N, C, *positions) is seen as (N, C, P); products with a weight need a row for each position.
Both are views that differ only in strides, and a matrix product accepts either.
"""

from collections.abc import Sequence
from typing import TypeGuard

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


def project(x: Tensor, *layers: nn.Linear) -> Tensor:
    """`layers` side by side on every row, (N, P, C) → (N, P, D), for any strides of x.

    D: the sum of the layers' widths. One product for several layers reads x once.
    """
    if len(layers) == 1:
        return _product(x, layers[0].weight, layers[0].bias)
    weight = torch.cat([layer.weight for layer in layers])
    return _product(x, weight, torch.cat([layer.bias for layer in layers]))


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, P, C), (D, C), (D,) → (N, P, D) with contiguous rows."""
    if x.is_contiguous():
        product = F.linear(x, weight)
    else:  # a batch of products: F.linear would copy x
        product = torch.bmm(x, _cast(weight, x).t().expand(x.shape[0], -1, -1))
    return product if bias is None else product.add_(bias)


def _product_back(mean: Tensor, weight: Tensor, bias: Tensor, like: Tensor) -> Tensor:
    """`_product`, in the memory layout of `like`: (N, P, d) → (N, C, P)."""
    if not like.is_contiguous():
        return _product(mean, weight, bias).transpose(1, 2)
    weight = _cast(weight, mean).expand(mean.shape[0], -1, -1)  # (N, C, d)
    return torch.bmm(weight, mean.transpose(1, 2)).add_(bias.unsqueeze(1))


def _cast(weight: Tensor, x: Tensor) -> Tensor:
    """The weight in autocast's dtype: cast once here, not for each of N repetitions."""
    return weight.to(torch.get_autocast_dtype(x.device.type)) if _autocasts(x) else weight


def _autocasts(x: Tensor) -> bool:
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)


def add_context(x: Tensor, mean: Tensor, out: nn.Linear, norm: nn.Module) -> Tensor:
    """x + BN(W_z · mean), the fusion of a non-local block: (N, C, *positions), (N, P, d) → x's.

    norm: a 2-D batch norm sees (N, C, 1, P), which is fast in both layouts. One with running
    statistics is made a part of W_z.
    """
    if not _is_affine(norm, x):
        z = norm(_product_back(mean, out.weight, out.bias, like=x).unsqueeze(2))
        return x + z.reshape(x.shape).to(x.dtype)
    weight, bias = _with_norm(out, norm)
    z = _product_back(mean, weight, bias, like=x).reshape(x.shape)
    # new memory costs more than adding; but gradients would copy a view that changed in place
    return x + z if torch.is_grad_enabled() else z.add_(x)


def _is_affine(norm: nn.Module, x: Tensor) -> TypeGuard[nn.BatchNorm2d]:
    """Whether the norm is a fixed scale and shift; not in half precision, which would round twice,
    nor if somebody watches it.
    """
    fixed = isinstance(norm, nn.BatchNorm2d) and not norm.training and norm.affine
    watched = norm._forward_hooks or norm._forward_pre_hooks
    single = x.dtype.itemsize >= 4 and not _autocasts(x)
    return fixed and single and not watched and norm.running_var is not None


def _with_norm(out: nn.Linear, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight (C, d) and bias (C,) of `out` and then `norm`; torch's fusion has no gradients."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return out.weight * scale.unsqueeze(1), (out.bias - norm.running_mean) * scale + norm.bias


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
