"""The non-local block: every position attends to all positions.

Wang et al., "Non-local Neural Networks", CVPR 2018, arXiv:1711.07971, sections 3.2 and 3.3.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.blocks.layout import (
    add_context,
    inner_width,
    max_pool,
    pooled_size,
    project,
    reset_as_identity,
    rows,
)
from video_gc.blocks.pairwise import (
    concatenation_mean,
    dot_product_mean,
    reassociates,
    softmax_mean,
)

PAIRWISE = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
SPANS = ("spacetime", "space", "time")
POOL_AT = ("before", "after")


class NonLocal(nn.Module):
    """x + BN(W_z · y), where y_i = Σ_j f(x_i, x_j) g(x_j) / C(x).

    pairwise: the function f, with its normaliser C(x). `embedded_gaussian`: exp(θ(x_i)ᵀ φ(x_j)) and
        `gaussian`: exp(x_iᵀ x_j), over their sum, so a softmax; `dot_product`: θ(x_i)ᵀ φ(x_j) and
        `concatenation`: ReLU(w_fᵀ [θ(x_i), φ(x_j)]), over the number of keys.
    scale: divide the exponent of the two gaussians by √d, d being the width of the queries.
    span: `spacetime`, `space` (within each frame) or `time` (within each location); the last two
        position axes are space, the one before them is time.
    pool: kernel (t, h, w) of a max-pooling of keys and values, one number for each position axis;
        `pool_at="before"` pools x, as the authors and PySlowFast do, `"after"` pools φ(x) and g(x),
        as MMAction2 does.
    reduction: C / d, the inner width d of θ, φ and g.
    norm: a batch norm after W_z that starts with zero scale; without it W_z starts at zero. Either
        way a fresh block is the identity, bit for bit.
    plain: use the published formula, which stores all weights (P×P), for checking. Otherwise a
        softmax uses `scaled_dot_product_attention`, a dot product is re-associated if that is
        cheaper, and a concatenation sorts its keys; none of these stores P×P.

    θ, φ, g: C → d; W_z: d → C; all with biases, as published. The bias of φ shifts all weights of a
    query alike, which does not change the softmax; in training the batch norm cancels those of g
    and W_z too. They are kept because published weights have them.

    Shape: (N, C, *positions) → the same, for 1 to 3 position axes and either memory layout. No
    feature map is copied, except for `gaussian` in the contiguous layout: its queries are x itself,
    and the fused kernels need them channels-last.

    Raises ValueError on an unknown choice, on a reduction that leaves no channel, on a pool that
    does not fit the span, and in `forward` if x lacks the axes that `pool` or `span` need; also in
    training if N·P = 1, for which a batch norm has no variance.
    """

    def __init__(
        self,
        channels: int,
        *,
        pairwise: str = "embedded_gaussian",
        scale: bool = True,
        span: str = "spacetime",
        pool: Sequence[int] | None = None,
        pool_at: str = "before",
        reduction: int = 2,
        norm: bool = True,
        plain: bool = False,
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ("pairwise", pairwise, PAIRWISE),
            ("span", span, SPANS),
            ("pool_at", pool_at, POOL_AT),
        ):
            if value not in choices:
                raise ValueError(f"{name} ({value!r}) must be one of {', '.join(choices)}")
        inner = inner_width(channels, reduction)
        self.channels, self.inner, self.pairwise, self.span = channels, inner, pairwise, span
        self.pool, self.pool_at, self.plain = _checked_pool(pool, span), pool_at, plain
        width = channels if pairwise == "gaussian" else inner
        self.scale = width**-0.5 if scale else 1.0
        if pairwise != "gaussian":
            self.query = nn.Linear(channels, inner)
            self.key = nn.Linear(channels, inner)
        if pairwise == "concatenation":
            self.pair = nn.Linear(2 * inner, 1, bias=False)
        self.value = nn.Linear(channels, inner)
        self.out = nn.Linear(inner, channels)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gaussian (σ = 0.01) for the projections, zero for the batch norm's scale, or for W_z."""
        reset_as_identity(self)
        if isinstance(self.norm, nn.Identity):
            nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *positions) → the same shape."""
        query, key, value = self.grouped(x)
        if self.plain:
            mean = torch.matmul(self._weights(query, key).to(value.dtype), value)
        elif self.pairwise == "dot_product":
            mean = dot_product_mean(query, key, value)
        elif self.pairwise == "concatenation":
            mean = concatenation_mean(*self._halves(query, key), value)
        else:
            mean = softmax_mean(query, key, value, self.scale)
        if self.span == "time":
            mean = mean.transpose(1, 2)  # (N, T, H·W, d)
        return add_context(x, mean.flatten(1, 2), self.out, self.norm)

    def attention(self, x: Tensor) -> Tensor:
        """The weights f / C(x) by the plain formula, for analysis: (N, G, L, M).

        G groups of L queries and M keys: 1 × P × P over space-time, T × H·W × H·W in space, H·W × T
        × T in time; pooled keys make M smaller. The rows of the gaussians sum to 1.
        """
        query, key, _ = self.grouped(x)
        return self._weights(query, key)

    def weights(self, x: Tensor, queries: Tensor) -> Tensor:
        """The rows of `attention` for some queries: (N, C, *positions), (Q,) → (N, Q, M).

        queries: indices of positions, 0…P-1 with the last axis fastest. The M keys are
        those that the query reaches: all of them, those of its frame, or those of its location.
        Stores Q×M weights.
        """
        query, key, _ = self.grouped(x)
        groups, rows_in_group = self.group_of(queries.to(x.device), x.shape[2:])
        found = x.new_empty(0)
        for group in groups.unique().tolist():
            mine = groups == group
            part = self._weights(query[:, group, rows_in_group[mine]].unsqueeze(1), key[:, [group]])
            if not found.numel():
                found = part.new_empty(len(x), len(queries), part.shape[3])
            found[:, mine] = part[:, 0]
        return found

    def query_maps(self, x: Tensor, queries: Tensor) -> Tensor:
        """`weights` over all keys, 0 out of reach: (N, C, *positions), (Q,) → (N, Q, *keys).

        A map sums to 1 unless `pairwise` is dot_product (any sign) or concatenation.
        """
        size = pooled_size(x.shape[2:], self.pool)
        weights = self.weights(x, queries)  # (N, Q, M)
        if self.span == "spacetime":
            return weights.unflatten(2, size)
        group, _ = self.group_of(queries, x.shape[2:])
        full = weights.new_zeros(len(x), len(queries), prod(size[:-2]), prod(size[-2:]))
        for number, which in enumerate(group.tolist()):  # pooling is 1 across groups: sizes agree
            if self.span == "space":
                full[:, number, which] = weights[:, number]
            else:
                full[:, number, :, which] = weights[:, number]
        return full.flatten(2).unflatten(2, size)

    def grouped(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (N, G, L, d), keys and values (N, G, M, d), in groups as `span` says."""
        if self.span == "time" and x.ndim != 5:
            raise ValueError(f"span 'time' needs x of (N, C, T, H, W), not {tuple(x.shape)}")
        source = x
        if self.pool and self.pool_at == "before":
            source = max_pool(x, self.pool)
        if self.pairwise == "gaussian":
            query = rows(x).contiguous()
            key = query if source is x else rows(source).contiguous()
        else:
            query, key = project(rows(x), self.query), project(rows(source), self.key)
        value = project(rows(source), self.value)
        if self.pool and self.pool_at == "after":
            key, value = (
                rows(max_pool(t.unflatten(1, x.shape[2:]).movedim(-1, 1), self.pool))
                for t in (key, value)
            )
        if self.span == "spacetime":
            return query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        frames, key_frames = prod(x.shape[2:-2]), prod(pooled_size(x.shape[2:], self.pool)[:-2])
        query = query.unflatten(1, (frames, -1))  # (N, T, H·W, d)
        key, value = (t.unflatten(1, (key_frames, -1)) for t in (key, value))
        if self.span == "time":
            query, key, value = (t.transpose(1, 2) for t in (query, key, value))
        return query, key, value

    def group_of(self, queries: Tensor, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The group of `attention` of each position, and its row there: (Q,) → (Q,), (Q,).

        Depending on `span` the group is 0, the frame or the location.
        """
        if self.span == "spacetime":
            return torch.zeros_like(queries), queries
        locations = prod(positions[-2:])
        frame, location = queries // locations, queries % locations
        return (frame, location) if self.span == "space" else (location, frame)

    def multiply_adds(self, positions: Sequence[int]) -> int:
        """Multiply-adds of the matrix products for one sample with position axes of these sizes."""
        count = prod(positions)
        pooled = prod(pooled_size(positions, self.pool))
        projected = pooled if self.pool_at == "before" else count
        width, inner = self.channels, self.inner
        projections = width * inner * (projected + count)  # g and W_z
        if self.pairwise != "gaussian":
            projections += width * inner * (projected + count)  # φ and θ
        return projections + self.attention_multiply_adds(positions)

    def attention_multiply_adds(self, positions: Sequence[int]) -> int:
        """Multiply-adds of the attention alone: from queries, keys and values to y."""
        count = prod(positions)
        pooled = prod(pooled_size(positions, self.pool))
        frames, locations = prod(positions[:-2]), prod(positions[-2:])
        groups = {"spacetime": 1, "space": frames, "time": locations}[self.span]
        queries, keys, inner = count // groups, pooled // groups, self.inner
        if self.pairwise == "concatenation":
            sums = queries * keys * inner if self.plain else 0
            return groups * (sums + inner * (queries + keys))
        if self.pairwise == "dot_product" and not self.plain and reassociates(queries, keys, inner):
            return groups * inner * inner * (queries + keys)
        if self.pairwise == "gaussian":
            values = inner if self.plain else self.channels
            return groups * queries * keys * (self.channels + values)
        return groups * queries * keys * 2 * inner

    def extra_repr(self) -> str:
        """Text for nn.Module's repr."""
        pool = f", pool={self.pool} {self.pool_at}" if self.pool else ""
        return f"{self.channels} → {self.inner}, {self.pairwise}, {self.span}{pool}"

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        """All weights f / C(x): (N, G, L, d), (N, G, M, d) → (N, G, L, M)."""
        if self.pairwise == "concatenation":
            left, right = self._halves(query, key)
            return F.relu(left.unsqueeze(3) + right.unsqueeze(2)) / key.shape[2]
        scores = torch.matmul(query, key.transpose(2, 3))
        if self.pairwise == "dot_product":
            return scores / key.shape[2]
        wide = torch.promote_types(scores.dtype, torch.float32)
        return F.softmax(scores * self.scale, dim=3, dtype=wide)

    def _halves(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """w_fᵀ[θ, φ] is a sum of a part for the query and one for the key: (N, G, L), (N, G, M)."""
        left, right = self.pair.weight.to(query.dtype).split(self.inner, dim=1)  # (1, d) each
        return torch.matmul(query, left.t()).squeeze(3), torch.matmul(key, right.t()).squeeze(3)


def _checked_pool(pool: Sequence[int] | None, span: str) -> tuple[int, ...] | None:
    if pool is None:
        return None
    kernel = tuple(pool) if isinstance(pool, Sequence) else ()
    if not 1 <= len(kernel) <= 3 or not all(isinstance(size, int) and size > 0 for size in kernel):
        raise ValueError(f"pool ({pool}) must be a kernel such as [1, 2, 2]")
    across = {"spacetime": (), "space": kernel[:-2], "time": kernel[-2:]}[span]
    if any(size != 1 for size in across):
        raise ValueError(f"pool ({list(kernel)}) must be 1 where span {span!r} does not reach")
    return kernel
