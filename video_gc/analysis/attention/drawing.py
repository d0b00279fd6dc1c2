"""Draw a clip under its attention maps: a column per block, a row per query, animated.

Weights are multiples of the uniform weight, on a scale that starts at 0, so a nearly uniform map
looks uniform; colours follow their square root, so faint weights are visible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from video_gc.analysis.animation import write_animation
from video_gc.analysis.attention.panels import ACTIVATION, Panel
from video_gc.analysis.attention.queries import Query
from video_gc.analysis.clips import View
from video_gc.analysis.overlay import colour_bar, heat
from video_gc.decode.write import write_video
from video_gc.escape import readable
from video_gc.outputs import output_path
from video_gc.pictures.letters import text_width, write

WIDTH = 1100
"""Pixels shared by the columns of a picture."""
CELL = (144, 288)
"""Smallest and largest side of one panel, pixels."""
GAP, MARGIN, LINE, BAR = 6, 12, 18, 10
SIZE = 13
"""Of the letters, pixels."""
TITLE = MARGIN + LINE + 6
"""Top of the columns' titles, pixels."""
SIDE = 84
"""Width of the rows' names, pixels."""
INK, SOFT, PAPER, CROSS = (28, 39, 51), (91, 107, 123), (255, 255, 255), (0, 229, 255)
RATES = (1.0, 8.0)
"""Slowest and fastest rate, frames per second."""
SECONDS = 6.0
"""The video file repeats its clip up to this many seconds, because players do not loop."""


@dataclass(frozen=True)
class Drawing:
    """The content of one picture."""

    title: str
    view: View
    queries: Sequence[Query]
    """queries with a row each, below the row of the shared and mean maps"""
    panels: list[Panel]
    common: bool = False
    """the colours end at the largest weights of all drawn videos, not of this one"""

    @property
    def activation(self) -> str:
        """What class activation shows, for the text of a page: of which class; "" without it."""
        said = [f"{one.title}: {one.subtitle}" for one in self.panels if one.title == ACTIVATION]
        return said[0] if said else ""

    @property
    def row_names(self) -> list[str]:
        """Two lines each; one empty name without queries."""
        seconds = [self.view.times[int(q[0] * len(self.view.times))] for q in self.queries]
        named = [f"query {number}\n{time:.2f} s" for number, time in enumerate(seconds, 1)]
        return ["mean\nover queries", *named] if named else [""]


def share_scale(drawings: Sequence[Drawing]) -> None:
    """End the colours of each block at the same weight in all drawings."""
    for column in zip(*(drawing.panels for drawing in drawings), strict=True):
        largest = max(panel.peak for panel in column)
        for panel in column:
            if panel.unit == "uniform":
                panel.peak = largest


class _Layout:
    """Positions in the picture, pixels."""

    def __init__(self, drawing: Drawing) -> None:
        height, width = drawing.view.frames.shape[1:3]
        columns, rows = len(drawing.panels) + 1, len(drawing.row_names)
        named = SIDE if drawing.queries else 0
        self.cell = int(np.clip((WIDTH - named) / columns - GAP, *CELL))
        self.high, self.wide = (round(self.cell * s / max(height, width)) for s in (height, width))
        self.left = [MARGIN + named + column * (self.cell + GAP) for column in range(columns)]
        below = TITLE + 2 * LINE
        self.top = [below + row * (self.high + GAP) for row in range(rows)]
        self.bottom = below + rows * (self.high + GAP)
        notes = 3 if drawing.queries else 2
        right, end = self.left[-1] + self.cell, self.bottom + BAR + notes * LINE
        wide, high = (side + MARGIN + (side + MARGIN) % 2 for side in (right, end))
        self.size = (wide, high)


def draw(drawing: Drawing) -> np.ndarray:
    """The frames of the picture, uint8 (T, height, width, 3), with even sizes."""
    view, at = drawing.view, _Layout(drawing)
    clip = np.stack(
        [np.asarray(Image.fromarray(f).resize((at.wide, at.high))) for f in view.frames]
    )
    heats = [
        [heat(clip, _stretched(one, panel.peak, clip.shape[:3])) for one in panel.maps]
        for panel in drawing.panels
    ]
    base = Image.new("RGB", at.size, PAPER)
    _draw_still(base, drawing, at)
    pictures = []
    for number in range(len(clip)):
        picture = base.copy()
        when = f"{view.times[number]:.2f} s, frame {number + 1} of {len(clip)}"
        _text(picture, (picture.width - MARGIN, MARGIN), when, bold=True, align=1)
        for row, y in enumerate(at.top):
            columns = [0] + [c for c, maps in enumerate(heats, 1) if row < len(maps)]
            for column in columns:
                shown = heats[column - 1][row] if column else clip
                picture.paste(Image.fromarray(shown[number]), (at.left[column], y))
            marked = [
                (int(query[0] * len(clip)) == number, label, query)
                for label, query in enumerate(drawing.queries, 1)
                if row in (0, label)
            ]
            for own, label, query in sorted(marked):  # those on this frame on top
                for column in columns if row else [0]:
                    place = (at.left[column] + query[2] * at.wide, y + query[1] * at.high)
                    _cross(picture, place, own, "" if row else str(label))
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def save(pictures: np.ndarray, times: np.ndarray, file: Path) -> tuple[Path, Path]:
    """Write FILE.mp4 and FILE.webp, in real time but at most 8 frames a second; returns both."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    rate = float(np.clip(1 / np.median(steps) if len(steps) else RATES[1], *RATES))
    rounds = max(round(SECONDS * rate / len(pictures)), 1)
    video = file.with_name(f"{file.name}.mp4")
    with output_path(video) as part:
        write_video(part, np.concatenate([pictures] * rounds), fps=rate)
    return video, write_animation(file.with_name(f"{file.name}.webp"), pictures, rate=rate)


def _draw_still(base: Image.Image, drawing: Drawing, at: _Layout) -> None:
    """The static parts: titles, names of rows, colour bars, notes."""
    pen, room = ImageDraw.Draw(base), base.width - 2 * MARGIN
    _text(base, (MARGIN, MARGIN), drawing.title, bold=True, room=room - 190)
    _text(base, (at.left[0], TITLE), "clip", bold=True)
    if drawing.queries:
        _text(base, (at.left[0], TITLE + LINE), "with queries", colour=SOFT)
    for name, y in zip(drawing.row_names, at.top, strict=True):
        first, _, second = name.partition("\n")
        _text(base, (MARGIN, y + 2), first, bold=True)
        _text(base, (MARGIN, y + 2 + LINE), second, colour=SOFT)
    ends = at.bottom + BAR + 2
    for panel, x in zip(drawing.panels, at.left[1:], strict=True):
        _text(base, (x, TITLE), panel.title, bold=True, room=at.cell)
        _text(base, (x, TITLE + LINE), panel.subtitle, colour=SOFT, room=at.cell)
        base.paste(Image.fromarray(colour_bar(BAR, at.cell)), (x, at.bottom))
        largest = f"{panel.peak:.3g}×" if panel.unit == "uniform" else "largest"
        _text(base, (x, ends), "0", colour=SOFT)
        _text(base, (x + at.cell, ends), largest, colour=SOFT, align=1)
        if panel.unit == "uniform":
            mark = x + min(round(at.cell / panel.peak**0.5), at.cell - 1)
            pen.line((mark, at.bottom - 3, mark, ends), fill=INK)
            if 0.18 < panel.peak**-0.5 < 0.6:
                _text(base, (mark, ends), "1×", colour=SOFT, align=0.5)
    whose = "of all drawn videos" if drawing.common else "of this video"
    notes = [
        "Colours: the root of the weight, in multiples (×) of a uniform one; they end at the "
        f"block's largest {whose}."
    ]
    if drawing.queries:
        notes.append("Crosses: a query's position; bright on its own frame, thin on the others.")
    for line, note in enumerate(notes, 1):
        _text(base, (MARGIN, ends + line * LINE + 4), note, colour=SOFT, room=room)


def _stretched(one: Tensor, peak: float, shape: Sequence[int]) -> np.ndarray:
    large = F.interpolate(one[None, None].float(), list(shape), mode="trilinear")[0, 0]
    return (large / peak).clamp(0, 1).sqrt().cpu().numpy()


def _cross(picture: Image.Image, at: tuple[float, float], own: bool, label: str) -> None:
    """Draw a query: bright with a dark rim on its own frame, thin and grey on the others."""
    pen, (x, y) = ImageDraw.Draw(picture), at
    reach = 7 if own else 4
    for colour, width in (
        ((0, 0, 0), 5 if own else 3),
        (CROSS, 3) if own else ((190, 200, 205), 1),
    ):
        for line in ((x - reach, y, x + reach, y), (x, y - reach, x, y + reach)):
            pen.line(line, fill=colour, width=width)
    where = (x + 9, y - 15)
    write(picture, where, label, SIZE, PAPER, bold=True, rim=2)


def _text(
    picture: Image.Image,
    at: tuple[float, float],
    text: str,
    *,
    bold: bool = False,
    colour: tuple[int, int, int] = INK,
    align: float = 0.0,
    room: float = float("inf"),
) -> None:
    """Write as much of the text as fits into `room` pixels, with … for the rest."""
    text = readable(text)
    while len(text) > 1 and text_width(text, SIZE, bold=bold) > room:
        text = text[:-2] + "…"
    write(picture, at, text, SIZE, colour, bold=bold, align=align)
