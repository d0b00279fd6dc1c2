"""How much the attention of each context block depends on the query, over a whole data set.

Cao et al., GCNet, 2019, table 1 (on COCO and Kinetics), here split into pairs of queries in
different frames and pairs in one frame. `study` says what each figure is.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class Estimate:
    """A mean over clips."""

    value: float
    low: float | None
    """lower end of the 95 % interval by bootstrap over videos; None with fewer than two"""
    high: float | None
    sampling_error: float
    """standard error that comes from taking some positions of each clip; 0 where all were taken"""


@dataclass(frozen=True)
class Pairs:
    """The mean over pairs of different positions of a clip."""

    overall: Estimate | None
    between: Estimate | None
    """over pairs in different frames; None where the feature map has one frame"""
    within: Estimate | None
    """over pairs in one frame; None where a frame has one position"""


@dataclass(frozen=True)
class BlockStudy:
    """One context block over all clips. What is None has its reason in `reasons`."""

    name: str
    """as in models.context.context_blocks, such as "res3.1" or "res3.1 after_1x1" """
    kind: str
    """nl, cc, gc, snl, se, or the class of a block of another kind"""
    form: str
    """the block in words, with the options that matter"""
    positions: tuple[int, int, int]
    """T', H', W' of its input; T' = 1 in an image network"""
    clips: int
    videos: int
    """that the intervals are drawn from; as many as clips where `study` was not told"""
    queries: int
    """positions taken of each clip; T'·H'·W' where all were"""
    reach: str
    """which keys a query of an NL block weighs: "all", "own frame", "own location"; "lines" of CC;
    "shared" where one map serves all positions; "" otherwise"""
    keys: int
    """how many those are, after pooling; 0 otherwise"""
    input: Pairs | None = None
    """cosine distance, 0…2, between positions of x (NL and CC)"""
    output: Pairs | None = None
    """cosine distance between positions of what the block adds to x (NL and CC)"""
    attention: Pairs | None = None
    """cosine distance between maps of queries (NL)"""
    divergence: Pairs | None = None
    """Jensen-Shannon divergence between maps of queries in nats, 0…log 2 (NL, both gaussians)"""
    entropy: Estimate | None = None
    """of a map, in nats: that of GC and SNL, the mean over queries of NL (both gaussians)"""
    entropy_share: Estimate | None = None
    """the same as a share of log(keys), its largest value: 1 where all keys weigh the same"""
    time_entropy_share: Estimate | None = None
    """entropy of the frames' total weights as a share of log T' (GC and SNL)"""
    time_centre: Estimate | None = None
    """mean time of the weights as a fraction of the clip, 0…1; 0.5 is the middle (GC and SNL)"""
    time_spread: Estimate | None = None
    """their standard deviation as a fraction of the clip; √(1/12 · (1 - 1/T'²)) = 0.29 where all
    frames weigh the same, 0 where one has all (GC and SNL)"""
    frame_weights: list[float] | None = None
    """share of each of the T' frames in the map, the mean over clips (GC and SNL)"""
    between_clips: Estimate | None = None
    """Jensen-Shannon divergence in nats between the maps of different clips (GC and SNL)"""
    reasons: dict[str, str] = field(default_factory=dict)
    """field → why it is None, in a phrase for the reader"""


def study(
    model: nn.Module,
    batches: Iterable[Tensor],
    *,
    positions: int = 256,
    seed: int = 0,
    videos: Sequence[Hashable] | None = None,
) -> list[BlockStudy]:
    """One BlockStudy for each context block, in network order.

    batches: prepared clips (N, C, T, H, W) on the model's device, each of any N.
    positions: queries of a clip that are compared with each other, at least 16.
    videos: which video each clip comes from; by default each is of its own.
    """
    raise NotImplementedError
