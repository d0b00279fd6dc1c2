"""What is kept of a context block while clips go by: a few numbers a clip, and their means."""

from dataclasses import dataclass
from math import inf, log, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from video_gc.analysis.attention.distances import (
    cosine_distances,
    entropy,
    jensen_shannon,
    normalised,
    wide,
)
from video_gc.analysis.attention.hooks import kind_of
from video_gc.analysis.attention.intervals import mean_intervals, pair_interval
from video_gc.analysis.attention.maps import reached
from video_gc.analysis.attention.sampling import PairMeans, draw, pair_means
from video_gc.blocks import CrissCross, GlobalContext, NonLocal
from video_gc.blocks.layout import pooled_size

MAPS_KEPT = 64
"""Clips whose maps are compared with each other."""
LARGEST = dict.fromkeys(("input", "output", "attention"), 2.0) | {
    "divergence": log(2),
    "entropy_share": 1.0,
    "time_entropy_share": 1.0,
    "time_centre": 1.0,
    "time_spread": 0.5,
}
"""What no mean of a field can exceed, where there is such a bound; the least is 0 of all. An
interval ends there."""


@dataclass(frozen=True)
class Estimate:
    """A mean over clips."""

    value: float
    low: float | None
    """lower end of the 95 % interval by bootstrap over videos; None with fewer than two"""
    high: float | None
    sampling_error: float
    """standard error that comes from taking some positions of each clip (of `between_clips`: some
    clips); 0 where all were taken. The interval has it in it."""


@dataclass(frozen=True)
class Pairs:
    """The mean over pairs of different positions of a clip."""

    overall: Estimate | None
    between: Estimate | None
    """over pairs in different frames; None where the feature map has one frame"""
    within: Estimate | None
    """over pairs in one frame; None where a frame has one position"""


class Record:
    """Of one block; `add` takes a batch, `measures` gives the fields of a BlockStudy."""

    def __init__(self, block: nn.Module, x: Tensor, positions: int, seed: tuple[int, ...]) -> None:
        self.kind, self.form = kind_of(block), str(getattr(block, "extra_repr", str)())
        self.size = x.shape[2:]
        axes = [1] * (3 - len(self.size)) + list(self.size)
        self.positions = (prod(axes[:-2]), axes[-2], axes[-1])
        self.wanted, self.seed = positions, seed
        self.columns: dict[str, list[tuple[float, float]]] = {}
        self.profiles = np.zeros(self.positions[0])
        self.maps: dict[int, np.ndarray] = {}
        self.queries, self.reach = prod(self.positions), ""
        self.clips = 0
        self.reasons = _reasons(block, self.positions[0])
        if isinstance(block, NonLocal):
            axes = [1] * (3 - len(self.size)) + list(pooled_size(self.size, block.pool))
            reaches = {"spacetime": "all", "space": "own frame", "time": "own location"}
            self.reach = reaches[block.span]
        elif isinstance(block, CrissCross):
            self.reach = "lines"
        elif isinstance(block, GlobalContext):
            self.reach = "shared"
        self.keys = reached(block, axes)
        if self.keys == 1:
            self.reasons.setdefault("entropy_share", "there is one key only")

    def add(
        self, block: nn.Module, x: Tensor, added: list[Tensor], output: Tensor, *, first: int
    ) -> None:
        """The clips of a batch, the first of which is clip number `first` of the study."""
        if x.shape[2:] != self.size:
            old, new = ("×".join(map(str, size)) for size in (self.size, x.shape[2:]))
            raise ValueError(
                f"clips of several sizes: a context block saw positions {old} and then {new}; "
                "study them apart"
            )
        for number in range(len(x)):
            random = np.random.default_rng([*self.seed, first + number])
            one = x[number : number + 1]
            before = wide(one)
            change = (wide(output[number : number + 1]) - before).norm()
            self._keep("change", float(change / size) if (size := before.norm()) else 0.0)
            if isinstance(block, NonLocal | CrissCross):
                self._add_queries(block, one, [z[number] for z in added], random)
            elif isinstance(block, GlobalContext) and block.pool == "attention":
                weights = normalised(block.attention(one)[0].flatten())
                self._add_map(weights.reshape(self.positions), random)
            self.clips += 1

    def _add_queries(
        self,
        block: NonLocal | CrissCross,
        x: Tensor,
        added: list[Tensor],
        random: np.random.Generator,
    ) -> None:
        frames, *space = self.positions
        sample = draw(frames, prod(space), self.wanted, random)
        index = torch.from_numpy(sample.indices).to(x.device)
        self.queries = len(index)

        def keep(name: str, distances: Tensor) -> None:
            means: PairMeans = pair_means(distances.cpu().numpy(), sample)
            for split in ("overall", "between", "within"):
                found = getattr(means, split)
                if found is not None:
                    self._keep(f"{name}.{split}", *found)

        keep("input", cosine_distances(x[0].flatten(1)[:, index].t()))
        outputs = wide(torch.stack([z[:, index] for z in added])).sum(0)
        keep("output", cosine_distances(outputs.t()))
        if isinstance(block, CrissCross):
            return
        weights = block.weights(x, index)[0]  # (Q, M)
        keep("attention", cosine_distances(weights))
        if "divergence" not in self.reasons:
            keep("divergence", jensen_shannon(weights))
            entropies = entropy(normalised(weights)).cpu().numpy().reshape(sample.frames, -1)
            variance = 0.0
            if len(index) < prod(self.positions):
                variance = float(entropies.var(ddof=1) / entropies.size)
            self._keep_entropy(float(entropies.mean()), variance)

    def _add_map(self, attention: Tensor, random: np.random.Generator) -> None:
        weights = attention.sum((1, 2))  # of the frames
        frames = len(weights)
        times = (torch.arange(frames, dtype=torch.double, device=weights.device) + 0.5) / frames
        centre = (weights * times).sum()
        spread = (weights * (times - centre) ** 2).sum().clamp(min=0).sqrt()
        self._keep_entropy(float(entropy(attention.flatten())))
        if frames > 1:
            self._keep("time_entropy_share", float(entropy(weights)) / log(frames))
            self._keep("time_centre", float(centre))
            self._keep("time_spread", float(spread))
            self.profiles += weights.cpu().numpy()
        # a reservoir: each clip is as likely to be kept as any other
        if self.clips >= MAPS_KEPT:
            place = int(random.integers(self.clips + 1))
            if place >= MAPS_KEPT:
                return
            del self.maps[sorted(self.maps)[place]]
        self.maps[self.clips] = attention.flatten().cpu().numpy()

    def _keep_entropy(self, value: float, variance: float = 0.0) -> None:
        self._keep("entropy", value, variance)
        if self.keys > 1:
            self._keep("entropy_share", value / log(self.keys), variance / log(self.keys) ** 2)

    def _keep(self, name: str, value: float, variance: float = 0.0) -> None:
        self.columns.setdefault(name, []).append((value, variance))

    def measures(self, videos: np.ndarray, seed: int) -> dict[str, Any]:
        """The estimates by field of BlockStudy, with intervals over `videos` (clips,)."""
        found: dict[str, Any] = {}
        if self.columns:
            table = np.array(list(self.columns.values()))  # (K, clips, value and variance)
            values, errors = table[..., 0], np.sqrt(table[..., 1].sum(1)) / table.shape[1]
            lows: list[float | None] = [None] * len(table)
            highs = list(lows)
            if videos.max() > 0:
                most = LARGEST | {"entropy": log(max(self.keys, 1))}
                ends = [most.get(name.partition(".")[0], inf) for name in self.columns]
                low, high = np.clip(mean_intervals(values.T, videos, seed=seed), 0, ends)
                lows, highs = list(map(float, low)), list(map(float, high))
            estimates = {
                name: Estimate(float(value.mean()), low, high, float(error))
                for name, value, low, high, error in zip(
                    self.columns, values, lows, highs, errors, strict=True
                )
            }
            for field in ("input", "output", "attention", "divergence"):
                splits = [estimates.pop(f"{field}.{s}", None) for s in Pairs.__annotations__]
                found[field] = Pairs(*splits) if any(splits) else None
            found |= estimates
        if self.maps:
            found["between_clips"] = self._between_clips(videos, seed)
        return found

    def frame_weights(self) -> list[float] | None:
        """The mean share of each frame."""
        return list(map(float, self.profiles / self.clips)) if self.profiles.any() else None

    def _between_clips(self, videos: np.ndarray, seed: int) -> Estimate | None:
        kept = sorted(self.maps)
        _, numbers = np.unique(videos[kept], return_inverse=True)
        if numbers.max() < 1:
            self.reasons["between_clips"] = "there is one video only"
            return None
        maps = torch.from_numpy(np.stack([self.maps[clip] for clip in kept]))
        distances = jensen_shannon(maps).numpy()
        value, low, high = pair_interval(distances, numbers, seed=seed)
        error = 0.0
        if self.clips > len(kept):
            rows = distances.sum(1) / (len(kept) - 1)
            left = 1 - len(kept) / self.clips
            error = float(2 * np.sqrt(left * rows.var(ddof=1) / len(kept)))
        return Estimate(value, max(low, 0.0), min(high, log(2)), error)


def _reasons(block: nn.Module, frames: int) -> dict[str, str]:
    """Why fields of BlockStudy stay None for this block."""
    queries = ("input", "output", "attention", "divergence")
    maps = ("time_entropy_share", "time_centre", "time_spread", "frame_weights", "between_clips")
    entropies = ("entropy", "entropy_share")
    if isinstance(block, NonLocal):
        reasons = dict.fromkeys(maps, "each query has a map of its own")
        if not block.pairwise.endswith("gaussian"):
            why = f"the weights of {block.pairwise} are no distribution"
            reasons |= dict.fromkeys(("divergence", *entropies), why)
        return reasons
    if isinstance(block, CrissCross):
        why = "a query weighs its own lines alone, so maps of two queries differ by construction"
        return dict.fromkeys((*queries[2:], *entropies), why) | dict.fromkeys(
            maps, "each query has a map of its own"
        )
    if isinstance(block, GlobalContext) and block.pool == "attention":
        reasons = dict.fromkeys(queries, "all positions share one map and one context")
        if frames == 1:
            reasons |= dict.fromkeys(maps[:-1], "there is one frame")
        return reasons
    why = f"a block of class {type(block).__name__} has no attention that is known here"
    if isinstance(block, GlobalContext):
        why = "a plain mean: all positions weigh the same"
    return dict.fromkeys((*queries, *entropies, *maps), why)
