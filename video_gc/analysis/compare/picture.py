"""A comparison as one picture: the resampled difference, the videos, the classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from video_gc.analysis.compare.runs import Changes, Comparison
from video_gc.escape import readable, short_name
from video_gc.outputs import output_path

GOOD, BAD, SOFT, DARK = "#15803d", "#c2410c", "#b6c2cd", "#5b6b7b"
CLASSES = 30
"""Classes that are drawn; of more, the half that lost most and the half that gained most."""

Row = tuple[str, int, float]
"""A class: name, videos, points that B gained."""


def draw_comparison(found: Comparison, classes: Sequence[Row], file: Path) -> Path:
    """classes: none for a multi-label set."""
    ranked = sorted(classes, key=lambda row: (row[2], row[0]))
    half = CLASSES // 2
    shown = ranked if len(ranked) <= CLASSES else [*ranked[:half], *ranked[-half:]]
    height = max(5.0, 1.8 + 0.24 * len(shown))
    figure = Figure(figsize=(13 if shown else 7, height), layout="constrained")
    parts: Any = figure.subfigures(1, 2) if shown else [figure]
    upper, lower = parts[0].subplots(2, 1, height_ratios=(2.4, 1))
    _draw_distribution(upper, found)
    if found.trainings == (1, 1) and found.changes is not None:
        _draw_videos(lower, found.changes, len(found.videos.paths))
    else:
        _draw_trainings(lower, found)
    if shown:
        _draw_classes(parts[1].subplots(), shown, len(ranked) - len(shown))
    with output_path(file) as part:
        figure.savefig(part, dpi=110)
    return file


def _draw_distribution(axes: Any, found: Comparison) -> None:
    name, first = next(iter(found.figures.items()))
    colour = DARK if found.word == "noise" else GOOD if first.difference > 0 else BAD
    # in bins of whole steps, or a difference of few videos would look like a comb
    least = 100 / len(found.videos.paths) / (len(found.a) * len(found.b))
    span = max(float(np.ptp(found.drawn)), least)
    step = least * max(1, round(span / 40 / least))
    low = found.drawn.min() - least / 2
    axes.hist(found.drawn, bins=low + step * np.arange(int(span / step) + 2), color=SOFT)
    axes.axvspan(first.low, first.high, color=colour, alpha=0.13, lw=0)
    axes.axvline(first.difference, color=colour, lw=2)
    axes.axvline(0, color="black", lw=1, ls=":")
    axes.set(yticks=[], xlabel=f"{name} of B − A, points: {len(found.drawn):,} resamples")
    axes.set_title(
        f"A: {readable(found.title_a)}   B: {readable(found.title_b)}\n"
        f"{first.difference:+.2f} points, 95 % interval {first.low:+.2f} to {first.high:+.2f}",
        loc="left",
        fontsize=11,
        parse_math=False,
    )


def _draw_videos(axes: Any, changes: Changes, videos: int) -> None:
    both = int(((changes.right_a == 1) & (changes.right_b == 1)).sum())
    neither = videos - both - changes.wins - changes.losses
    bars = [
        ("both right", both, SOFT),
        ("only A right", changes.losses, BAD),
        ("only B right", changes.wins, GOOD),
        ("both wrong", neither, DARK),
    ]
    names, counts, colours = zip(*bars, strict=True)
    drawn = axes.barh(names, counts, color=colours)
    axes.bar_label(drawn, padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel=f"videos; McNemar's test: p = {changes.test.mid_p:.2g}")


def _draw_trainings(axes: Any, found: Comparison) -> None:
    """Each run's figure: how far trainings of one network lie apart."""
    name, first = next(iter(found.figures.items()))
    for place, (figures, colour) in enumerate(((first.a, BAD), (first.b, GOOD))):
        axes.plot(figures, [place] * len(figures), "o", ms=8, alpha=0.6, color=colour)
        axes.plot(np.mean(figures), place, "|", ms=22, mew=2, color=colour)
    axes.set_yticks([0, 1], ["A", "B"])
    axes.set(ylim=(1.6, -0.6), xlabel=f"{name} of each run, per cent; | is the mean")
    axes.grid(axis="x", alpha=0.3)


def _draw_classes(axes: Any, shown: Sequence[Row], hidden: int) -> None:
    places = list(range(len(shown)))
    if hidden:  # a gap where classes are left out
        places = [place + (place >= CLASSES // 2) for place in places]
        axes.text(0, CLASSES // 2, f"… {hidden} classes between …", ha="center", va="center")
    points = [row[2] for row in shown]
    axes.barh(places, points, color=[GOOD if point > 0 else BAD for point in points])
    names = [f"{short_name(name)} ({videos})" for name, videos, _ in shown]
    axes.set_yticks(places, names, fontsize=8, parse_math=False)
    axes.axvline(0, color="black", lw=1)
    axes.grid(axis="x", alpha=0.3)
    axes.set(xlabel="points that B gained in each class (videos of the class)")
    axes.margins(y=0.01)
