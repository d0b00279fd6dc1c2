"""Weighted means over all pairs of positions that never store the weights.

Queries (N, G, L, d), keys and values (N, G, M, d): G groups of L queries that see M keys each.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def softmax_mean(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """softmax(scale · q kᵀ) v by the fused kernels: (N, G, L, d), … → (N, G, L, e).

    The kernels need four axes, the last contiguous, and one width; for anything else torch silently
    falls back to the formula that stores L×M. Narrower values are padded with zeros.
    """
    width = value.shape[3]
    if width < query.shape[3]:
        value = F.pad(value, (0, query.shape[3] - width))
    return F.scaled_dot_product_attention(query, key, value, scale=scale)[..., :width]


def reassociates(queries: int, keys: int, width: int) -> bool:
    """Whether q (kᵀ v) has no more multiply-adds than (q kᵀ) v."""
    return (queries + keys) * width <= 2 * queries * keys


def dot_product_mean(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """q kᵀ v / M in the cheaper order: (N, G, L, d), … → (N, G, L, d)."""
    keys = key.shape[2]
    if not reassociates(query.shape[2], keys, query.shape[3]):
        return torch.matmul(torch.matmul(query, key.transpose(2, 3)) / keys, value)
    # divide inside the product: a sum over all keys would overflow fp16
    left, right = key.transpose(2, 3).flatten(0, 1), value.flatten(0, 1)
    summary = torch.baddbmm(right.new_zeros(()), left, right, beta=0, alpha=1 / keys)  # (N·G, d, d)
    return torch.matmul(query, summary.unflatten(0, query.shape[:2]).to(query.dtype))


def concatenation_mean(left: Tensor, right: Tensor, value: Tensor) -> Tensor:
    """Σ_j ReLU(a_i + b_j) v_j / M for a (N, G, L), b (N, G, M), v (N, G, M, d) → (N, G, L, d).

    With the keys sorted by b, those that a query sees (b_j > -a_i) come first, so its sum is
    a_i Σ v_j + Σ b_j v_j over a prefix: running sums of size M×d instead of L×M weights.
    """
    wide = torch.promote_types(value.dtype, torch.float32)
    a, (b, order) = left.to(wide), right.to(wide).sort(dim=2, descending=True)
    sorted_value = value.to(wide).gather(2, order.unsqueeze(3).expand_as(value))
    seen = torch.searchsorted(-b.detach(), a.detach().contiguous())  # (N, G, L), keys seen
    index = seen.unsqueeze(3).expand(*seen.shape, value.shape[3])

    def prefix(terms: Tensor) -> Tensor:
        """The sum over the keys that each query sees."""
        return F.pad(terms.cumsum(2), (0, 0, 1, 0)).gather(2, index)  # (N, G, L, d)

    total = a.unsqueeze(3) * prefix(sorted_value) + prefix(b.unsqueeze(3) * sorted_value)
    return (total / value.shape[2]).to(value.dtype)
