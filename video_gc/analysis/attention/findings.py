"""What was found about a network's attention: in sentences, in tables, as a page and as JSON."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from video_gc.analysis.attention.replacements import Replacements
from video_gc.analysis.attention.statistics import Interval
from video_gc.analysis.attention.study import BlockStudy
from video_gc.analysis.html import data_uri, render
from video_gc.outputs import write_output

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
CONVENTION = (
    f"Our words for the cosine distance between the maps of two queries of a clip (0 the same, 1 "
    f"nothing in common): up to {HARDLY:g} attention hardly depends on the query, from "
    f"{CLEARLY:g} it clearly does, between them a little; two words where the 95 % interval "
    "crosses a border."
)
LIMITS = (
    "The numbers are of one trained network and one centre clip of each video: another training of "
    "the same kind can differ by more than the intervals, which know of videos only. A map that is "
    "the same for all queries can still differ from clip to clip, and attention is not "
    "explanation: what is weighed is not thereby used."
)
PAIRED = {
    "input": "input",
    "output": "output",
    "attention": "attention",
    "divergence": "JSD (nats)",
}
SHARED = {
    "entropy": "entropy (nats)",
    "entropy_share": "share of uniform",
    "time_entropy_share": "over frames",
    "time_centre": "mean time",
    "time_spread": "its spread",
}
"""Fields of BlockStudy and their names in tables: over pairs of positions, and of maps."""
EMBEDDED = 2_000_000
"""Bytes of the largest animation that is put into the page; larger ones are linked."""
ALL_EMBEDDED = 10_000_000
"""Bytes of all of them."""


@dataclass(frozen=True)
class Picture:
    """The files of one drawn video."""

    name: str
    """CLASS/file"""
    video: Path
    animation: Path


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that was found, and where it lies; attention.json has these fields."""

    checkpoint: str
    data: str
    videos: int
    """that were looked at"""
    listed: int
    """there were so many to choose from"""
    damaged: dict[str, str]
    """file → why it could not be read"""
    short: int
    """videos shorter than a clip; the last frame was repeated or they were looped"""
    seed: int
    blocks: list[BlockStudy]
    losses: Replacements | None
    answer: list[str]
    reading: list[str]
    pictures: list[Picture]
    files: list[Path]


def numbers(one: Interval | None) -> str:
    """0.020 (0.010–0.030), the interval left out where there is none; a dash for None.

    What is shown so is never negative: an interval that reaches below 0 is cut there.
    """
    if one is None:
        return "–"
    if one.low is None or one.high is None:
        return f"{one.value:.3f}"
    return f"{max(one.value, 0.0):.3f} ({max(one.low, 0.0):.3f}–{one.high:.3f})"


def percent(one: Interval | float | None) -> str:
    """A share, as `numbers`, in per cent."""
    return _hundredfold(one, ".1f", " %")


def points(one: Interval | None) -> str:
    """A difference of shares, with its sign, in percentage points."""
    return _hundredfold(one, "+.1f", " points")


def degree(one: Interval) -> str:
    """In words how far attention depends on the query, by both ends of its interval."""
    ends = [one.value] if one.low is None or one.high is None else [one.low, one.high]
    words = [
        "hardly depends" if end <= HARDLY
        else "clearly depends" if end >= CLEARLY
        else "depends a little"
        for end in ends
    ]  # fmt: skip
    return " or ".join(dict.fromkeys(words))


def untrained(block: BlockStudy) -> bool:
    """Whether a block does nothing yet, so that where it looks means nothing."""
    return block.change is not None and block.change.value < BARELY


def sentence(block: BlockStudy) -> str:
    """The answer for one block."""
    name, share = f"{block.name} ({block.kind})", block.entropy_share
    if block.change is not None and untrained(block):
        nothing = "almost nothing" if block.change.value > 0 else "nothing"
        size = f"{100 * block.change.value:.2g} % of its input's size"
        return f"{name} adds {nothing} yet ({size}): train longer"
    if block.attention is not None and block.attention.overall is not None:
        overall = block.attention.overall
        said = f"Attention of {name} {degree(overall)} on the query: {numbers(overall)}"
        if share is not None and share.value >= UNIFORM:
            said += f" (its maps are nearly uniform, entropy {share.value:.3f} of the largest, "
            said += "which alone keeps distances low)"
        return said
    if share is not None:
        return f"{name} has one map for all queries; its entropy is {numbers(share)} of the largest"
    return f"{name}: {block.reasons.get('attention', 'no statistics of its attention')}"


def answer(blocks: Sequence[BlockStudy]) -> list[str]:
    """The answer for the network in a line, then one for each block."""
    lines = [sentence(block) for block in blocks]
    trained = [block for block in blocks if not untrained(block)]
    if blocks and not trained:
        return ["The network looks untrained: no block adds anything to speak of yet.", *lines]
    asked = [b.attention.overall for b in trained if b.attention and b.attention.overall]
    if asked:
        counts = Counter(degree(one) for one in asked)
        parts = [f"{words} on the query in {count}" for words, count in counts.items()]
        which = " that add something" if len(trained) < len(blocks) else ""
        return [f"Of {len(asked)} blocks{which}, attention {', '.join(parts)}.", *lines]
    shared = sum(block.kind in ("gc", "snl") for block in blocks)
    if shared:
        head = f"{shared} blocks have" if shared > 1 else "The block has"
        lines.insert(0, f"{head} one map for all queries: attention cannot depend on the query.")
    return lines


def footing(videos: int, losses: Replacements | None) -> str:
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


def reading(blocks: Sequence[BlockStudy]) -> list[str]:
    """Sentences on what the numbers say and where they end."""
    said = [CONVENTION] if any(block.attention for block in blocks) else []
    for block in blocks:
        pairs = block.attention
        if pairs is None or pairs.between is None or pairs.within is None:
            continue
        named = [(pairs.between, "between frames"), (pairs.within, "within a frame")]
        less, more = sorted(named, key=lambda one: one[0].value)
        if less[0].high is not None and more[0].low is not None and less[0].high < more[0].low:
            said.append(
                f"In {block.name}, maps differ more {more[1]} ({more[0].value:.3f}) than "
                f"{less[1]} ({less[0].value:.3f}); their intervals do not overlap."
            )
    return [*said, LIMITS]


def write_findings(found: Findings, out: Path, *, scale: str) -> None:
    """Write OUT/attention.html and OUT/attention.json; animations lie beside them."""
    page = render(
        "attention/page.html.j2",
        found=found,
        paired=PAIRED,
        shared=SHARED | {"between_clips": "between clips (nats)"},
        numbers=numbers,
        percent=percent,
        points=points,
        pictures=_embedded(found.pictures, out),
        scale=scale,
    )
    write_output(out / "attention.html", page)
    text = json.dumps(asdict(found), indent=1, default=os.fspath)
    write_output(out / "attention.json", f"{text}\n")


def _embedded(pictures: Sequence[Picture], folder: Path) -> list[dict[str, str]]:
    """Names, links, and the source of each animation: itself while there is room, else its link."""
    left, rows = ALL_EMBEDDED, []
    for picture in pictures:
        link = source = os.path.relpath(picture.animation, folder)
        size = picture.animation.stat().st_size
        if size <= min(EMBEDDED, left):
            left -= size
            source = data_uri(picture.animation.read_bytes(), "webp")
        video = os.path.relpath(picture.video, folder)
        rows.append({"name": picture.name, "video": video, "animation": link, "source": source})
    return rows


def _hundredfold(one: Interval | float | None, form: str, unit: str) -> str:
    if one is None:
        return "–"
    if not isinstance(one, Interval):
        return f"{100 * one:{form}}{unit}"
    said = _hundredfold(one.value, form, unit)
    if one.low is None or one.high is None:
        return said
    return f"{said} ({100 * one.low:{form}} to {100 * one.high:{form}})"
