"""Names beside points of a plot that do not lie on each other."""

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

OFFSETS = [
    (sign_x * reach, sign_y * reach)
    for reach in (9, 18, 30, 45, 62)
    for sign_x, sign_y in ((1, 0.9), (1, -0.9), (-1, 0.9), (-1, -0.9), (0, 1.4), (0, -1.4))
]
"""Tried in turn, in points from the marker."""
MARKER = 6.0
"""Half the side of what a marker covers, in pixels of the figure."""


def place_labels(
    axes: Any,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    colours: Sequence[str],
) -> None:
    """Write each text near its point where no other text and no marker lies, with a line to it.

    The axes must have been drawn, for their limits. A text that fits nowhere stays at the first
    offset.
    """
    centres = axes.transData.transform(points)
    renderer = FigureCanvasAgg(axes.figure).get_renderer()
    taken = [Bbox.from_extents(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in centres]
    frame = axes.get_window_extent(renderer)
    for point, text, colour in zip(points, texts, colours, strict=True):
        label = axes.annotate(
            text,
            point,
            xytext=OFFSETS[0],
            textcoords="offset points",
            fontsize=8.5,
            color=colour,
            parse_math=False,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.6},
        )
        for offset in OFFSETS:
            _move(label, offset)
            box = _box(label, renderer)
            inside = frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
            if inside and not any(box.overlaps(other) for other in taken):
                break
        else:
            _move(label, OFFSETS[0])
        taken.append(_box(label, renderer))


def _move(label: Any, offset: tuple[float, float]) -> None:
    x, y = offset
    label.xyann = offset
    label.set_ha("left" if x > 0 else "right" if x < 0 else "center")
    label.set_va("bottom" if y > 0 else "top")


def _box(label: Any, renderer: Any) -> Bbox:
    """Of the text alone: an annotation's own box has its line in it, too."""
    label.update_positions(renderer)
    return Text.get_window_extent(label, renderer)
