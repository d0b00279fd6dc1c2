"""The global context framework: context modelling → transform → fusion.

Cao et al., "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond", 2019,
arXiv:1904.11492, section 3. GC, simplified non-local (SNL) and squeeze-excitation (SE; Hu et al.,
2018) are three choices of the same class.
"""

from collections.abc import Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

from video_gc.blocks.attention_pool import attention_pool, attention_weights, weighted_mean
from video_gc.blocks.layout import project, rows

POOLS = ("attention", "average")
TRANSFORMS = ("bottleneck", "linear", "linear_inside")
FUSIONS = ("add", "scale", "both")


class GlobalContext(nn.Module):
    """One context vector for all positions, transformed and fused into each of them.

    context: softmax over positions of W_k x as weights of a mean (`pool="attention"`), or the plain
    mean (`"average"`). transform: C → C/r → LayerNorm (if `norm`) → ReLU (if `relu`) → C
    (`"bottleneck"`), or one C×C matrix (`"linear"`, GCNet eq. 3), which eq. 2 applies to every
    position before pooling (`"linear_inside"`: equal, and P times the work). fusion: x + t
    (`"add"`), x · sigmoid(t) (`"scale"`), or x · sigmoid(s) + t with a transform for each
    (`"both"`).

    The last layer of each transform starts at zero. With `add` a fresh block is therefore the
    identity, bit for bit; a gate starts at sigmoid(0) = 0.5, as published, so a fresh block halves
    x.

    W_k has no bias: a shift does not change the softmax. With LayerNorm `channels` and `reduction`
    must leave at least 4 hidden channels (over one it is constant, over two a sign).

    Shape: (N, C, *positions) → the same, for any number of position axes and either memory layout.

    Raises ValueError on an unknown choice or on a reduction that leaves too few channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        pool: str = "attention",
        transform: str = "bottleneck",
        reduction: int = 4,
        norm: bool = True,
        relu: bool = True,
        bias: bool = True,
        fusion: str = "add",
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ("pool", pool, POOLS),
            ("transform", transform, TRANSFORMS),
            ("fusion", fusion, FUSIONS),
        ):
            if value not in choices:
                raise ValueError(f"{name} ({value!r}) must be one of {', '.join(choices)}")
        if transform == "linear_inside" and fusion == "both":
            raise ValueError("transform 'linear_inside' has one matrix, fusion 'both' needs two")
        self.channels, self.pool, self.fusion = channels, pool, fusion
        self.inside = transform == "linear_inside"
        if pool == "attention":
            self.key = nn.Linear(channels, 1, bias=False)

        def make_transform() -> nn.Sequential:
            if transform != "bottleneck":
                return nn.Sequential(nn.Linear(channels, channels, bias=bias))
            hidden = _hidden_channels(channels, reduction, norm)
            return nn.Sequential(
                nn.Linear(channels, hidden, bias=bias),
                nn.LayerNorm(hidden) if norm else nn.Identity(),
                nn.ReLU() if relu else nn.Identity(),
                nn.Linear(hidden, channels, bias=bias),
            )

        self.transform = make_transform()
        if fusion == "both":
            self.gate = make_transform()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming for the inner layers, zero for the last layer of each transform."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.LayerNorm):
                layer.reset_parameters()
        for transform in self._transforms():
            last = transform[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *positions) → the same shape."""
        if self.inside:
            context = self._pool(project(rows(x), self._matrix), self._weights(x))  # (N, C)
        else:
            pooled = self.context(x)
            context = self.transform(pooled)
        shape = (*context.shape, *[1] * (x.ndim - 2))  # (N, C, 1, …)
        context = context.to(x.dtype).reshape(shape)
        if self.fusion == "add":
            return x + context
        if self.fusion == "scale":
            return x * context.sigmoid()
        gate = self.gate(pooled).to(x.dtype).reshape(shape).sigmoid()
        return torch.addcmul(context, x, gate)

    def context(self, x: Tensor) -> Tensor:
        """The pooled context vector, before any transform: (N, C, *positions) → (N, C)."""
        return attention_pool(x, self.key.weight) if self.pool == "attention" else rows(x).mean(1)

    def attention_map(self, x: Tensor) -> Tensor:
        """The weight of each position, summing to 1: (N, C, *positions) → (N, *positions).

        Uniform with average pooling. The softmax runs in fp32 or wider, whatever the dtype of x.
        """
        weights = self._weights(x)
        if weights is None:
            wide = torch.promote_types(x.dtype, torch.float32)
            return x.new_full((x.shape[0], *x.shape[2:]), 1 / x[0, 0].numel(), dtype=wide)
        return weights.reshape(x.shape[0], *x.shape[2:])

    def multiply_adds(self, positions: Sequence[int]) -> int:
        """Multiply-adds of the matrix products for one sample with position axes of these sizes."""
        weights = sum(
            layer.weight.numel()
            for transform in self._transforms()
            for layer in transform
            if isinstance(layer, nn.Linear)
        )
        transforms = weights * (prod(positions) if self.inside else 1)
        return transforms + self.attention_multiply_adds(positions)

    def attention_multiply_adds(self, positions: Sequence[int]) -> int:
        """Multiply-adds of the pooling alone; a plain mean has none."""
        return 2 * self.channels * prod(positions) if self.pool == "attention" else 0

    def extra_repr(self) -> str:
        """Text for nn.Module's repr."""
        inside = "_inside" if self.inside else ""
        first = self.transform[0]
        assert isinstance(first, nn.Linear)
        hidden = (
            f"bottleneck {first.out_features}" if len(self.transform) > 1 else f"linear{inside}"
        )
        return f"{self.channels}, {self.pool}, {hidden}, {self.fusion}"

    @property
    def _matrix(self) -> nn.Linear:
        """W_v of the linear transforms."""
        matrix = self.transform[0]
        assert isinstance(matrix, nn.Linear)
        return matrix

    def _transforms(self) -> list[nn.Sequential]:
        return [self.transform, self.gate] if self.fusion == "both" else [self.transform]

    def _weights(self, x: Tensor) -> Tensor | None:
        return attention_weights(x, self.key.weight) if self.pool == "attention" else None

    @staticmethod
    def _pool(values: Tensor, weights: Tensor | None) -> Tensor:
        return values.mean(1) if weights is None else weighted_mean(values, weights)


gc = GlobalContext
snl = partial(GlobalContext, transform="linear", bias=False)
"""Simplified non-local block, GCNet eq. 3: attention pooling, W_v (C×C, no bias), add."""
se = partial(GlobalContext, pool="average", reduction=16, norm=False, fusion="scale")
"""Squeeze-excitation block (Hu et al., CVPR 2018): mean, bottleneck with r = 16, scale."""


def _hidden_channels(channels: int, reduction: int, norm: bool) -> int:
    least = 4 if norm else 1
    if not isinstance(reduction, int):
        raise ValueError(f"reduction ({reduction}) must be a whole number")
    if channels < least:
        raise ValueError(
            f"{channels} channels are too few for a bottleneck with LayerNorm, which needs at "
            f"least {least}; use norm=False"
        )
    hidden = channels // reduction if reduction >= 1 else 0
    if hidden < least:
        raise ValueError(
            f"reduction ({reduction}) leaves {hidden} of {channels} channels, but the bottleneck "
            f"needs at least {least}; the largest usable reduction is {channels // least}"
        )
    return hidden
