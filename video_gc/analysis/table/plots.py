"""Accuracy against cost, and training curves, as SVG that stands in a page."""

import io
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from video_gc.analysis.table.colours import colour, marker
from video_gc.analysis.table.labels import place_labels
from video_gc.analysis.table.pareto import pareto_front
from video_gc.analysis.table.table import Row, Table
from video_gc.escape import readable

NAMED = 12
"""Rows whose names stand in a plot; of more, their numbers."""
GREY = "#9aa8b5"
AXES: dict[str, tuple[str, Callable[[Row], float | None]]] = {
    "FLOPs": ("FLOPs (multiply-adds), G", lambda row: row.flops),
    "parameters": ("parameters, M", lambda row: row.parameters),
    "latency": (
        "latency of a test clip, ms",
        lambda row: 1000 * row.test.seconds if row.test else None,
    ),
}
Curves = dict[str, list[tuple[int, float]]]
"""metric → (epoch, value), as the logs have them"""


def accuracy_plots(table: Table) -> dict[str, str]:
    """What it costs → SVG; only where some rows have both figures."""
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
            figure.axes[0].set(xlabel=label, ylabel=f"{_title(kind)} of videos, %")
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


def svg(figure: Figure, salt: str) -> str:
    """The figure as an <svg> element; salt: so that no two of a page share an id."""
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _accuracy(points: Sequence[tuple[int, float, Row]], kind: str, named: bool) -> Figure:
    figure = Figure(figsize=(5.4, 4.2), layout="constrained")
    axes: Any = figure.subplots()
    places = [(cost, row.figures[kind].mean) for _, cost, row in points]
    front = [places[at] for at in pareto_front(places)]
    if len(front) > 1:
        axes.step(*zip(*front, strict=True), where="post", color=GREY, ls="--", lw=1.2, zorder=1)
    for at, (cost, mean), (_, _, row) in zip(
        [place for place, _, _ in points], places, points, strict=True
    ):
        error = row.figures[kind].error
        axes.errorbar(
            cost,
            mean,
            yerr=error or None,
            fmt=marker(at),
            color=colour(at),
            ms=7,
            capsize=3,
            elinewidth=1,
            markeredgecolor="black" if (cost, mean) in front else colour(at),
        )
    axes.margins(x=0.16, y=0.14)
    axes.grid(alpha=0.3)
    figure.draw_without_rendering()
    texts = [readable(row.name) if named else str(place + 1) for place, _, row in points]
    place_labels(axes, places, texts, [colour(place) for place, _, _ in points])
    return figure


def _curves(
    names: Sequence[str], curves: Sequence[Sequence[Curves]], metric: str, factor: float
) -> Figure:
    figure = Figure(figsize=(5.4, 4.2), layout="constrained")
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
            marker=marker(place) if len(epochs) <= 30 else None,
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


def _title(kind: str) -> str:
    return "mAP" if kind.startswith("mAP") else "top-1"
