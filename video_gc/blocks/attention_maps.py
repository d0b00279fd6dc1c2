"""What a block can tell of its attention, for whoever looks at it: no forward pass needs this.

A block with neither of these methods has no attention to show.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class SharedMap(Protocol):
    """A block in which all positions share one map."""

    def attention_map(self, x: Tensor) -> Tensor:
        """The weight of each position, summing to 1: (N, C, *positions) → (N, *positions)."""


@runtime_checkable
class QueryMaps(Protocol):
    """A block in which each position (the query) has a map of its own."""

    def query_maps(self, x: Tensor, queries: Tensor) -> Tensor:
        """The weights of all keys for some queries: (N, C, *positions), (Q,) → (N, Q, *keys).

        queries: indices of positions, 0…P-1 with the last axis fastest. keys: the position axes, or
        fewer positions on the same axes. A map sums to 1; a key that a query does not see has 0.
        """
