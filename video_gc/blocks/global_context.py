"""The global context framework: context modelling → transform → fusion.

Cao et al., "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond", 2019,
arXiv:1904.11492, section 3. GC, simplified non-local (SNL) and squeeze-excitation (SE; Hu et al.,
2018) are three choices of the same class.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLS = ("attention", "average")
TRANSFORMS = ("bottleneck", "linear")
FUSIONS = ("add", "scale")


class GlobalContext(nn.Module):
    """One context vector shared by all positions, transformed and fused into each of them.

    context: softmax over positions of W_k x as weights of a mean (`pool="attention"`), or the plain
    mean (`"average"`). transform: C → C/r → LayerNorm (if `norm`) → ReLU → C (`"bottleneck"`), or
    one C×C matrix (`"linear"`). fusion: x + t (`"add"`) or x · sigmoid(t) (`"scale"`).

    The last layer starts at zero. With `add` a fresh block is therefore the identity, bit for bit;
    with `scale` its gate starts at sigmoid(0) = 0.5, as published, so a fresh block halves x.

    W_k has no bias: the softmax does not see a shift. `channels` and `reduction` must leave at
    least 4 hidden channels where LayerNorm stands (over one it is constant, over two a sign).

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
        self.channels, self.pool, self.fusion = channels, pool, fusion
        if pool == "attention":
            self.key = nn.Linear(channels, 1, bias=False)
        if transform == "linear":
            self.transform = nn.Sequential(nn.Linear(channels, channels, bias=bias))
        else:
            hidden = _hidden_channels(channels, reduction, norm)
            self.transform = nn.Sequential(
                nn.Linear(channels, hidden, bias=bias),
                nn.LayerNorm(hidden) if norm else nn.Identity(),
                nn.ReLU(),
                nn.Linear(hidden, channels, bias=bias),
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming for the inner layers, zero for the last one."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.LayerNorm):
                layer.reset_parameters()
        last = self.transform[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *positions) → the same shape."""
        context = self.transform(self.context(x)).to(x.dtype)  # (N, C)
        context = context.reshape(*context.shape, *[1] * (x.ndim - 2))  # (N, C, 1, …)
        return x + context if self.fusion == "add" else x * context.sigmoid()

    def context(self, x: Tensor) -> Tensor:
        """The pooled context vector: (N, C, *positions) → (N, C)."""
        flat = x.flatten(2)  # (N, C, P), a view in both memory layouts
        if self.pool == "average":
            return flat.mean(2)
        weights = self.attention(x).flatten(1)  # (N, P)
        return torch.matmul(flat, weights.to(x.dtype).unsqueeze(2)).squeeze(2)

    def attention(self, x: Tensor) -> Tensor:
        """The weight of each position, summing to 1: (N, C, *positions) → (N, *positions).

        Uniform with average pooling. The softmax runs in fp32 or wider, whatever the dtype of x.
        """
        wide = torch.promote_types(x.dtype, torch.float32)
        if self.pool == "average":
            return x.new_full((len(x), *x.shape[2:]), 1 / x[0, 0].numel(), dtype=wide)
        flat = x.flatten(2)  # (N, C, P)
        scores = torch.matmul(self.key.weight.to(x.dtype), flat).squeeze(1)  # (N, P)
        return F.softmax(scores, dim=1, dtype=wide).reshape(len(x), *x.shape[2:])


gc = GlobalContext
snl = partial(GlobalContext, transform="linear", bias=False)
"""Simplified non-local block, GCNet eq. 3: attention pooling, W_v (C×C, no bias), add."""
se = partial(GlobalContext, pool="average", reduction=16, norm=False, fusion="scale")
"""Squeeze-excitation block (Hu et al., CVPR 2018): mean, bottleneck with r = 16, scale."""


def _hidden_channels(channels: int, reduction: int, norm: bool) -> int:
    least = 4 if norm else 1
    hidden = channels // reduction if reduction >= 1 else 0
    if hidden < least:
        raise ValueError(
            f"reduction ({reduction}) leaves {hidden} of {channels} channels, but the bottleneck "
            f"needs at least {least}; the largest usable reduction is {channels // least}"
        )
    return hidden
