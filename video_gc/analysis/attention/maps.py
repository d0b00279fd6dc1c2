"""Where the context blocks look: the shared map of GC and SNL, the maps of chosen queries of NL and
CC."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.analysis.attention.hooks import watching
from video_gc.blocks import CrissCross, GlobalContext, NonLocal
from video_gc.blocks.layout import pooled_size


def attention_maps(model: nn.Module, clip: Tensor) -> dict[str, Tensor]:
    """The attention of every block with attention pooling, for a prepared clip (N, C, T, H, W).

    Name of the residual block → (N, T', H', W') at the resolution of its features; each map sums
    to 1 per clip. Empty where the network has no such block.
    """
    maps: dict[str, Tensor] = {}

    def look(name: str, block: nn.Module, x: Tensor, *_: object) -> None:
        if isinstance(block, GlobalContext) and block.pool == "attention":
            maps[name] = block.attention(x)

    with watching(model, look):
        model(clip)
    return maps


def query_maps(
    model: nn.Module, clip: Tensor, queries: Sequence[tuple[float, float, float]]
) -> dict[str, Tensor]:
    """The weights with which chosen positions look at all others, of every NL and CC block.

    clip: (N, C, T, H, W), prepared.
    queries: where they stand, as fractions (t, h, w) in [0, 1) of the block's feature map.

    Name of the residual block → (N, Q, T', H', W'), over the keys: where the block pools them, at
    the pooled size; 0 at keys that a query does not reach (`span` of NL, the lines of CC, whose
    first recurrence this is). A map sums to 1 but for the pairwise functions dot_product (any sign)
    and concatenation. Empty where the network has no such block.

    Raises ValueError for a query outside [0, 1).
    """
    for query in queries:
        if len(query) != 3 or not all(0 <= part < 1 for part in query):
            raise ValueError(f"query {query} must be three fractions (t, h, w) in [0, 1)")
    maps: dict[str, Tensor] = {}

    def look(name: str, block: nn.Module, x: Tensor, *_: object) -> None:
        if not isinstance(block, NonLocal | CrissCross):
            return
        axes = x.shape[2:]
        index = torch.tensor([position(query[-len(axes) :], axes) for query in queries])
        full = over_keys(block, x, index)
        maps[name] = full.reshape(*full.shape[:2], *[1] * (3 - len(axes)), *full.shape[2:])

    with watching(model, look):
        model(clip)
    return maps


def position(fractions: Sequence[float], axes: Sequence[int]) -> int:
    """The index in 0…P-1 of the position at these fractions of the axes."""
    index = 0
    for fraction, size in zip(fractions, axes, strict=True):
        index = index * size + min(int(fraction * size), size - 1)
    return index


def over_keys(block: NonLocal | CrissCross, x: Tensor, queries: Tensor) -> Tensor:
    """The weights of queries (Q,) over all keys, 0 at those out of reach: (N, Q, *keys)."""
    axes = x.shape[2:]
    if isinstance(block, CrissCross):
        return _over_lines(block, x, queries)
    size = pooled_size(axes, block.pool)
    weights = block.weights(x, queries)  # (N, Q, M)
    if block.span == "spacetime":
        return weights.unflatten(2, size)
    group, _ = block.group_of(queries, axes)
    frames, locations = prod(size[:-2]), prod(size[-2:])
    full = weights.new_zeros(len(x), len(queries), frames, locations)
    for number, which in enumerate(group.tolist()):  # pooling is 1 across groups: sizes agree
        if block.span == "space":
            full[:, number, which] = weights[:, number]
        else:
            full[:, number, :, which] = weights[:, number]
    return full.flatten(2).unflatten(2, size)


def _over_lines(block: CrissCross, x: Tensor, queries: Tensor) -> Tensor:
    axes = list(x.shape[2:])
    lines = block.attention(x).flatten(1, len(axes))[:, queries.to(x.device)]  # (N, Q, T + H + W)
    full = lines.new_zeros(len(x), len(queries), *axes)
    for number, query in enumerate(queries.tolist()):
        place: list[int | slice] = [
            query // prod(axes[axis + 1 :]) % size for axis, size in enumerate(axes)
        ]
        for axis, part in enumerate(lines[:, number].split(axes, dim=1)):
            line = (slice(None), number, *place[:axis], slice(None), *place[axis + 1 :])
            full[line] += part
    return full


def reached(block: nn.Module, keys: Sequence[int]) -> int:
    """How many of the keys (T', H', W') of a block one query weighs; 0 where it has no queries."""
    frames, height, width = keys
    if isinstance(block, CrissCross):
        return frames + height + width - 2
    if isinstance(block, NonLocal) and block.span != "spacetime":
        return height * width if block.span == "space" else frames
    return prod(keys) if isinstance(block, NonLocal | GlobalContext) else 0


def stretch(attention: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """One map (T', H', W') at the size (T, H, W) of the clip, scaled to 0…1 for drawing."""
    large = F.interpolate(attention[None, None], shape, mode="trilinear")[0, 0]
    low, high = large.min(), large.max()
    return (large - low) / (high - low).clamp(min=1e-12)
