"""The criss-cross block: every position attends along its own axis lines.

Huang et al., "CCNet: Criss-Cross Attention for Semantic Segmentation", ICCV 2019, arXiv:1811.11721,
section 3.2, lifted from H·W to any position axes.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.blocks.layout import add_context, inner_width, project, reset_as_identity, rows


class CrissCross(nn.Module):
    """R times x ← x + BN(W_z · Σ_j softmax_j(θ(x_i)ᵀ φ(x_j) / √d) g(x_j)), j on the lines of i.

    The lines of a position are the T + H + W - 2 positions that differ from it in at most one
    coordinate. After as many recurrences as there are axes, every position has reached every other.

    reduction: C / d, the inner width of θ, φ and g (the authors take 8 for θ and φ, and 1 for g).
    recurrences: R; all share θ, φ, g and W_z. Each has its own batch norm, because their features
        differ.
    scale: divide the exponent by √d; the authors do not.

    Transform and fusion are those of `NonLocal`, so the two differ only in the positions that a
    query sees; the authors use one zero-initialised factor in place of W_z and batch norm. The
    scale of each batch norm starts at zero: a fresh block is the identity, bit for bit.

    Shape: (N, C, *positions) → the same, for any number of position axes and either memory layout.

    Raises ValueError if `reduction` leaves no channel or `recurrences` is below 1.
    """

    def __init__(
        self, channels: int, *, reduction: int = 2, recurrences: int = 3, scale: bool = True
    ) -> None:
        super().__init__()
        inner = inner_width(channels, reduction)
        if recurrences < 1:
            raise ValueError(f"recurrences ({recurrences}) must be at least 1")
        self.channels, self.inner = channels, inner
        self.scale = inner**-0.5 if scale else 1.0
        self.query = nn.Linear(channels, inner)
        self.key = nn.Linear(channels, inner)
        self.value = nn.Linear(channels, inner)
        self.out = nn.Linear(inner, channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(recurrences))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gaussian (σ = 0.01) for the projections, zero for the scale of the batch norms."""
        reset_as_identity(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *positions) → the same shape."""
        axes = x.shape[2:]
        for norm in self.norms:
            product = project(rows(x), self.query, self.key, self.value).unflatten(1, axes)
            query, key, value = product.chunk(3, dim=-1)  # (N, *positions, d)
            weights = self._weights(query, key).to(value.dtype).split(list(axes), dim=-1)
            means = [  # (N, *positions, d), of each line
                torch.matmul(line.movedim(axis, -2), value.movedim(axis, -2)).movedim(-2, axis)
                for axis, line in enumerate(weights, start=1)
            ]
            mean = reduce(torch.add, means)
            x = add_context(x, mean.flatten(1, -2), self.out, norm)
        return x

    def attention(self, x: Tensor) -> Tensor:
        """The weights of the first recurrence: (N, C, *positions) → (N, *positions, T + H + W).

        The last axis has the positions of the first line, then those of the second, and so on. They
        sum to 1. A query counts itself on its first line only.
        """
        product = project(rows(x), self.query, self.key).unflatten(1, x.shape[2:])
        return self._weights(*product.chunk(2, dim=-1))

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        """`attention` of queries and keys (N, *positions, d)."""
        scores = []
        for axis in range(1, query.ndim - 1):
            q, k = query.movedim(axis, -2), key.movedim(axis, -2)  # (N, other axes, L, d)
            line = torch.matmul(q, k.transpose(-1, -2))  # (N, other axes, L, L)
            if axis > 1:
                itself = torch.eye(line.shape[-1], dtype=torch.bool, device=line.device)
                line = line.masked_fill(itself, -torch.inf)
            scores.append(line.movedim(-2, axis))  # (N, *positions, L)
        wide = torch.promote_types(scores[0].dtype, torch.float32)
        return F.softmax(torch.cat(scores, -1) * self.scale, dim=-1, dtype=wide)

    def query_maps(self, x: Tensor, queries: Tensor) -> Tensor:
        """`attention` on the lines of some queries, 0 elsewhere: (…), (Q,) → (N, Q, *positions)."""
        axes = list(x.shape[2:])
        lines = self.attention(x).flatten(1, len(axes))[:, queries.to(x.device)]
        full = lines.new_zeros(len(x), len(queries), *axes)
        for number, place in enumerate(zip(*torch.unravel_index(queries, axes), strict=True)):
            for axis, part in enumerate(lines[:, number].split(axes, dim=1)):
                full[(slice(None), number, *place[:axis], slice(None), *place[axis + 1 :])] += part
        return full

    def multiply_adds(self, positions: Sequence[int]) -> int:
        """Multiply-adds of the matrix products for one sample with position axes of these sizes."""
        projections = 4 * self.channels * self.inner * prod(positions)
        return len(self.norms) * projections + self.attention_multiply_adds(positions)

    def attention_multiply_adds(self, positions: Sequence[int]) -> int:
        """Multiply-adds of the attention alone: from queries, keys and values to the mean."""
        return len(self.norms) * 2 * self.inner * prod(positions) * sum(positions)

    def extra_repr(self) -> str:
        """Text for nn.Module's repr."""
        return f"{self.channels}, recurrences={len(self.norms)}"
