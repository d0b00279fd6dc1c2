"""Records of one context block over many clips: a few numbers per clip, and some maps."""

from math import log, prod

import numpy as np
import torch
from torch import Tensor, nn

from video_gc.analysis.attention.maps import keys_of_a_query, shares_map
from video_gc.analysis.attention.statistics import (
    cosine_distances,
    draw_positions,
    entropy,
    jensen_shannon,
    normalised,
    pair_means,
    row_divergences,
    wide,
)
from video_gc.analysis.attention.terms import SHARES, unary_maps, unary_shares
from video_gc.blocks import CrissCross, DisentangledNonLocal, NonLocal, QueryMaps, kind_of

MAPS_KEPT = 64
"""Number of clips whose maps are compared with each other."""
PAIRED = {
    "input": "input",
    "output": "output",
    "attention": "attention",
    "divergence": "JSD (nats)",
}
"""Fields of BlockStudy over pairs of positions, and their names in tables."""
ENTROPIES = ("entropy", "entropy_share")
UNARY = {
    "unary_share": "of the logits",
    "unary_share_time": "over time",
    "unary_share_space": "over space",
    "unary_divergence": "JSD to its map (nats)",
}
"""Fields of BlockStudy about the unary part, and their names in tables."""
SHARED = ("time_entropy_share", "time_centre", "time_spread", "frame_weights", "between_clips")
"""Fields of BlockStudy: for every map, and for the one map of GC and SNL."""
REACHES = {"spacetime": "all", "space": "own frame", "time": "own location"}
"""Span of an NL block → what a query reaches."""

Figures = dict[str, tuple[float, float]]
"""Field of BlockStudy → value for one clip, and the variance of its sampling error."""


class Record:
    """Of one block; `clips` has the figures of each clip, `maps` some of the shared maps."""

    def __init__(self, block: nn.Module, x: Tensor, positions: int, seed: tuple[int, int]) -> None:
        self.block, self.wanted, self.seed = block, positions, seed
        self.size = x.shape[2:]
        frames, height, width = [1] * (3 - len(self.size)) + list(self.size)
        self.positions = (frames, height, width)
        axes, self.reach = list(self.size), ""
        if isinstance(block, QueryMaps):
            first = torch.zeros(1, dtype=torch.long, device=x.device)
            axes = list(block.query_maps(x[:1], first).shape[2:])  # keys may be pooled
            self.reach = REACHES[block.span] if isinstance(block, NonLocal) else "all"
            if isinstance(block, CrissCross):
                self.reach = "lines"
        elif kind_of(block) == "se" or shares_map(block):
            self.reach = "shared"
        axes = [1] * (3 - len(axes)) + axes
        self.keys = keys_of_a_query(block, axes)
        self.key_frames = 1 if self.reach == "own frame" else axes[0]
        self.queries = prod(self.positions)
        self.reasons = _reasons(block, frames, self.keys, self.key_frames)
        self.clips: list[Figures] = []
        self.frame_weights = np.zeros(frames)
        self.maps: dict[int, np.ndarray] = {}

    def add(self, x: Tensor, added: list[Tensor], output: Tensor, *, first: int) -> None:
        """Add the clips of a batch; `first` is the number of its first clip in the study."""
        if x.shape[2:] != self.size:
            old, new = ("×".join(map(str, size)) for size in (self.size, x.shape[2:]))
            raise ValueError(
                f"clips of several sizes: a context block saw positions {old} and then {new}; "
                "study them apart"
            )
        for number, clip in enumerate(x.split(1)):
            random = np.random.default_rng([*self.seed, first + number])
            before, after = wide(clip), wide(output[number : number + 1])
            size = before.norm()
            figures = {"change": (float((after - before).norm() / size) if size else 0.0, 0.0)}
            if isinstance(self.block, QueryMaps):
                own = [z[number] for z in added] or [(after - before)[0].flatten(1)]
                figures |= self._query_figures(self.block, clip, own, random)
            elif shares_map(self.block):
                weights = normalised(self.block.attention_map(clip)[0].flatten())
                figures |= self._map_figures(weights.reshape(self.positions))
                self._keep(weights.cpu().numpy(), random)
            self.clips.append(figures)

    def _query_figures(
        self, block: QueryMaps, x: Tensor, added: list[Tensor], random: np.random.Generator
    ) -> Figures:
        frames, *space = self.positions
        sample = draw_positions(frames, prod(space), self.wanted, random)
        index = torch.from_numpy(sample.indices).to(x.device)
        self.queries = len(index)
        figures: Figures = {}
        outputs = wide(torch.stack([z[:, index] for z in added])).sum(0)
        distances = {
            "input": cosine_distances(x[0].flatten(1)[:, index].t()),
            "output": cosine_distances(outputs.t()),
        }
        if not isinstance(block, CrissCross):
            if isinstance(block, NonLocal | DisentangledNonLocal):
                weights = block.weights(x, index)[0]  # (Q, M), the keys in reach
            else:
                weights = block.query_maps(x, index)[0].flatten(1)
            distances["attention"] = cosine_distances(weights)
            if "divergence" not in self.reasons:
                distances["divergence"] = jensen_shannon(weights)
                figures = self._entropies(*self._over_queries(entropy(normalised(weights))))
                if isinstance(block, NonLocal | DisentangledNonLocal):
                    figures |= self._unary_figures(block, x, index, weights)
        for name, table in distances.items():
            for split, found in pair_means(table.cpu().numpy(), sample).items():
                figures[f"{name}.{split}"] = found
        return figures

    def _unary_figures(
        self, block: NonLocal | DisentangledNonLocal, x: Tensor, index: Tensor, weights: Tensor
    ) -> Figures:
        """What the unary part explains of the maps `weights` (Q, M) of some queries (Q,)."""
        figures: Figures = {}
        if isinstance(block, NonLocal):
            query, key, _ = (each[0] for each in block.grouped(x))
            shares = unary_shares(query, key, self.key_frames)
            figures = {n: (share, 0.0) for n, share in shares.items() if n not in self.reasons}
            groups, _ = block.group_of(index, x.shape[2:])
            every = unary_maps(query, key, block.scale)
            unary = every[groups.to(every.device)]
        else:
            unary = block.unary_weights(x).expand(len(index), -1)
        divergences = row_divergences(weights, unary)
        return figures | {"unary_divergence": self._over_queries(divergences)}

    def _over_queries(self, values: Tensor) -> tuple[float, float]:
        """The mean over the sampled queries, and the variance of its sampling error."""
        each = values.cpu().numpy()
        some = len(each) < prod(self.positions)
        return float(each.mean()), float(each.var(ddof=1) / len(each) * some)

    def _map_figures(self, attention: Tensor) -> Figures:
        weights = attention.sum((1, 2))  # of the frames
        frames = len(weights)
        figures = self._entropies(float(entropy(attention.flatten())))
        if frames > 1:
            times = (torch.arange(frames, dtype=torch.double, device=weights.device) + 0.5) / frames
            centre = (weights * times).sum()
            spread = (weights * (times - centre) ** 2).sum().clamp(min=0).sqrt()
            figures["time_entropy_share"] = (float(entropy(weights)) / log(frames), 0.0)
            figures["time_centre"], figures["time_spread"] = (float(centre), 0), (float(spread), 0)
            self.frame_weights += weights.cpu().numpy()
        return figures

    def _entropies(self, value: float, variance: float = 0.0) -> Figures:
        found = {"entropy": (float(value), float(variance))}
        if self.keys > 1:
            most = log(self.keys)
            found["entropy_share"] = (float(value) / most, float(variance) / most**2)
        return found

    def _keep(self, attention: np.ndarray, random: np.random.Generator) -> None:
        """Keep a map in a reservoir, with equal probability for every clip."""
        if len(self.clips) >= MAPS_KEPT:
            place = int(random.integers(len(self.clips) + 1))
            if place >= MAPS_KEPT:
                return
            del self.maps[sorted(self.maps)[place]]
        self.maps[len(self.clips)] = attention


def _reasons(block: nn.Module, frames: int, keys: int, key_frames: int) -> dict[str, str]:
    """The reasons for fields of BlockStudy that are None for this block.

    key_frames: number of frames with keys in a query's reach.
    """
    reasons = dict.fromkeys(SHARED, "each query has a map of its own")
    if isinstance(block, NonLocal):
        if not block.pairwise.endswith("gaussian"):
            why = f"the weights of {block.pairwise} are no distribution"
            reasons |= dict.fromkeys(("divergence", *ENTROPIES, *UNARY), why)
        if key_frames == 1:
            reasons.setdefault("unary_share_time", "the keys of a query are in one frame")
        if keys == key_frames:
            reasons.setdefault("unary_share_space", "the keys of a query are at one location")
    elif isinstance(block, DisentangledNonLocal):
        reasons |= dict.fromkeys(SHARES, "its unary term has a softmax of its own")
    elif isinstance(block, CrissCross):
        why = "a query weighs only its own lines, so the maps of two queries always differ"
        reasons |= dict.fromkeys(("attention", "divergence", *ENTROPIES, *UNARY), why)
    elif isinstance(block, QueryMaps):
        reasons |= dict.fromkeys(UNARY, f"the logits of {kind_of(block)} are unknown")
    elif shares_map(block):
        reasons = dict.fromkeys((*PAIRED, *UNARY), "all positions share one map and one context")
        if frames == 1:
            reasons |= dict.fromkeys(SHARED[:-1], "there is one frame")
    else:
        why = f"{kind_of(block)} tells no attention weights"
        if kind_of(block) == "se":
            why = "a plain mean: all positions weigh the same"
        reasons = dict.fromkeys((*PAIRED, *ENTROPIES, *UNARY, *SHARED), why)
    if keys == 1:
        for name in ("entropy_share", "unary_share"):
            reasons.setdefault(name, "there is one key only")
    return reasons
