"""Global attention pooling: one weighted mean over all positions, shared by every query.

Cao et al., GCNet, 2019, eq. 4: Σ_j softmax_j(W_k x_j) x_j, as matrix products over views of x in
both memory layouts. docs/benchmarks.md compares its cost with torch.compile.
"""

from math import gcd
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

PARTS = 8  # of a single sample, to use all cores; a batch is divided by samples


def attention_pool(x: Tensor, key: Tensor) -> Tensor:
    """The pooled vector: (N, C, *positions), (1, C) → (N, C).

    With a key of zeros all weights are equal, and it is the mean:

    >>> x = torch.arange(8.0).reshape(1, 2, 4)
    >>> attention_pool(x, torch.zeros(1, 2))
    tensor([[1.5000, 5.5000]])
    """
    if torch.is_grad_enabled() and (x.requires_grad or key.requires_grad):
        pooled: Tensor = _Pool.apply(x, key)[0]
        return pooled
    return weighted_mean(x.flatten(2).transpose(1, 2), attention_weights(x, key))


def attention_weights(x: Tensor, key: Tensor) -> Tensor:
    """The softmax over positions of W_k x: (N, C, *positions), (1, C) → (N, P).

    The softmax runs in fp32 or wider, whatever the dtype of x.
    """
    scores = _scores(x.flatten(2), key.to(x.dtype).expand(x.shape[0], -1))
    return F.softmax(scores, dim=1, dtype=torch.promote_types(x.dtype, torch.float32))


def weighted_mean(rows: Tensor, weights: Tensor) -> Tensor:
    """Σ_j w_j x_j: (N, P, C), (N, P) → (N, C)."""
    weights = weights.to(rows.dtype).unsqueeze(1)  # (N, 1, P)
    if rows.is_contiguous():
        parts = _in_parts(rows)  # (N·g, P/g, C)
        sums = torch.bmm(weights.reshape(parts.shape[0], 1, -1), parts)  # (N·g, 1, C)
        return sums.unflatten(0, (rows.shape[0], -1)).sum((1, 2))
    channels = _in_parts(rows.transpose(1, 2)).transpose(1, 2)  # (N·g, P, C/g)
    repeated = weights.expand(channels.shape[0], -1, -1)
    return torch.bmm(repeated, channels).reshape(rows.shape[0], -1)


class _Pool(torch.autograd.Function):
    """The pooling with its gradient in one product.

    x gets g ⊗ w + k ⊗ ds, which autograd would write as two feature maps and add. The weights are
    an output, because the gradient of the gradient goes through them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the pooled vector (N, C) and the weights (N, P)."""
        weights = attention_weights(x, key)
        ctx.save_for_backward(x, key, weights)
        return weighted_mean(x.flatten(2).transpose(1, 2), weights), weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, of_weights: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax: ds = w (dw - Σ w dw)."""
        x, key, weights = ctx.saved_tensors
        flat, gradient = x.flatten(2), gradient.to(x.dtype)
        influence = _scores(flat, gradient) + of_weights  # (N, P), in the dtype of the weights
        slope = weights * (influence - (weights * influence).sum(1, keepdim=True))  # of the scores
        left = torch.stack([gradient, key.to(x.dtype).expand_as(gradient)], dim=2)  # (N, C, 2)
        right = torch.stack([weights, slope], dim=1).to(x.dtype)  # (N, 2, P)
        if flat.is_contiguous():
            of_x = torch.bmm(left, right)
        else:
            of_x = torch.bmm(right.transpose(1, 2), left.transpose(1, 2)).transpose(1, 2)
        of_key = weighted_mean(flat.transpose(1, 2), slope).sum(0, keepdim=True)
        return of_x.reshape(x.shape), of_key.to(key.dtype)


def _scores(flat: Tensor, keys: Tensor) -> Tensor:
    """k · x_j: (N, C, P), (N, C) → (N, P)."""
    # bmm, since matmul would fold the batch into the positions and copy x for it
    if not flat.is_contiguous():
        rows = _in_parts(flat.transpose(1, 2))  # (N·g, P/g, C)
        columns = keys.unsqueeze(1).transpose(1, 2)  # strides of a row: fast in BLAS
        repeated = columns.expand(rows.shape[0], -1, -1)
        return torch.bmm(rows, repeated).reshape(flat.shape[0], -1)
    channels = _in_parts(flat)  # (N·g, C/g, P)
    products = torch.bmm(keys.reshape(channels.shape[0], 1, -1), channels)
    return products.unflatten(0, (flat.shape[0], -1)).sum((1, 2))


def _in_parts(matrices: Tensor) -> Tensor:
    """A single matrix as g matrices of fewer rows: (N, R, S) → (N·g, R/g, S), a view."""
    if matrices.shape[0] > 1:
        return matrices
    return matrices.unflatten(1, (gcd(matrices.shape[1], PARTS), -1)).flatten(0, 1)
