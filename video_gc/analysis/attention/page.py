"""The page on attention: statistics, maps and losses in one HTML file that needs no other."""

import base64
import os
from pathlib import Path

from video_gc.analysis.attention.examination import Examination
from video_gc.analysis.attention.study import BlockStudy, Estimate, Pairs
from video_gc.analysis.attention.words import numbers, percent, points
from video_gc.analysis.html import render
from video_gc.outputs import write_output

EMBEDDED = 2_000_000
"""Bytes of the largest animation that is put into the page; larger ones are linked."""
TOGETHER = 10_000_000
"""Bytes of all of them."""
FIGURES = (
    ("input", "input", "cosine distance"),
    ("output", "output", "cosine distance"),
    ("attention", "attention", "cosine distance"),
    ("divergence", "attention", "Jensen-Shannon, nats"),
)
"""Field of BlockStudy, what is compared, and by what."""
PARTS = ("overall", "between", "within")
SHARED = (
    ("entropy", "entropy, nats"),
    ("entropy_share", "share of the largest entropy"),
    ("time_entropy_share", "the same over frames"),
    ("time_centre", "mean time, 0…1"),
    ("time_spread", "spread over time"),
    ("between_clips", "between clips, nats"),
)


def write_page(done: Examination, file: Path, *, scale: str) -> Path:
    """Write the page of an examination; animations lie beside it."""
    asked = [block for block in done.blocks if block.input or block.attention]
    page = render(
        "attention/page.html.j2",
        done=done,
        scale=scale,
        pairs=[_rows_of(block) for block in asked],
        shared=[
            (block, [numbers(getattr(block, name)) for name, _ in SHARED])
            for block in done.blocks
            if block.entropy is not None
        ],
        shared_heads=[title for _, title in SHARED],
        plain=[block for block in done.blocks if block not in asked and block.entropy is None],
        pictures=_embedded(done, file.parent),
        percent=percent,
        points=points,
        numbers=numbers,
    )
    return write_output(file, page)


def _rows_of(block: BlockStudy) -> tuple[BlockStudy, list[tuple[str, str, list[object]]]]:
    rows: list[tuple[str, str, list[object]]] = []
    for name, what, unit in FIGURES:
        pairs: Pairs | None = getattr(block, name)
        cells = [_cell(getattr(pairs, part) if pairs else None, name) for part in PARTS]
        rows.append((what, unit, [*cells, block.reasons.get(name, "") if pairs is None else ""]))
    return block, rows


def _cell(one: Estimate | None, name: str) -> dict[str, object]:
    """The number in words, and its bar with the interval in per cent of the column."""
    if one is None:
        return {"text": "–", "bar": None}
    largest = 0.6931 if name == "divergence" else 1.0
    low, high = (one.value if end is None else end for end in (one.low, one.high))
    share = [min(max(end / largest, 0), 1) * 100 for end in (one.value, low, high)]
    return {"text": numbers(one), "bar": share}


def _embedded(done: Examination, folder: Path) -> list[dict[str, str]]:
    left, rows = TOGETHER, []
    for picture in done.pictures:
        row = {"name": picture.name, "video": os.path.relpath(picture.video, folder)}
        size = picture.animation.stat().st_size
        row["animation"] = os.path.relpath(picture.animation, folder)
        row["source"] = row["animation"]
        if size <= min(EMBEDDED, left):
            left -= size
            content = base64.b64encode(picture.animation.read_bytes()).decode()
            row["source"] = f"data:image/webp;base64,{content}"
        rows.append(row)
    return rows
