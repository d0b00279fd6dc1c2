"""The disentangled non-local block: a pairwise and a unary term, with a softmax each.

Yin et al., "Disentangled Non-Local Neural Networks", ECCV 2020, arXiv:2006.06668. Details are from
the authors' code (yinmh17/DNL-Semantic-Segmentation) and MMSegmentation's DNL head.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.blocks.attention_pool import attention_weights, weighted_mean
from video_gc.blocks.layout import add_context, inner_width, project, reset_as_identity, rows
from video_gc.blocks.pairwise import softmax_mean


class DisentangledNonLocal(nn.Module):
    """x_i + BN(W_z · Σ_j (ω_p(x_i, x_j) + ω_u(x_j)) g(x_j)).

    ω_p(x_i, x_j) = softmax_j((q_i - μ_q)ᵀ (k_j - μ_k) / (√d · temperature)), the whitened pairwise
        term: q = θ(x), k = φ(x), and μ their means over the positions of a clip.
    ω_u(x_j) = softmax_j(W_m x_j), the unary term: one map for all queries.

    In a non-local block the two share a softmax, because q_iᵀ k_j = (q_i - μ_q)ᵀ (k_j - μ_k) +
    μ_qᵀ k_j + terms without j; each then learns through the other.

    reduction: C / d, the inner width of θ, φ and g.
    temperature: of the pairwise term; the authors take 0.05 for segmentation.
    plain: use the formula, which stores all weights (P×P), for checking.

    Transform and fusion are those of `NonLocal`, so the two differ only in their weights: g and W_z
    have biases, and the scale of the batch norm starts at zero, so a fresh block is the identity,
    bit for bit. θ and φ have no bias, because whitening cancels it, and W_m none, because the
    softmax does; the published code has all three. With r = 2 the block has as many parameters as
    `NonLocal`. The published code differs in W_z, which has no bias there, in its batch norm
    (optional, of unit scale), and in a learned factor of the pairwise term that starts at zero.

    Shape: (N, C, *positions) → the same, for any number of position axes and either memory layout.

    Raises ValueError if `reduction` leaves no channel or `temperature` is not above 0.
    """

    def __init__(
        self, channels: int, *, reduction: int = 2, temperature: float = 1.0, plain: bool = False
    ) -> None:
        super().__init__()
        inner = inner_width(channels, reduction)
        if not temperature > 0:
            raise ValueError(f"temperature ({temperature}) must be above 0")
        self.channels, self.inner, self.plain = channels, inner, plain
        self.temperature, self.scale = temperature, inner**-0.5 / temperature
        self.query = nn.Linear(channels, inner, bias=False)
        self.key = nn.Linear(channels, inner, bias=False)
        self.unary = nn.Linear(channels, 1, bias=False)
        self.value = nn.Linear(channels, inner)
        self.out = nn.Linear(inner, channels)
        self.norm = nn.BatchNorm2d(channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gaussian (σ = 0.01) for the projections, zero for the scale of the batch norm."""
        reset_as_identity(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *positions) → the same shape."""
        value = project(rows(x), self.value)  # (N, P, d)
        if self.plain:
            mean = torch.matmul(self.attention(x).to(value.dtype), value)
        else:
            query, key = self._whitened(x)
            query, key, values = (t.unsqueeze(1) for t in (query, key, value))
            shared = weighted_mean(value, self.unary_weights(x))  # (N, d)
            mean = softmax_mean(query, key, values, self.scale).squeeze(1) + shared.unsqueeze(1)
        return add_context(x, mean, self.out, self.norm)

    def attention(self, x: Tensor) -> Tensor:
        """The weights ω_p + ω_u by the plain formula: (N, C, *positions) → (N, P, P).

        A row has the P weights of one query; it sums to 2.
        """
        return self.weights(x, torch.arange(x[0, 0].numel(), device=x.device))

    def weights(self, x: Tensor, queries: Tensor) -> Tensor:
        """The rows of `attention` for some queries: (N, C, *positions), (Q,) → (N, Q, P).

        queries: indices of positions, 0…P-1 with the last axis fastest. Stores Q×P weights.
        """
        query, key = self._whitened(x)
        scores = torch.matmul(query[:, queries.to(x.device)], key.transpose(1, 2))
        wide = torch.promote_types(scores.dtype, torch.float32)
        pairwise = F.softmax(scores * self.scale, dim=2, dtype=wide)
        return pairwise + self.unary_weights(x).unsqueeze(1)

    def query_maps(self, x: Tensor, queries: Tensor) -> Tensor:
        """The mean of both terms: (N, C, *positions), (Q,) → (N, Q, *positions), sums of 1."""
        return self.weights(x, queries).unflatten(2, x.shape[2:]) / 2

    def unary_weights(self, x: Tensor) -> Tensor:
        """The unary term ω_u, which sums to 1: (N, C, *positions) → (N, P)."""
        return attention_weights(x, self.unary.weight)

    def multiply_adds(self, positions: Sequence[int]) -> int:
        """Multiply-adds of the matrix products for one sample with position axes of these sizes."""
        projections = 4 * self.channels * self.inner * prod(positions)
        return projections + self.attention_multiply_adds(positions)

    def attention_multiply_adds(self, positions: Sequence[int]) -> int:
        """Multiply-adds of the attention alone: from x, queries, keys and values to the mean."""
        count = prod(positions)
        unary = self.channels + (0 if self.plain else self.inner)  # its scores, and its mean
        return 2 * self.inner * count**2 + unary * count

    def extra_repr(self) -> str:
        """Text for nn.Module's repr."""
        heat = "" if self.temperature == 1 else f", temperature={self.temperature:g}"
        return f"{self.channels} → {self.inner}{heat}"

    def _whitened(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys less their means over positions: (N, P, d) each."""
        query, key = (project(rows(x), layer) for layer in (self.query, self.key))
        return query.sub_(query.mean(1, keepdim=True)), key.sub_(key.mean(1, keepdim=True))
