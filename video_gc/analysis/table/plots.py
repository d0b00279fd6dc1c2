"""Accuracy against cost, and training curves, as SVG in a page."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from video_gc.analysis.table.accuracy import KINDS, pareto_front
from video_gc.analysis.table.table import Row, Table
from video_gc.escape import readable
from video_gc.pictures.figures import reader_fonts, svg

COLOURS = (
    "#1c2733", "#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#0e7490", "#be185d", "#4d7c0f",
    "#b45309", "#6b7280",
)  # fmt: skip
MARKERS = "osD^vPX"
SIZE = (5.4, 4.2)
NAMED = 12
"""Most rows whose names are written in a plot; with more, their numbers are."""
GREY = "#9aa8b5"
OFFSETS = [
    (sign_x * reach, sign_y * reach)
    for reach in (9, 18, 30, 45, 62)
    for sign_x, sign_y in ((1, 0.9), (1, -0.9), (-1, 0.9), (-1, -0.9), (0, 1.4), (0, -1.4))
]
"""Offsets from the marker tried in turn, in points."""
MARKER = 6.0
"""Half the side of a marker's area, in pixels of the figure."""
AXES: dict[str, tuple[str, Callable[[Row], float | None]]] = {
    "FLOPs": ("FLOPs (multiply-adds), G", lambda row: row.flops),
    "parameters": ("parameters, M", lambda row: row.parameters),
    "latency": (
        "latency of a test clip, ms",
        lambda row: 1000 * row.test.seconds if row.test else None,
    ),
}
Curves = dict[str, list[tuple[int, float]]]
"""metric → (epoch, value), as in the logs"""


def colour(place: int) -> str:
    """Style of a row, the same in every plot; the marker is unique among seventy."""
    return COLOURS[place % len(COLOURS)]


def accuracy_plots(table: Table) -> dict[str, str]:
    """Cost → SVG; only if some rows have both figures."""
    kind = "top1 video"
    if not any(kind in row.figures for row in table.rows):
        kind = "mAP video"
    found = {}
    for name, (label, cost) in AXES.items():
        points = [
            (place, cost_of, row)
            for place, row in enumerate(table.rows)
            if kind in row.figures and (cost_of := cost(row)) is not None
        ]
        if points:
            figure = _accuracy(points, kind, len(table.rows) <= NAMED)
            figure.axes[0].set(xlabel=label, ylabel=f"{KINDS[kind.split()[0]]} of videos, %")
            found[name] = svg(figure, f"pareto-{name}")
    return found


def curve_plots(names: Sequence[str], curves: Sequence[Sequence[Curves]]) -> dict[str, str]:
    """Heading → SVG. curves: for each row, of each seed; seeds are faint, their mean is bold."""
    metrics = {
        "train/loss": "training loss",
        "val/top1": "validation top-1, single clips, %",
        "val/mAP": "validation mAP, single clips, %",
    }
    found = {}
    for metric, label in metrics.items():
        if any(metric in one for row in curves for one in row):
            figure = _curves(names, curves, metric, 1 if metric.endswith("loss") else 100)
            figure.axes[0].set(xlabel="epoch", ylabel=label)
            found[label] = svg(figure, f"curve-{metric}")
    return found


def _accuracy(points: Sequence[tuple[int, float, Row]], kind: str, named: bool) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes: Any = figure.subplots()
    places = [(cost, row.figures[kind].mean) for _, cost, row in points]
    front = [places[at] for at in pareto_front(places)]
    if len(front) > 1:
        axes.step(*zip(*front, strict=True), where="post", color=GREY, ls="--", lw=1.2, zorder=1)
    for point, (at, _, row) in zip(places, points, strict=True):
        axes.errorbar(
            *point,
            yerr=row.figures[kind].error or None,
            fmt=_marker(at),
            color=colour(at),
            ms=7,
            capsize=3,
            elinewidth=1,
            markeredgecolor="black" if point in front else colour(at),
        )
    axes.margins(x=0.16, y=0.14)
    axes.xaxis.set_major_locator(MaxNLocator(4))  # long numbers would touch
    axes.grid(alpha=0.3)
    figure.draw_without_rendering()
    texts = [readable(row.name) if named else str(place + 1) for place, _, row in points]
    with reader_fonts():
        place_labels(axes, places, texts, [colour(place) for place, _, _ in points])
    return figure


def _curves(
    names: Sequence[str], curves: Sequence[Sequence[Curves]], metric: str, factor: float
) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes: Any = figure.subplots()
    for place, (name, seeds) in enumerate(zip(names, curves, strict=True)):
        lines = [dict(one[metric]) for one in seeds if one.get(metric)]
        if not lines:
            continue
        for line in lines if len(lines) > 1 else []:
            axes.plot(
                sorted(line),
                [factor * line[epoch] for epoch in sorted(line)],
                color=colour(place),
                alpha=0.22,
            )
        epochs = sorted(set.intersection(*(set(line) for line in lines)))
        means = [factor * fmean(line[epoch] for line in lines) for epoch in epochs]
        axes.plot(
            epochs,
            means,
            color=colour(place),
            marker=_marker(place) if len(epochs) <= 30 else None,
            ms=3.5,
            lw=1.8,
            label=f"{place + 1} {readable(name)}",
        )
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _marker(place: int) -> str:
    return MARKERS[place % len(MARKERS)]


def place_labels(
    axes: Any,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    colours: Sequence[str],
) -> None:
    """Write each text near its point, away from other texts and markers, with a line to the point.

    The axes must have been drawn, because their limits are needed. A text that fits nowhere stays
    at the first offset.
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
    """The box of the text alone; an annotation's own box includes its line."""
    label.update_positions(renderer)
    return Text.get_window_extent(label, renderer)
