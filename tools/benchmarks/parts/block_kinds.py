"""The blocks of `benchmark.py blocks`: ours, the formulas as written, and pytorchvideo's layer."""

from collections.abc import Callable
from functools import partial

import torch
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from torch import Tensor, nn

from video_gc.blocks import build_block


class LiteralNonLocal(nn.Module):
    """The formula as written: all P×P weights, a softmax, a product."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta, self.phi, self.g = (nn.Conv3d(channels, inner, 1) for _ in range(3))
        self.z, self.norm = nn.Conv3d(inner, channels, 1), nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) → the same shape."""
        q, k, v = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))  # (N, d, P)
        weights = (q.transpose(1, 2) @ k * q.shape[1] ** -0.5).softmax(2)  # (N, P, P)
        mean = (weights @ v.transpose(1, 2)).transpose(1, 2).reshape(*q.shape[:2], *x.shape[2:])
        return x + self.norm(self.z(mean))


class LiteralGlobalContext(nn.Module):
    """The formula as written, with 1×1×1 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 4
        self.key = nn.Conv3d(channels, 1, 1, bias=False)
        self.transform = nn.Sequential(
            nn.Conv3d(channels, hidden, 1),
            nn.LayerNorm([hidden, 1, 1, 1]),
            nn.ReLU(),
            nn.Conv3d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) → the same shape."""
        weights = self.key(x).flatten(2).softmax(2)  # (N, 1, P)
        context = x.flatten(2) @ weights.transpose(1, 2)  # (N, C, 1)
        return x + self.transform(context[..., None, None])


class ReadAndWrite(nn.Module):
    """`x.sum()` and `x + 1`: the cost of reading a feature map, and of reading and writing it."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) → the same shape."""
        return x + (1 + 0 * x.sum())


def _compiled(kind: str, channels: int) -> nn.Module:
    return torch.compile(build_block(kind, channels), fullgraph=True)  # type: ignore[return-value]


def _pytorchvideo(channels: int) -> nn.Module:
    return create_nonlocal(dim_in=channels, dim_inner=channels // 2, instantiation="softmax")


BLOCKS: dict[str, Callable[[int], nn.Module]] = {
    "x.sum() and x + 1": lambda _channels: ReadAndWrite(),
    "gc": partial(build_block, "gc"),
    "gc, torch.compile": partial(_compiled, "gc"),
    "gc, literal": LiteralGlobalContext,
    "snl": partial(build_block, "snl"),
    "se": partial(build_block, "se"),
    "cc": partial(build_block, "cc"),
    "dnl": partial(build_block, "dnl"),
    "nl": partial(build_block, "nl"),
    "nl, pool 1×2×2": partial(build_block, "nl", pool=[1, 2, 2]),
    "nl, space": partial(build_block, "nl", span="space"),
    "nl, time": partial(build_block, "nl", span="time"),
    "nl, dot product": partial(build_block, "nl", pairwise="dot_product"),
    "nl, concatenation": partial(build_block, "nl", pairwise="concatenation"),
    "nl, gaussian": partial(build_block, "nl", pairwise="gaussian"),
    "nl, literal": LiteralNonLocal,
    "nl, pytorchvideo": _pytorchvideo,
}
