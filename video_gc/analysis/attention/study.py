"""How much the attention of each context block depends on the query, over a whole data set.

Cao et al., GCNet, 2019, table 1 (on COCO and Kinetics), here split into pairs of queries in
different frames and pairs in one frame. `study` says what each figure is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf, log
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from video_gc.analysis.attention.maps import observe_blocks
from video_gc.analysis.attention.record import Record
from video_gc.analysis.attention.statistics import (
    LEAST,
    Interval,
    jensen_shannon,
    mean_intervals,
    pair_interval,
)
from video_gc.analysis.attention.terms import SHARES
from video_gc.blocks import kind_of
from video_gc.models.context import context_blocks

LARGEST = {"input": 2.0, "output": 2.0, "attention": 2.0, "divergence": log(2), "time_spread": 0.5}
LARGEST |= dict.fromkeys(("entropy_share", "time_entropy_share", "time_centre", *SHARES), 1.0)
LARGEST["unary_divergence"] = log(2)
"""Upper bound of a field's means, if there is one; the lower bound is always 0. Intervals end
there."""


@dataclass(frozen=True)
class Estimate(Interval):
    """A mean over clips; the interval is by bootstrap over videos."""

    sampling_error: float
    """standard error due to sampling positions of each clip (clips, for `between_clips`); 0 if all
    were used. The interval includes it."""


@dataclass(frozen=True)
class Pairs:
    """The mean over pairs of different positions of a clip."""

    overall: Estimate | None = None
    between: Estimate | None = None
    """over pairs in different frames; None where the feature map has one frame"""
    within: Estimate | None = None
    """over pairs in one frame; None where a frame has one position"""


@dataclass(frozen=True)
class BlockStudy:
    """One context block over all clips. `reasons` explains each None."""

    name: str
    """as in models.context.context_blocks, such as "res3.1" or "res3.1 after_1x1" """
    kind: str
    """a key of blocks.BLOCKS, or the class name of another block"""
    form: str
    """the block in words, with its important options"""
    positions: tuple[int, int, int]
    """T', H', W' of its input; T' = 1 in an image network"""
    clips: int
    videos: int
    """also the number of videos: each has one clip"""
    queries: int
    """positions compared in each clip; T'·H'·W' if all"""
    reach: str
    """keys weighed by a query of an NL block: "all", "own frame", "own location"; "all" for DNL,
    "lines" for CC; "shared" if one map serves all positions; "" otherwise"""
    keys: int
    """number of those keys, after pooling; 0 otherwise"""
    change: Estimate | None = None
    """‖y - x‖ / ‖x‖ of a block's input x and output y; 0 for a new block that adds"""
    input: Pairs | None = None
    """cosine distance, 0…2, between positions of x (NL, DNL and CC)"""
    output: Pairs | None = None
    """cosine distance between positions of the block's addition to x (NL, DNL and CC)"""
    attention: Pairs | None = None
    """cosine distance between maps of queries (NL and DNL)"""
    divergence: Pairs | None = None
    """Jensen-Shannon divergence between maps of queries in nats, 0…log 2 (DNL; NL, both
    gaussians)"""
    unary_share: Estimate | None = None
    """share of the unary part in the variance of the logits over keys (NL, both gaussians; `terms`
    has the formula); 1: all queries have one map, 0: what they share is uniform"""
    unary_share_time: Estimate | None = None
    """the same, of the logits' means over frames"""
    unary_share_space: Estimate | None = None
    """the same, of the logits less these means"""
    unary_divergence: Estimate | None = None
    """Jensen-Shannon divergence in nats between the map of a query and that of the unary part
    alone (DNL: the unary term's), the mean over queries, 0…log 2 (DNL; NL, both gaussians)"""
    entropy: Estimate | None = None
    """entropy of a map, in nats: of GC and SNL, the mean over queries of DNL and NL (both
    gaussians)"""
    entropy_share: Estimate | None = None
    """entropy as a share of log(keys), its largest value: 1 if all keys have equal weights"""
    time_entropy_share: Estimate | None = None
    """entropy of the frames' total weights as a share of log T' (GC and SNL)"""
    time_centre: Estimate | None = None
    """mean time of the weights as a fraction of the clip, 0…1; 0.5 is the middle (GC and SNL)"""
    time_spread: Estimate | None = None
    """their standard deviation as a fraction of the clip: √(1/12 · (1 - 1/T'²)) for a uniform map,
    0 if one frame has all the weight (GC and SNL)"""
    frame_weights: list[float] | None = None
    """share of each of the T' frames in the map, the mean over clips (GC and SNL)"""
    between_clips: Estimate | None = None
    """Jensen-Shannon divergence in nats between the maps of different clips (GC and SNL)"""
    reasons: dict[str, str] = field(default_factory=dict)
    """field → reason for None, as a phrase for the reader"""


def study(
    model: nn.Module,
    batches: Iterable[Tensor],
    *,
    positions: int = 256,
    seed: int = 0,
) -> list[BlockStudy]:
    """One BlockStudy for each context block, in network order; one forward pass a batch.

    batches: prepared clips (N, C, T, H, W) of one size on the model's device, any N; (N, C, H, W)
        for an image network.
    positions: queries of a clip that are compared with each other, at least 16; all if the clip
        has no more. Memory is O(positions · P), never O(P²). Time is O(positions² · P), for the
        divergence; 64 is fast.
    seed: of the sampled positions and of the intervals. Batching does not change the results.

    With d(i, j) a distance between positions i and j of one clip, a figure is the mean of d over
    i ≠ j, then over clips. `Pairs.overall` uses all pairs; GCNet's table 1 includes i = j, which
    makes it 1 - 1/P of ours. Its cosine distance is probably (1 - cos) / 2, which we could not
    check; then its numbers are half of ours. The three distances are between

    - input: x_i, the block's input;
    - output: the block's addition to x_i, so after W_z and its batch norm (for CC the sum over its
      recurrences); GCNet: the output before fusion;
    - attention: the weights f(x_i, ·) / C(x) over the keys in the reach of query i. With span
      "space" those are the keys of its own frame and with "time" those of its own location, so two
      queries are compared by the weights of their surroundings.

    Statistics are float64, for any precision of the model. A nearly uniform map is equal for all
    queries in any case: read `entropy_share` beside the distances.

    Raises ValueError without clips, for clips of several sizes, and for fewer than 16 positions.
    """
    if positions < LEAST:
        raise ValueError(f"positions ({positions}) must be at least {LEAST}")
    order = {name: number for number, name in enumerate(context_blocks(model))}
    records: dict[str, Record] = {}
    seen = 0

    def look(name: str, block: nn.Module, x: Tensor, added: list[Tensor], output: Tensor) -> None:
        if name not in records:
            records[name] = Record(block, x, positions, (seed, order[name]))
        records[name].add(x, added, output, first=seen)

    with observe_blocks(model, look):
        for batch in batches:
            model(batch)
            seen += len(batch)
    if not seen:
        raise ValueError("no clips to study")
    return [_summary(name, records[name], seed) for name in order if name in records]


def _summary(name: str, record: Record, seed: int) -> BlockStudy:
    """The means over clips, with their intervals."""
    fields = list(record.clips[0])
    table = np.array([[figures[full] for full in fields] for figures in record.clips])
    values = table[..., 0]
    errors = np.sqrt(table[..., 1].sum(0)) / len(table)
    ends: list[list[Any]] = [[None] * len(fields)] * 2
    if len(values) > 1:
        most = LARGEST | {"entropy": log(max(record.keys, 1))}
        bounds = [most.get(full.partition(".")[0], inf) for full in fields]
        ends = np.clip(mean_intervals(values, seed=seed), 0, bounds).tolist()
    found: dict[str, Any] = {}
    pairs: dict[str, dict[str, Estimate]] = {}
    means = values.mean(0).tolist()
    for full, *estimate in zip(fields, means, *ends, errors.tolist(), strict=True):
        paired, _, split = full.partition(".")
        if split:
            pairs.setdefault(paired, {})[split] = Estimate(*estimate)
        else:
            found[full] = Estimate(*estimate)
    found |= {paired: Pairs(**splits) for paired, splits in pairs.items()}
    if record.frame_weights.any():
        found["frame_weights"] = (record.frame_weights / len(record.clips)).tolist()
    if record.maps:
        found["between_clips"] = _between_clips(record, seed)
    return BlockStudy(
        name=name,
        kind=kind_of(record.block),
        form=str(getattr(record.block, "extra_repr", str)()),
        positions=record.positions,
        clips=len(values),
        videos=len(values),
        queries=record.queries,
        reach=record.reach,
        keys=record.keys,
        **found,
        reasons=record.reasons,
    )


def _between_clips(record: Record, seed: int) -> Estimate | None:
    kept = sorted(record.maps)
    if len(kept) < 2:
        record.reasons["between_clips"] = "there is one video only"
        return None
    distances = jensen_shannon(torch.from_numpy(np.stack([record.maps[n] for n in kept]))).numpy()
    value, low, high = pair_interval(distances, seed=seed)
    error = 0.0
    if len(record.clips) > len(kept):
        rows = distances.sum(1) / (len(kept) - 1)
        left = 1 - len(kept) / len(record.clips)
        error = float(2 * np.sqrt(left * rows.var(ddof=1) / len(kept)))
    return Estimate(value, max(low, 0.0), min(high, log(2)), error)
