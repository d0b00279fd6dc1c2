"""How much the attention of each context block depends on the query, over a whole data set.

Cao et al., GCNet, 2019, table 1 (on COCO and Kinetics), here split into pairs of queries in
different frames and pairs in one frame. `study` says what each figure is.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from video_gc.analysis.attention.hooks import watching
from video_gc.analysis.attention.intervals import number_videos
from video_gc.analysis.attention.record import Estimate, Pairs, Record
from video_gc.analysis.attention.sampling import LEAST
from video_gc.models.context import context_blocks

__all__ = ["BlockStudy", "Estimate", "Pairs", "study"]


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
    change: Estimate | None = None
    """‖y - x‖ / ‖x‖ of a block's input x and output y; 0 of a fresh block that adds"""
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
    """One BlockStudy for each context block, in network order; one forward pass a batch.

    batches: prepared clips (N, C, T, H, W) of one size on the model's device, any N; (N, C, H, W)
        for an image network. Wrap them in `progress.track` to see how far it is.
    positions: queries of a clip that are compared with each other, at least 16; all where the clip
        has no more. Memory grows by positions · P and never by P². Time grows by positions² · P,
        for the divergence; 64 is quick.
    seed: of the sampled positions and of the intervals. How the clips are batched changes nothing.
    videos: which video each clip comes from; by default each is of its own.

    With d(i, j) a distance between positions i and j of one clip, a figure is the mean of d over
    i ≠ j, then over clips. `Pairs.overall` takes all pairs; GCNet's table 1 has i = j among them,
    which makes it 1 - 1/P of ours. Its cosine distance is (1 - cos) / 2 as far as its text could be
    recalled, which could not be checked: then its numbers are half of ours. The three are taken of

    - input: x_i, what comes into the block;
    - output: what the block adds to x_i, so after W_z and its batch norm (of CC the sum over its
      recurrences); GCNet: the output before fusion;
    - attention: the weights f(x_i, ·) / C(x) over the keys that query i reaches. With span "space"
      those are the keys of its own frame and with "time" those of its own location, so that two
      queries are compared by how they look at their surroundings.

    Statistics are float64, whatever the model computes in. A map close to uniform is alike for all
    queries whatever else holds: read `entropy_share` beside the distances.

    Raises ValueError without clips, for clips of several sizes, for fewer than 16 positions, and
    where `videos` has another length than the clips.
    """
    if positions < LEAST:
        raise ValueError(f"positions ({positions}) must be at least {LEAST}")
    order = {name: number for number, name in enumerate(context_blocks(model))}
    records: dict[str, Record] = {}
    seen = 0

    def look(name: str, block: nn.Module, x: Tensor, added: list[Tensor], output: Tensor) -> None:
        if name not in records:
            records[name] = Record(block, x, positions, (seed, order[name]))
        records[name].add(block, x, added, output, first=seen)

    with watching(model, look):
        for batch in batches:
            model(batch)
            seen += len(batch)
    if not seen:
        raise ValueError("no clips to study")
    if videos is not None and len(videos) != seen:
        raise ValueError(f"videos names {len(videos)} clips, but there were {seen}")
    numbers = number_videos(range(seen) if videos is None else videos)
    return [
        BlockStudy(
            name=name,
            kind=record.kind,
            form=record.form,
            positions=record.positions,
            clips=seen,
            videos=int(numbers.max()) + 1,
            queries=record.queries,
            reach=record.reach,
            keys=record.keys,
            frame_weights=record.frame_weights(),
            **record.measures(numbers, seed),
            reasons=record.reasons,
        )
        for name, record in sorted(records.items(), key=lambda item: order[item[0]])
    ]
