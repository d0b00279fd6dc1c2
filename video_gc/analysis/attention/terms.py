"""The unary and the pairwise part of a non-local block's attention.

Yin et al., "Disentangled Non-Local Neural Networks", ECCV 2020, arXiv:2006.06668. With the means μ
over the L queries and M keys of a group (a clip; with span space or time a frame or a location),

    q_iᵀ k_j = (q_i - μ_q)ᵀ (k_j - μ_k) + μ_qᵀ (k_j - μ_k) + q_iᵀ μ_k.

The softmax over j cancels the last term: a weight is proportional to exp(pairwise) · exp(unary).
At every key the pairwise part sums to 0 over the queries. So the products of the two parts sum to
0, and the variance of the logits over keys (the mean over queries) is the sum of theirs.

Over time and over space: k_j - μ_k = (κ_t - μ_k) + (k_j - κ_t), with κ_t the mean key of frame t.
Both parts are linear in it, and the second bracket sums to 0 in every frame, so these variances add
too: between frames and within frames, unary and pairwise, four numbers whose sum is the variance of
the logits. The scale of the logits cancels in shares.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from video_gc.analysis.attention.statistics import wide

SHARES = ("unary_share", "unary_share_time", "unary_share_space")
"""Fields of BlockStudy: overall, between frames, within frames."""
ROUNDING = 1e-6
"""Standard deviation of logits that may be rounding in fp32, as a share of their bound |q| |k|."""


def logit_variances(query: Tensor, key: Tensor, frames: int) -> Tensor:
    """The variance of the logits qᵀk over keys, in four parts: (G, L, d), (G, M, d) → (2, 2).

    frames: those of the M keys, which are ordered frame by frame. Rows: between frames, within
    frames. Columns: unary, pairwise. The mean over the G groups, in float64.
    """
    query, key = wide(query), wide(key)
    mean = query.mean(1, keepdim=True)
    split = (key - key.mean(1, keepdim=True)).unflatten(1, (frames, -1))  # (G, T, M / T, d)
    of_frames = split.mean(2)
    inside = (split - of_frames.unsqueeze(2)).flatten(1, 2)
    parts = [
        torch.stack([_mean_square(mean, keys), _mean_square(query - mean, keys)])
        for keys in (of_frames, inside)
    ]
    return torch.stack(parts)


def unary_shares(query: Tensor, key: Tensor, frames: int) -> dict[str, float]:
    """The share of the unary part in the variance of the logits: a value for each of SHARES.

    1 if the logits vary by no more than rounding: the map of the unary part alone is the same.
    """
    parts = logit_variances(query, key, frames)
    lengths = wide(query).square().sum(2).mean() * wide(key).square().sum(2).mean()
    found = {}
    for name, (unary, pairwise) in zip(SHARES, (parts.sum(0), *parts), strict=True):
        total = unary + pairwise
        found[name] = float(unary / total) if total > ROUNDING**2 * lengths else 1.0
    return found


def unary_maps(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """The maps of the unary part alone: (G, L, d), (G, M, d) → (G, M), in float64."""
    query, key = wide(query), wide(key)
    logits = (key - key.mean(1, keepdim=True)) @ query.mean(1).unsqueeze(2)
    return F.softmax(scale * logits.squeeze(2), dim=1)


def _mean_square(left: Tensor, right: Tensor) -> Tensor:
    """The mean of (aᵀb)² over all pairs of rows: (G, L, d), (G, M, d) → (); stores L×M or d×d."""
    groups, rows, width = left.shape
    columns = right.shape[1]
    if rows * columns <= width**2:
        return (left @ right.mT).square().mean()
    return ((left.mT @ left) * (right.mT @ right)).sum() / (groups * rows * columns)
