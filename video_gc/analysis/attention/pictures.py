"""A clip under its attention maps: blocks side by side, a row for each query, as a moving picture.

Weights are drawn as multiples of the uniform weight, on a scale that starts at 0, so that a map
that is nearly uniform looks so; colours follow their square root, so that faint ones are seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from video_gc.analysis.animation import write_animation
from video_gc.analysis.attention.clips import View
from video_gc.analysis.attention.queries import Query
from video_gc.analysis.overlay import colour_bar, heat
from video_gc.decode.write import write_video
from video_gc.escape import readable
from video_gc.outputs import output_path

WIDTH = 1100
"""Pixels that the columns of a picture share."""
CELL = (144, 288)
"""Least and largest side of one panel, pixels."""
GAP, MARGIN, LINE, BAR = 6, 12, 18, 10
SIDE = 84
"""Pixels for the names of the rows."""
INK, SOFT, PAPER, CROSS = (28, 39, 51), (91, 107, 123), (255, 255, 255), (0, 229, 255)
RATES = (1.0, 8.0)
"""Slowest and fastest play, frames per second."""
SECONDS = 6.0
"""The video file repeats its clip up to here; players do not loop."""
PEAK = 0.999
"""Quantile of the weights at which the colours end: one odd position does not darken the rest."""


@dataclass(frozen=True)
class Panel:
    """One block, or one overlay, in a column of its own."""

    title: str
    subtitle: str
    maps: dict[int, Tensor]
    """row of the picture → (T', H', W'), 0 or more"""
    unit: str = "uniform"
    """uniform: values are multiples of the uniform weight; share: of the largest value"""

    def peak(self) -> float:
        """Where the colours end: the 99.9 % quantile of all rows' values; at least 2 of uniform."""
        values = torch.cat([one.float().flatten() for one in self.maps.values()])
        ends = float(values.kthvalue(max(round(PEAK * len(values)), 1)).values)
        return max(ends, 2.0) if self.unit == "uniform" else max(float(values.max()), 1e-12)


@dataclass(frozen=True)
class Drawing:
    """All that one picture shows."""

    title: str
    view: View
    rows: list[str]
    """their names; the maps of a panel stand in these rows"""
    queries: dict[int, Query]
    """row → the query whose maps stand there"""
    panels: list[Panel]
    peaks: list[float]
    """where the colours of each panel end"""
    scale: str = "video"
    """video: the colours end at this video's largest weights; common: at those of all drawn"""


def draw(drawing: Drawing) -> np.ndarray:
    """The frames of the picture, uint8 (T, height, width, 3), with even sizes."""
    view, columns = drawing.view, len(drawing.panels) + 1
    frames, height, width = view.frames.shape[:3]
    named = SIDE if drawing.queries else 0
    cell = int(np.clip((WIDTH - named) / columns - GAP, *CELL))
    high, wide = round(cell * height / max(height, width)), round(cell * width / max(height, width))
    clip = _scaled(view.frames, high, wide)
    head = MARGIN + LINE + 6 + 2 * LINE
    top = [head + row * (high + GAP) for row in range(len(drawing.rows))]
    left = [MARGIN + named + column * (cell + GAP) for column in range(columns)]
    bottom = head + len(drawing.rows) * (high + GAP)
    size = (
        _even(left[-1] + cell + MARGIN),
        _even(bottom + BAR + (3 if drawing.queries else 2) * LINE + MARGIN),
    )
    base = Image.new("RGB", size, PAPER)
    _draw_still(base, drawing, left, top, bottom, cell)
    heats = [
        {
            row: heat(clip, _stretched(one, peak, (frames, high, wide)))
            for row, one in panel.maps.items()
        }
        for panel, peak in zip(drawing.panels, drawing.peaks, strict=True)
    ]
    pictures = []
    for number in range(frames):
        picture = base.copy()
        pen = ImageDraw.Draw(picture)
        when = f"{view.times[number]:.2f} s, frame {number + 1} of {frames}"
        _text(pen, (size[0] - MARGIN, MARGIN), when, bold=True, anchor="ra")
        for row, y in enumerate(top):
            if row in drawing.queries or row == 0:
                picture.paste(Image.fromarray(clip[number]), (left[0], y))
            for column, maps in enumerate(heats, start=1):
                if row in maps:
                    picture.paste(Image.fromarray(maps[row][number]), (left[column], y))
            shown = {row: drawing.queries[row]} if row in drawing.queries else drawing.queries
            marked = [(int(q[0] * frames) == number, label, q) for label, q in shown.items()]
            for own, label, query in sorted(marked):  # those of this frame on top
                for column, x in enumerate(left):
                    if column == 0 or (row in drawing.queries and row in heats[column - 1]):
                        at = (x + query[2] * wide, y + query[1] * high)
                        _cross(pen, at, own, str(label) if row == 0 else "")
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def save(pictures: np.ndarray, times: np.ndarray, file: Path) -> tuple[Path, Path]:
    """Write FILE.mp4 and FILE.webp, in real time but at most 8 frames a second; their paths."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    rate = float(np.clip(1 / np.median(steps) if len(steps) else RATES[1], *RATES))
    rounds = max(round(SECONDS * rate / len(pictures)), 1)
    video = file.with_name(f"{file.name}.mp4")
    with output_path(video) as part:
        write_video(part, np.concatenate([pictures] * rounds), fps=rate)
    return video, write_animation(file.with_name(f"{file.name}.webp"), pictures, rate=rate)


def _draw_still(
    base: Image.Image,
    drawing: Drawing,
    left: Sequence[int],
    top: Sequence[int],
    bottom: int,
    cell: int,
) -> None:
    """What does not move: titles, names of rows, colour bars."""
    pen = ImageDraw.Draw(base)
    room = base.width - 2 * MARGIN - 190
    _text(pen, (MARGIN, MARGIN), _fit(drawing.title, room, bold=True), bold=True)
    head = MARGIN + LINE + 6
    _text(pen, (left[0], head), "clip", bold=True)
    if drawing.queries:
        _text(pen, (left[0], head + LINE), "with queries", colour=SOFT)
        for row, name in enumerate(drawing.rows):
            for line, part in enumerate(name.split("\n")):
                bold = line == 0
                at = (MARGIN, top[row] + 2 + line * LINE)
                _text(pen, at, part, bold=bold, colour=INK if bold else SOFT)
    bar = Image.fromarray(colour_bar(BAR, cell))
    for panel, peak, x in zip(drawing.panels, drawing.peaks, left[1:], strict=True):
        _text(pen, (x, head), _fit(panel.title, cell, bold=True), bold=True)
        _text(pen, (x, head + LINE), _fit(panel.subtitle, cell), colour=SOFT)
        base.paste(bar, (x, bottom))
        y = bottom + BAR + 2
        _text(pen, (x, y), "0", colour=SOFT)
        if panel.unit == "uniform":
            _text(pen, (x + cell, y), f"{peak:.3g}×", colour=SOFT, anchor="ra")
            mark = x + round(cell / peak**0.5)
            pen.line((min(mark, x + cell - 1), bottom - 3, min(mark, x + cell - 1), y), fill=INK)
            if 0.18 < peak**-0.5 < 0.6:
                _text(pen, (mark, y), "1×", colour=SOFT, anchor="ma")
        else:
            _text(pen, (x + cell, y), "largest", colour=SOFT, anchor="ra")
    whose = "of this video" if drawing.scale == "video" else "of all drawn videos"
    notes = [
        "Colours: the root of the weight, in multiples (×) of a uniform one; they end at the "
        f"block's largest {whose}."
    ]
    if drawing.queries:
        notes.append("Crosses: where a query stands; bright on its own frame, thin on the others.")
    for line, note in enumerate(notes, 1):
        at = (MARGIN, bottom + BAR + 2 + line * LINE + 4)
        _text(pen, at, _fit(note, base.width - 2 * MARGIN), colour=SOFT)


def _stretched(one: Tensor, peak: float, shape: tuple[int, int, int]) -> np.ndarray:
    large = F.interpolate(one[None, None].float(), shape, mode="trilinear")[0, 0]
    return (large / peak).clamp(0, 1).sqrt().cpu().numpy()


def _scaled(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    pictures = [Image.fromarray(frame).resize((width, height)) for frame in frames]
    return np.stack([np.asarray(picture) for picture in pictures])


def _cross(pen: ImageDraw.ImageDraw, at: tuple[float, float], own: bool, label: str) -> None:
    """A query: bright with a dark rim on its own frame, a thin grey one on the others."""
    x, y = at
    reach = 7 if own else 4
    lines = ((x - reach, y, x + reach, y), (x, y - reach, x, y + reach))
    for line in lines:
        pen.line(line, fill=(0, 0, 0), width=5 if own else 3)
    for line in lines:
        pen.line(line, fill=CROSS if own else (190, 200, 205), width=3 if own else 1)
    if label:
        font = _font(13, True)
        where = (x + 9, y - 15)
        pen.text(where, label, font=font, fill=PAPER, stroke_width=2, stroke_fill=(0, 0, 0))


def _text(
    pen: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    bold: bool = False,
    colour: tuple[int, int, int] = INK,
    anchor: str = "la",
) -> None:
    pen.text(at, readable(text), font=_font(13, bold), fill=colour, anchor=anchor)


def _fit(text: str, room: float, *, bold: bool = False) -> str:
    """As much of the text as fits into `room` pixels, with … for the rest."""
    text, font = readable(text), _font(13, bold)
    while len(text) > 1 and font.getlength(text) > room:
        text = text[:-2] + "…"
    return text


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings."""
    name = "DejaVu Sans:bold" if bold else "DejaVu Sans"
    return ImageFont.truetype(findfont(name), size)


def _even(number: int) -> int:
    return number + number % 2
