"""The panels in a picture of one clip: the maps of each block, and class activation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import prod

import torch
from torch import Tensor, nn

from video_gc.analysis.attention.maps import (
    attention_maps,
    class_activation,
    keys_of_a_query,
    query_maps,
    shares_map,
)
from video_gc.analysis.attention.queries import Query, grid
from video_gc.blocks import NonLocal, QueryMaps, kind_of
from video_gc.data.index import DataError
from video_gc.evaluate.ranking import probabilities
from video_gc.models.context import context_blocks

DRAWN = 5
"""Largest number of blocks in a picture if none are named."""
FINEST = 14
"""Most rows and columns of queries for a mean map, on at most MOST_FRAMES frames."""
MOST_FRAMES = 8
WEIGHTS_AT_ONCE = 4_000_000
"""Largest number of weights per call of `query_maps`."""
ACTIVATION = "class activation"
PEAK = 0.999
"""Quantile of the weights at which the colours end, so one outlier does not darken the rest."""


@dataclass
class Panel:
    """One column: a block, or class activation."""

    title: str
    subtitle: str
    maps: list[Tensor]
    """(T', H', W'), 0 or more: the shared or mean map, then the map of each query (NL, DNL, CC)"""
    unit: str = "uniform"
    """uniform: values are multiples of the uniform weight; share: of the largest value"""
    peak: float = field(init=False)
    """end of the colours: the 99.9 % quantile of all maps, at least 2 for uniform; the largest
    value for share"""

    def __post_init__(self) -> None:
        values = torch.cat([one.float().flatten() for one in self.maps])
        if self.unit == "share":
            self.peak = max(float(values.max()), 1e-12)
        else:
            rank = max(round(PEAK * len(values)), 1)
            self.peak = max(float(values.kthvalue(rank).values), 2.0)


def drawn_blocks(model: nn.Module, patterns: Sequence[str] = ()) -> list[str]:
    """The blocks that have maps and match `patterns`; by default at most 5 of them, evenly spaced.

    Raises ValueError for a pattern without a match, DataError if no block has a map.
    """
    blocks = context_blocks(model)
    mapped = [n for n, block in blocks.items() if isinstance(block, QueryMaps) or shares_map(block)]
    if not mapped:
        kinds = ", ".join(sorted({kind_of(block) for block in blocks.values()}))
        why = (
            f"the context blocks ({kinds}) have no attention weights"
            if kinds
            else "the network has no context blocks"
        )
        raise DataError(
            f"{why}, so there is none to show; train with context=nl, dnl, cc, gc or snl"
            + (", or add attention_map to your own block (docs/own_block.md)" if kinds else "")
        )
    if not patterns:
        places = torch.linspace(0, len(mapped) - 1, min(DRAWN, len(mapped))).round().long()
        return [mapped[place] for place in places.tolist()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in mapped):
            raise ValueError(f"--blocks ({pattern}): there are maps of {', '.join(mapped)}")
    return [name for name in mapped if any(fnmatchcase(name, one) for one in patterns)]


def block_panels(
    model: nn.Module, clip: Tensor, names: Sequence[str], queries: Sequence[Query]
) -> list[Panel]:
    """A panel for each of the blocks `names`, for one prepared clip (1, C, T, H, W).

    The first map is the shared one of GC and SNL, or the mean over a dense grid of queries of NL,
    DNL and CC. Weights are multiples of the uniform weight over the keys in a query's reach.
    """
    blocks = context_blocks(model)
    shared = attention_maps(model, clip)
    asked = {name: m for name, m in query_maps(model, clip, queries).items() if name in names}
    means = _mean_maps(model, clip, {name: one.shape[2:] for name, one in asked.items()})
    panels = []
    for name in names:
        block, said, unit = blocks[name], kind_of(blocks[name]), "uniform"
        maps = [shared[name][0]] if name in shared else [means[name], *asked[name][0]]
        if name in shared:
            said += ", shared map"
        elif isinstance(block, NonLocal) and not block.pairwise.endswith("gaussian"):
            said, unit = f"{said}, {block.pairwise}", "share"
        relative = [(m * keys_of_a_query(block, m.shape)).clamp(min=0).cpu() for m in maps]
        panels.append(Panel(name, said, relative, unit))
    return panels


def activation_panel(
    model: nn.Module, clip: Tensor, names: Sequence[str], *, multi_label: bool
) -> Panel:
    """The class-activation map of the network's best class, for a clip (1, C, T, H, W).

    Raises ImportError with the install command if captum is missing.
    """
    with torch.inference_mode():
        scores = probabilities(model(clip), multi_label=multi_label)
    best = scores.argmax(1)
    chosen = class_activation(model, clip, best)[0].cpu()
    said = f"{float(scores[0, best]):.0%} {names[int(best)]}"
    return Panel(ACTIVATION, said, [chosen], unit="share")


def _mean_maps(
    model: nn.Module, clip: Tensor, sizes: dict[str, Sequence[int]]
) -> dict[str, Tensor]:
    """Name → (T', H', W'), the mean over a grid of queries that covers the clip.

    sizes: T', H', W' of each block's keys. If a query reaches only a part of the clip, each
    position has the mean over the queries that reach it.
    """
    if not sizes:
        return {}
    blocks = context_blocks(model)
    count, *sides = (max(each) for each in zip(*sizes.values(), strict=True))
    side = max(sides)
    reached = {name: keys_of_a_query(blocks[name], size) for name, size in sizes.items()}
    whole = {name: prod(size) for name, size in sizes.items()}
    if reached == whole:  # each query weighs all positions, so a few queries are enough
        side, count = min(side, FINEST), min(count, MOST_FRAMES)
    queries = grid(side, side, [(number + 0.5) / count for number in range(count)])
    step = max(WEIGHTS_AT_ONCE // max(whole.values()), 1)
    sums: dict[str, Tensor] = {}
    for start in range(0, len(queries), step):
        maps = query_maps(model, clip, queries[start : start + step])
        for name in sizes:
            sums[name] = sums.get(name, torch.zeros(())) + maps[name][0].sum(0).cpu()
    return {  # divided by the share of the queries that reach a position
        name: total / len(queries) * whole[name] / reached[name] for name, total in sums.items()
    }
