"""What stands in a picture of one clip: the maps of each block, and the class-activation map."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from video_gc.analysis.attention.cam import class_activation
from video_gc.analysis.attention.hooks import kind_of
from video_gc.analysis.attention.maps import attention_maps, query_maps, reached
from video_gc.analysis.attention.pictures import Panel
from video_gc.analysis.attention.queries import Query, grid
from video_gc.blocks import CrissCross, NonLocal
from video_gc.data.index import DataError
from video_gc.models.context import context_blocks

DRAWN = 5
"""Most blocks in a picture when none are named."""
FINEST = 14
"""Most rows and columns, and MOST_FRAMES frames, of the queries that a mean map is taken over."""
MOST_FRAMES = 8
WEIGHTS_AT_ONCE = 4_000_000
"""Weights in one answer of `query_maps`."""


@dataclass(frozen=True)
class Rows:
    """The rows of a picture."""

    names: list[str]
    queries: dict[int, Query]


def drawn_blocks(model: nn.Module, patterns: Sequence[str] = ()) -> list[str]:
    """The blocks that have maps and match `patterns`; without any, at most 5 of them, evenly.

    Raises ValueError for a pattern that matches none, DataError where no block has a map.
    """
    blocks = context_blocks(model)
    mapped = [name for name, block in blocks.items() if kind_of(block) in ("nl", "cc", "gc", "snl")]
    if not blocks:
        raise DataError(
            "the network has no context blocks, so there is no attention to look at; train one "
            "with context=nl, cc, gc or snl"
        )
    if not mapped:
        kinds = ", ".join(sorted({kind_of(block) for block in blocks.values()}))
        raise DataError(
            f"the context blocks ({kinds}) weigh all positions alike, so there is no attention to "
            "look at; train with context=nl, cc, gc or snl"
        )
    if not patterns:
        places = torch.linspace(0, len(mapped) - 1, min(DRAWN, len(mapped))).round().long()
        return [mapped[place] for place in places.tolist()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in mapped):
            raise ValueError(f"--blocks ({pattern}): there are maps of {', '.join(mapped)}")
    return [name for name in mapped if any(fnmatchcase(name, one) for one in patterns)]


def picture_rows(
    model: nn.Module, names: Sequence[str], queries: Sequence[Query], times: Sequence[float]
) -> Rows:
    """One row for the shared or mean maps, and one for each query where a block has queries.

    times: when each frame of the clip is shown, seconds.
    """
    blocks = context_blocks(model)
    if not any(isinstance(blocks[name], NonLocal | CrissCross) for name in names):
        return Rows([""], {})
    shown = [f"query {n}\n{times[int(q[0] * len(times))]:.2f} s" for n, q in enumerate(queries, 1)]
    return Rows(["mean\nover queries", *shown], dict(enumerate(queries, 1)))


def block_panels(
    model: nn.Module, clip: Tensor, names: Sequence[str], queries: Sequence[Query]
) -> list[Panel]:
    """A panel for each of the blocks `names`, of one prepared clip (1, C, T, H, W).

    Row 0: the shared map of GC and SNL, the mean over a dense grid of queries of NL and CC; row n:
    the map of query n. Weights are multiples of the uniform weight over what a query reaches.
    """
    blocks = context_blocks(model)
    shared = attention_maps(model, clip)
    asked = query_maps(model, clip, queries)
    means = _mean_maps(model, clip, {name: one for name, one in asked.items() if name in names})
    panels = []
    for name in names:
        block, kind = blocks[name], kind_of(blocks[name])
        if name in shared:
            maps = {0: _relative(shared[name][0], block)}
            panels.append(Panel(name, f"{kind}, shared map", maps))
            continue
        maps = {0: _relative(means[name], block)}
        maps |= {row: _relative(one, block) for row, one in enumerate(asked[name][0], start=1)}
        if isinstance(block, NonLocal) and block.pairwise in ("dot_product", "concatenation"):
            panels.append(Panel(name, f"{kind}, {block.pairwise}", maps, unit="share"))
        else:
            panels.append(Panel(name, kind, maps))
    return panels


def activation_panel(model: nn.Module, clip: Tensor, names: Sequence[str]) -> Panel:
    """The class-activation map of the class that the network chooses, for a clip (1, C, T, H, W).

    Raises ImportError with the install line where captum is missing.
    """
    with torch.inference_mode():
        scores = model(clip).float().softmax(1)
    best = scores.argmax(1)
    chosen = class_activation(model, clip, best)[0].cpu()
    said = f"{float(scores[0, best]):.0%} {names[int(best)]}"
    return Panel("class activation", said, {0: chosen}, unit="share")


def _relative(weights: Tensor, block: nn.Module) -> Tensor:
    """A map (T', H', W') as multiples of the uniform weight over the keys that a query reaches."""
    return (weights * reached(block, weights.shape)).clamp(min=0).cpu()


def _mean_maps(model: nn.Module, clip: Tensor, asked: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name → (T', H', W'), the mean over a grid of queries that covers the clip.

    Where a query reaches a part of the clip only, over those that reach a position.
    """
    if not asked:
        return {}
    blocks = context_blocks(model)
    sizes = {name: one.shape[2:] for name, one in asked.items()}
    every = all(reached(blocks[name], size) == size.numel() for name, size in sizes.items())
    side = max(max(size[1:]) for size in sizes.values())
    count = max(size[0] for size in sizes.values())
    if every:  # each query says something of all positions, so some are enough
        side, count = min(side, FINEST), min(count, MOST_FRAMES)
    queries = grid(side, side, [(number + 0.5) / count for number in range(count)])
    step = max(WEIGHTS_AT_ONCE // max(size.numel() for size in sizes.values()), 1)
    sums: dict[str, Tensor] = {}
    for start in range(0, len(queries), step):
        for name, part in query_maps(model, clip, queries[start : start + step]).items():
            if name in asked:
                sums[name] = sums.get(name, torch.zeros(())) + part[0].sum(0).cpu()
    return {  # divided by the share of the queries that reach a position
        name: total / len(queries) * sizes[name].numel() / reached(blocks[name], sizes[name])
        for name, total in sums.items()
    }
