"""Batch norms: frozen, over all processes, zero at the end of residual blocks, exact statistics."""

from dataclasses import dataclass

KINDS = ("batch", "sync", "frozen")


@dataclass(kw_only=True)
class NormConfig:
    """How the batch norms of the network are trained."""

    kind: str = "batch"
    """batch; sync (statistics over all processes); frozen (those of the weights, never changed)"""
    zero_init: bool = False
    """the last norm of each residual block starts at 0 (Goyal et al., 2017); from scratch alone"""
    precise: int = 0
    """training batches over which the statistics are computed anew before validation; 0: none"""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"norm.kind ({self.kind!r}) must be one of {', '.join(KINDS)}")
        if self.precise < 0:
            raise ValueError(f"norm.precise ({self.precise}) must not be negative")
