"""The statistics of attention in plain sentences, with what they cannot say."""

from collections.abc import Sequence

from video_gc.analysis.attention.losses import TOGETHER, Interval, Losses
from video_gc.analysis.attention.study import BlockStudy, Estimate, Pairs

HARDLY, CLEARLY = 0.05, 0.25
"""Cosine distance between the maps of two queries up to which attention hardly depends on the
query, and from which it clearly does. A convention of ours, said wherever it is used."""
UNIFORM = 0.98
"""Share of the largest entropy from which a map counts as nearly uniform."""
BARELY = 0.02
"""Change that a block makes, as a share of its input's size, below which it looks untrained: after
nine steps of the demo 0.002 to 0.009, in trained networks from 0.04 up."""
FEW = 20
"""Videos below which an interval is said to be rough."""
DEGREES = ("hardly depends", "depends a little", "clearly depends")
CONVENTION = (
    f"Our words for the cosine distance between the maps of two queries of a clip (0 the same, 1 "
    f"nothing in common): up to {HARDLY:g} attention hardly depends on the query, from "
    f"{CLEARLY:g} it clearly does, between them a little; two words where the 95 % interval "
    "crosses a border."
)


def numbers(one: Estimate | Interval | None) -> str:
    """0.020 (0.010–0.030), the interval left out where there is none; a dash for None.

    What is shown so is never negative: an interval that reaches below 0 is cut there.
    """
    if one is None:
        return "–"
    if one.low is None or one.high is None:
        return f"{one.value:.3f}"
    return f"{max(one.value, 0.0):.3f} ({max(one.low, 0.0):.3f}–{one.high:.3f})"


def percent(one: Interval | None) -> str:
    """A share, as `numbers`, in per cent."""
    return _hundredfold(one, ".1f", " %")


def points(one: Interval | None) -> str:
    """A difference of shares, with its sign, in percentage points."""
    return _hundredfold(one, "+.1f", " points")


def degree(one: Estimate) -> str:
    """In words how far attention depends on the query, by both ends of its interval."""
    ends = [one.value] if one.low is None or one.high is None else [one.low, one.high]
    found = [0 if end <= HARDLY else 2 if end >= CLEARLY else 1 for end in ends]
    words = [DEGREES[number] for number in dict.fromkeys(found)]
    return " or ".join([words[0], *words[-1:]]) if len(words) > 1 else words[0]


def untrained(block: BlockStudy) -> str | None:
    """That a block does nothing yet, so that where it looks means nothing; None where it does."""
    if block.change is None or block.change.value >= BARELY:
        return None
    nothing, still = "nothing yet", "those of the start"
    if block.change.value > 0:
        nothing = f"almost nothing yet ({100 * block.change.value:.2g} % of its input's size)"
        still = f"close to {still}"
    return (
        f"{block.name} ({block.kind}) adds {nothing}: its last weights are still {still}; "
        "train longer"
    )


def sentence(block: BlockStudy) -> str:
    """The answer for one block."""
    if nothing := untrained(block):
        return nothing
    name = f"{block.name} ({block.kind})"
    if block.attention is not None and block.attention.overall is not None:
        overall = block.attention.overall
        return (
            f"Attention of {name} {degree(overall)} on the query: {numbers(overall)}"
            f"{_split(block.attention)}{_uniform(block)}"
        )
    if block.entropy_share is not None and block.kind in ("gc", "snl"):
        said = (
            f"{name} has one map for all queries; its entropy is {numbers(block.entropy_share)} "
            "of a uniform map's"
        )
        if block.time_entropy_share is not None:
            said += f", over time {numbers(block.time_entropy_share)}"
        return said
    reason = block.reasons.get("attention") or "no statistics of its attention"
    return f"{name}: {reason}"


def answer(blocks: Sequence[BlockStudy]) -> list[str]:
    """The answer for the network in a line, then one for each block."""
    lines = [sentence(block) for block in blocks]
    fresh = [block for block in blocks if untrained(block)]
    if fresh and len(fresh) == len(blocks):
        return ["The network looks untrained: no block adds anything to speak of yet.", *lines]
    trained = [block for block in blocks if block not in fresh]
    asked = [b.attention.overall for b in trained if b.attention and b.attention.overall]
    if not asked:
        shared = [block for block in blocks if block.kind in ("gc", "snl")]
        head = f"{len(shared)} blocks have one map for all queries: none of them can depend on it."
        if len(shared) == 1:
            head = "The block has one map for all queries: it cannot depend on the query."
        return [head, *lines] if shared else lines
    worst, best = max(asked, key=lambda e: e.value), min(asked, key=lambda e: e.value)
    counts = {word: sum(degree(one) == word for one in asked) for word in DEGREES}
    parts = [f"{word} on the query in {count}" for word, count in counts.items() if count]
    rest = len(asked) - sum(counts.values())
    parts += [f"is not settled in {rest}"] if rest else []
    which = " that add something" if fresh else ""
    head = f"Of {len(asked)} blocks{which}, attention {', '.join(parts)}"
    head += f"; distances from {best.value:.3f} to {worst.value:.3f}."
    return [head, *lines]


def footing(videos: int, losses: Losses | None) -> str:
    """Over how many videos the intervals are, and whether that is too few for them."""
    if videos == 1:
        return "One video was looked at: there are no intervals."
    measured = losses.rows[0].clips if losses else videos
    said = f"95 % intervals are over {videos} videos"
    if measured != videos:
        said += f", those of the replacements over {measured}"
    if measured < FEW:
        said += f"; below about {FEW} an interval is rough: look at more before you trust its ends"
    return f"{said}."


def reading(blocks: Sequence[BlockStudy], losses: Losses | None, *, subset: bool) -> list[str]:
    """Sentences on what the numbers say and where they end."""
    said = []
    if any(block.attention for block in blocks):
        said.append(CONVENTION)
    for block in blocks:
        if block.attention and block.attention.between and block.attention.within:
            between, within = block.attention.between, block.attention.within
            if _apart(between, within):
                more, less = "between frames", "within a frame"
                if between.value < within.value:
                    more, less = less, more
                said.append(
                    f"In {block.name}, maps differ more {more} "
                    f"({max(between.value, within.value):.3f}) than {less} "
                    f"({min(between.value, within.value):.3f}); their intervals do not overlap."
                )
    if losses is not None:
        said += _losses_read(losses)
    error = max((_sampled(block.attention) for block in blocks), default=0.0)
    if error > 0:
        said.append(
            "Pairs of sampled positions stand for all pairs; that adds a standard error of at most "
            f"{error:.4f} to a distance."
        )
    said.append(
        "One centre clip of each video was looked at"
        + (", of a part of the videos" if subset else "")
        + ". The numbers are of this one trained network: another training of the same kind can "
        "differ by more than the intervals, which know of videos only. A map that is the same for "
        "all queries can still differ from clip to clip, and attention is not explanation: what "
        "is weighed is not thereby used."
    )
    return said


def _losses_read(losses: Losses) -> list[str]:
    whole = [one for one in losses.rows if one.block == TOGETHER] or losses.rows
    said = []
    for one in whole:
        what = "all NL blocks" if one.block == TOGETHER else one.block
        text = (
            f"With {what} replaced by {one.to.upper()}, logits move by {percent(one.relative)} and "
            f"the first class stays in {percent(one.agreement)} of {one.clips} clips"
        )
        if one.change is not None and one.before is not None and one.after is not None:
            text += f"; accuracy goes from {one.before:.1%} to {one.after:.1%}, "
            text += _change(one.change)
        said.append(f"{text}.")
    said.append(
        "A replacement is not trained again: what it costs is an upper bound of what the simpler "
        "block would cost if it were trained."
    )
    return said


def _change(one: Interval) -> str:
    said = f"a change of {points(one)}"
    if one.low is None or one.high is None:
        return said
    if one.low <= 0 <= one.high:
        return f"{said}, which chance can explain"
    return f"{said}, more than chance explains"


def _hundredfold(one: Interval | None, form: str, unit: str) -> str:
    if one is None:
        return "–"
    if one.low is None or one.high is None:
        return f"{100 * one.value:{form}}{unit}"
    return f"{100 * one.value:{form}}{unit} ({100 * one.low:{form}} to {100 * one.high:{form}})"


def _split(pairs: Pairs) -> str:
    if pairs.between is None or pairs.within is None:
        return ""
    return f"; between frames {numbers(pairs.between)}, within a frame {numbers(pairs.within)}"


def _uniform(block: BlockStudy) -> str:
    share = block.entropy_share
    if share is None or share.value < UNIFORM:
        return ""
    return (
        f" (its maps are nearly uniform, entropy {share.value:.3f} of the largest, which alone "
        "keeps distances low)"
    )


def _apart(one: Estimate, other: Estimate) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low > other.high or other.low > one.high


def _sampled(pairs: Pairs | None) -> float:
    return pairs.overall.sampling_error if pairs and pairs.overall else 0.0
