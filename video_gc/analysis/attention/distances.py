"""Distances between all pairs of rows, in float64 whatever the rows' dtype."""

import torch
from torch import Tensor

CELLS_AT_ONCE = 1 << 21
"""Numbers in the largest temporary array of `jensen_shannon`."""


def wide(values: Tensor) -> Tensor:
    """In float64, on the same device where that has float64, else on the CPU."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def cosine_distances(vectors: Tensor) -> Tensor:
    """1 - cos(v_i, v_j), in 0…2: (Q, D) → (Q, Q), zeros on the diagonal.

    A zero vector has no direction: its distance is 0 to another zero vector and 1 to any other.
    """
    vectors = wide(vectors)
    lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    zero = lengths == 0
    units = vectors / lengths.masked_fill(zero, 1)
    distances = (1 - units @ units.t()).clamp(0, 2)
    distances.masked_fill_(zero & zero.t(), 0)
    return distances.fill_diagonal_(0)


def jensen_shannon(maps: Tensor) -> Tensor:
    """The Jensen-Shannon divergence of distributions in nats, 0…log 2: (Q, M) → (Q, Q).

    Entropy of the mean less the mean of the entropies (Lin, IEEE Transactions on Information Theory
    37, 1991). Rows are scaled to sum to 1 first, since a softmax in fp32 does so only about.
    """
    maps = normalised(maps)
    entropies = entropy(maps)
    found = maps.new_zeros(len(maps), len(maps))
    step = max(1, CELLS_AT_ONCE // maps.shape[1])
    for row in range(len(maps)):
        for start in range(row + 1, len(maps), step):
            others = slice(start, min(start + step, len(maps)))
            mixed = entropy((maps[row] + maps[others]) / 2)
            found[row, others] = mixed - (entropies[row] + entropies[others]) / 2
    return (found + found.t()).clamp(min=0)


def normalised(maps: Tensor) -> Tensor:
    """Rows of weights in float64, scaled to sum to 1."""
    maps = wide(maps)
    return maps / maps.sum(-1, keepdim=True)


def entropy(maps: Tensor) -> Tensor:
    """-Σ p log p in nats over the last axis."""
    return torch.special.entr(maps).sum(-1)
