"""Global attention pooling: one weighted mean over all positions, shared by every query.

Cao et al., GCNet, 2019, eq. 4: Σ_j softmax_j(W_k x_j) x_j, as matrix products over views of x in
both memory layouts. docs/benchmarks.md has what it costs beside torch.compile.
"""

from math import gcd

import torch
from torch import Tensor
from torch.nn import functional as F

PARTS = 8  # of a single sample, so that each core has one; a batch has its samples


def attention_weights(x: Tensor, key: Tensor) -> Tensor:
    """The softmax over positions of W_k x: (N, C, *positions), (1, C) → (N, P).

    The softmax runs in fp32 or wider, whatever the dtype of x.
    """
    flat, key = x.flatten(2), key.to(x.dtype)  # (N, C, P), (1, C)
    # bmm, since matmul would fold the batch into the positions and copy x for it
    if not flat.is_contiguous():
        rows = _in_parts(flat.transpose(1, 2))  # (N·g, P/g, C)
        scores = torch.bmm(rows, key.t().expand(rows.shape[0], -1, -1)).reshape(x.shape[0], -1)
    else:
        channels = _in_parts(flat)  # (N·g, C/g, P)
        part = channels.shape[1]
        keys = key.reshape(-1, 1, part).repeat(x.shape[0], 1, 1)  # (N·g, 1, C/g)
        scores = torch.bmm(keys, channels).unflatten(0, (x.shape[0], -1)).sum((1, 2))  # (N, P)
    return F.softmax(scores, dim=1, dtype=torch.promote_types(x.dtype, torch.float32))


def weighted_mean(rows: Tensor, weights: Tensor) -> Tensor:
    """Σ_j w_j x_j: (N, P, C), (N, P) → (N, C)."""
    weights = weights.to(rows.dtype).unsqueeze(1)  # (N, 1, P)
    if rows.is_contiguous():
        parts = _in_parts(rows)  # (N·g, P/g, C)
        sums = torch.bmm(weights.reshape(parts.shape[0], 1, -1), parts)  # (N·g, 1, C)
        return sums.unflatten(0, (rows.shape[0], -1)).sum((1, 2))
    channels = _in_parts(rows.transpose(1, 2)).transpose(1, 2)  # (N·g, P, C/g)
    return torch.bmm(weights.expand(channels.shape[0], -1, -1), channels).reshape(rows.shape[0], -1)


def _in_parts(matrices: Tensor) -> Tensor:
    """A single matrix as g matrices of fewer rows: (N, R, S) → (N·g, R/g, S), a view.

    Not where a gradient is wanted: it would have to be copied back into one matrix.
    """
    if matrices.shape[0] > 1 or matrices.requires_grad:
        return matrices
    return matrices.unflatten(1, (gcd(matrices.shape[1], PARTS), -1)).flatten(0, 1)
