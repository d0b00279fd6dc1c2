"""The results about a network's attention as sentences, tables, a page and JSON."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

from video_gc.analysis.attention.record import PAIRED, UNARY
from video_gc.analysis.attention.replacements import Replacements
from video_gc.analysis.attention.statistics import Interval
from video_gc.analysis.attention.study import BlockStudy
from video_gc.analysis.html import data_uri, render
from video_gc.outputs import write_output

HARDLY, CLEARLY = 0.05, 0.25
"""Cosine distance between the maps of two queries up to which attention hardly depends on the
query, and from which it clearly does. Our convention, stated wherever it is used."""
UNIFORM = 0.98
"""Share of the largest entropy from which a map counts as nearly uniform."""
BARELY = 0.02
"""Change made by a block, as a share of its input's size, below which it looks untrained: 0.002 to
0.009 after nine steps of the demo, 0.04 and more in trained networks."""
FEW = 20
"""With fewer videos an interval is called rough."""
CONVENTION = (
    f"Words for the cosine distance between the maps of two queries of a clip (0 the same, 1 "
    f"nothing in common): up to {HARDLY:g} attention hardly depends on the query, from "
    f"{CLEARLY:g} it clearly does, between them a little; two words if the 95 % interval "
    "crosses a limit."
)
LIMITS = (
    "The numbers are from one trained network and one centre clip of each video. Another training "
    "of the same kind can differ by more than the intervals, which cover videos only. A map "
    "that is the same for all queries can still differ from clip to clip. Attention does not "
    "explain a prediction: a position with a large weight need not be used."
)
SHARED = {
    "entropy": "entropy (nats)",
    "entropy_share": "share of uniform",
    "time_entropy_share": "over frames",
    "time_centre": "mean time",
    "time_spread": "its spread",
}
"""Fields of BlockStudy about maps, and their names in tables."""
EMBEDDED = 2_000_000
"""Largest animation embedded in the page, bytes; larger ones are linked."""
ALL_EMBEDDED = 10_000_000
"""Largest sum of the embedded animations, bytes."""


@dataclass(frozen=True)
class Picture:
    """The files of one drawn video."""

    name: str
    """CLASS/file"""
    activation: str
    """the class whose activation is drawn, and its score; "" if none is"""
    video: Path
    animation: Path


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All results and their paths; attention.json has these fields."""

    checkpoint: str
    data: str
    videos: int
    """examined videos"""
    listed: int
    """number of available videos"""
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
    """0.020 (0.010–0.030); without an interval if there is none; a dash for None.

    The quantities are never negative, so an interval is cut at 0.
    """
    return _written(one, ".3f", "–", least=0.0)


def percent(one: Interval | float | None) -> str:
    """A share in per cent, formatted as in `numbers`."""
    return _written(one, ".1f", " to ", factor=100, unit=" %")


def points(one: Interval | None) -> str:
    """A signed difference of shares, in percentage points."""
    return _written(one, "+.1f", " to ", factor=100, unit=" points")


def degree(one: Interval) -> str:
    """How much attention depends on the query, in words, from both ends of its interval."""
    words = [
        "hardly depends" if end <= HARDLY
        else "clearly depends" if end >= CLEARLY
        else "depends a little"
        for end in one.ends or [one.value]
    ]  # fmt: skip
    return " or ".join(dict.fromkeys(words))


def answer(blocks: Sequence[BlockStudy]) -> list[str]:
    """The number of blocks whose attention depends on the query, then a line for each block.

    What is true of all blocks is said once.
    """
    judged = [_judge(block) for block in blocks]
    counts = Counter(words for words, _ in judged)
    head = "; ".join(f"{said} in {n} of {len(blocks)} blocks" for said, n in counts.items())
    lines = []
    for words, number in counts.items():
        own = [
            (f"{block.name} ({block.kind})", basis)
            for block, (said, basis) in zip(blocks, judged, strict=True)
            if said == words
        ]
        if len(counts) == 1 or number > 1:
            each = [f"{block}: {basis}" for block, basis in own]
            together = f"{words[:1].upper()}{words[1:]}: {'; '.join(each)}"
            lines += each if len(counts) == 1 else [together]
        else:
            lines += [f"{block}: {words}: {basis}" for block, basis in own]
    return [f"{head[:1].upper()}{head[1:]}.", *lines]


def _judge(block: BlockStudy) -> tuple[str, str]:
    """The answer for one block, in words shared with other blocks, and its basis."""
    change, share = block.change, block.entropy_share
    if change is not None and change.value < BARELY:
        size = f"{100 * change.value:.2g} % of its input's size; train longer"
        return f"{'almost ' if change.value else ''}nothing is added yet", size
    if block.attention is not None and block.attention.overall is not None:
        said = numbers(block.attention.overall)
        if block.unary_share is not None:
            said += f"; the unary part is {percent(block.unary_share)} of the logits' variance"
        if share is not None and share.value >= UNIFORM:
            said += f"; its maps are nearly uniform (entropy {share.value:.3f} of the largest), "
            said += "which by itself keeps distances low"
        return f"attention {degree(block.attention.overall)} on the query", said
    if share is not None:
        return "one map for all queries", f"entropy {numbers(share)} of the largest"
    return "no distances between maps", block.reasons["attention"]


def footing(videos: int, losses: Replacements | None) -> str:
    """The number of videos behind the intervals, and whether it is too small."""
    if videos == 1:
        return "One video was examined: there are no intervals."
    measured = losses.rows[0].clips if losses else videos
    said = f"95 % intervals are over {videos} videos"
    if measured != videos:
        said += f", those of the replacements over {measured}"
    if measured < FEW:
        said += f"; below about {FEW} an interval is rough: examine more videos"
    return f"{said}."


def write_findings(found: Findings, out: Path, *, scale: str) -> None:
    """Write OUT/attention.html and OUT/attention.json, which link to animations beside them."""
    page = render(
        "attention/page.html.j2",
        found=found,
        paired=PAIRED,
        unary=UNARY,
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
    """Names, links, and the source of each animation: embedded while there is room, else a link."""
    left, rows = ALL_EMBEDDED, []
    for picture in pictures:
        link = source = os.path.relpath(picture.animation, folder)
        size = picture.animation.stat().st_size
        if size <= min(EMBEDDED, left):
            left -= size
            source = data_uri(picture.animation.read_bytes(), "webp")
        video = os.path.relpath(picture.video, folder)
        row = {"name": picture.name, "activation": picture.activation, "video": video}
        rows.append(row | {"animation": link, "source": source})
    return rows


def _written(
    one: Interval | float | None,
    form: str,
    to: str,
    *,
    factor: float = 1,
    unit: str = "",
    least: float = -inf,
) -> str:
    """A figure and its interval; a dash for None."""
    if one is None:
        return "–"
    value, ends = (one.value, one.ends) if isinstance(one, Interval) else (one, [])
    said, *interval = (f"{factor * max(each, least):{form}}" for each in (value, *ends))
    return f"{said}{unit}" + (f" ({to.join(interval)})" if interval else "")
