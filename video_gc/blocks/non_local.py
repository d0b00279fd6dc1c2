"""The non-local block: every position attends to every other one.

Wang et al., "Non-local Neural Networks", CVPR 2018, arXiv:1711.07971, sections 3.2 and 3.3.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class NonLocal(nn.Module):
    """Embedded-gaussian non-local block: x + BN(W_z · softmax(θ(x)ᵀ φ(x) / √d) g(x)).

    θ, φ, g: C → d = C / `reduction`; W_z: d → C; all with biases, as published. The batch norm
    after W_z starts with zero scale, so that a fresh block is the identity, bit for bit.
    The bias of φ shifts all weights of a query alike, which the softmax does not see; in training
    the batch norm hides those of g and W_z too. They are kept because published weights have them.

    Attention goes through `scaled_dot_product_attention`, which never stores the P×P weights.

    Shape: (N, C, *positions) → the same, for any number of position axes and either memory layout.

    Raises ValueError where `reduction` leaves no channel.
    """

    def __init__(self, channels: int, *, reduction: int = 2, scale: bool = True) -> None:
        super().__init__()
        inner = channels // reduction if reduction >= 1 else 0
        if inner < 1:
            raise ValueError(
                f"reduction ({reduction}) leaves no inner channel of {channels}; "
                f"it must be in 1…{channels}"
            )
        self.scale = inner**-0.5 if scale else 1.0
        self.query = nn.Linear(channels, inner)
        self.key = nn.Linear(channels, inner)
        self.value = nn.Linear(channels, inner)
        self.out = nn.Linear(inner, channels)
        self.norm = nn.BatchNorm1d(channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gaussian (σ = 0.01) for the projections, zero for the scale of the batch norm."""
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        self.norm.reset_parameters()
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *positions) → the same shape."""
        rows = x.flatten(2).transpose(1, 2)  # (N, P, C)
        q, k, v = self.query(rows), self.key(rows), self.value(rows)  # (N, P, d)
        mean = F.scaled_dot_product_attention(q, k, v, scale=self.scale)  # (N, P, d)
        out = self.norm(self.out(mean).transpose(1, 2))  # (N, C, P)
        return x + out.reshape(x.shape).to(x.dtype)

    def attention(self, x: Tensor) -> Tensor:
        """The weights of each query by the plain formula, for reading: (N, P, P), rows sum to 1."""
        rows = x.flatten(2).transpose(1, 2)  # (N, P, C)
        scores = self.query(rows) @ self.key(rows).transpose(1, 2) * self.scale
        return F.softmax(scores, dim=2, dtype=torch.promote_types(x.dtype, torch.float32))
