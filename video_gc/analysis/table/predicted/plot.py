"""Seeds, means and intervals beside what was predicted, as SVG in a page."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from video_gc.analysis.table.predicted.matrix import panels
from video_gc.analysis.table.predicted.outcome import PREDICTED
from video_gc.analysis.table.table import Row
from video_gc.escape import readable
from video_gc.pictures.figures import svg

COLOURS = {"yes": "#15803d", "no": "#c2410c"}
OTHER, REGION = "#1c2733", "#15803d"
ACROSS = 3
"""Most panels side by side."""
PANEL = (3.9, 3.0)
"""Width and height, inches."""
SPREAD = 0.15
"""The seeds' points lie within so much of a row's place, which is 1 wide."""
MARGIN = 3.0
"""Per cent below the lowest value or bound."""


def prediction_plot(rows: Sequence[Row]) -> str | None:
    """A panel for each value of the first axis; None if no row is tested."""
    found = panels(rows)
    if not found:
        return None
    across = min(ACROSS, len(found))
    down = math.ceil(len(found) / across)
    figure = Figure(figsize=(PANEL[0] * across, PANEL[1] * down), layout="constrained")
    grid: Any = figure.subplots(down, across, sharey=True, squeeze=False)
    lowest = min(_lowest(row) for own in found.values() for _, row in own)
    places = list(grid.flat)
    for axes, (title, own) in zip(places, found.items(), strict=False):
        axes.set_title(readable(title), fontsize=10, parse_math=False)
        axes.set_ylim(max(lowest - MARGIN, -1.0), 101.0)
        for place, (_, row) in enumerate(own):
            _draw(axes, place, row)
        axes.set_xticks(range(len(own)), [readable(name) for name, _ in own], fontsize=8)
        axes.set_xlim(-0.6, len(own) - 0.4)
        for text in axes.get_xticklabels():
            text.set(parse_math=False, rotation=30, ha="right", rotation_mode="anchor")
        axes.grid(axis="y", alpha=0.3)
    for axes in places[len(found) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("top-1 of videos, %")
    return svg(figure, "predicted")


def _lowest(row: Row) -> float:
    said = row.predicted
    bounds = [] if said is None else [said.at_least, said.at_most]
    figure = row.figures[PREDICTED]
    low = [] if figure.over_seeds is None else [figure.over_seeds[0]]
    return min([*figure.values, *low, *(bound for bound in bounds if bound is not None)])


def _draw(axes: Any, place: int, row: Row) -> None:
    figure, said = row.figures[PREDICTED], row.predicted
    if said is not None:
        low = 0.0 if said.at_least is None else said.at_least
        high = 100.0 if said.at_most is None else said.at_most
        axes.bar(place, max(high - low, 0.4), 0.86, bottom=low, color=REGION, alpha=0.16, lw=0)
    colour = COLOURS.get(row.outcome.word, OTHER) if row.outcome else OTHER
    steps = max(len(figure.values) - 1, 1)
    offsets = [SPREAD * (2 * at / steps - 1) for at in range(len(figure.values))]
    axes.plot([place + x for x in offsets], figure.values, "o", mfc="none", color=colour, ms=4)
    if figure.over_seeds is not None:
        ends = [[figure.mean - figure.over_seeds[0]], [figure.over_seeds[1] - figure.mean]]
        axes.errorbar(place, figure.mean, ends, fmt="_", color=colour, ms=14, capsize=4, lw=1.5)
