"""A comparison as files: compare.json, changes.csv, classes.csv and compare.png."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from video_gc.analysis.compare.comparison import Changes, Comparison
from video_gc.escape import readable, short_name
from video_gc.evaluate.plots import save
from video_gc.outputs import write_csv, write_output

GOOD, BAD, SOFT, DARK = "#15803d", "#c2410c", "#b6c2cd", "#5b6b7b"
CLASSES = 30
"""Most classes drawn; of more, half are those with the largest losses, half with the gains."""


class ClassChange(NamedTuple):
    """The changes in a class."""

    name: str
    videos: int
    a: float
    """share right in A, mean over the runs"""
    b: float
    points: float
    """that B gained"""
    wins: int
    losses: int


def write_comparison(found: Comparison, out: Path | None = None) -> list[Path]:
    """Write the results; return their paths.

    out: by default compare_with_A in the directory of the first run of B.
    """
    name = f"compare_with_{found.titles[0]}".replace("/", "_").replace(" ", "_")
    out = out or found.b[0].home / name
    files = [write_output(out / "compare.json", json.dumps(_summary(found), indent=2))]
    classes: list[ClassChange] = []
    if found.changes is not None:
        classes = class_changes(found.videos.labels, found.changes)
        header = ["outcome", "path", "label", "a", "b", "a_right", "b_right"]
        files.append(write_csv(out / "changes.csv", header, _changed_videos(found, found.changes)))
        lines = [
            [c.name, c.videos, f"{c.a:.4f}", f"{c.b:.4f}", f"{c.points:+.2f}", c.wins, c.losses]
            for c in sorted(classes, key=lambda c: -c.points)
        ]
        header = ["class", "videos", "a", "b", "points", "wins", "losses"]
        files.append(write_csv(out / "classes.csv", header, lines))
    return [*files, draw_comparison(found, classes, out / "compare.png")]


def class_changes(labels: Sequence[str], changes: Changes) -> list[ClassChange]:
    """Each class that occurs, by name."""
    found = []
    names, numbers = np.unique(labels, return_inverse=True)
    for number, name in enumerate(names):
        a, b = (side[numbers == number] for side in (changes.right_a, changes.right_b))
        shares = float(a.mean()), float(b.mean())
        points = 100 * (shares[1] - shares[0])
        wins, losses = int((b > a).sum()), int((b < a).sum())
        found.append(ClassChange(str(name), len(a), *shares, points, wins, losses))
    return found


def _summary(found: Comparison) -> dict[str, object]:
    """Shares are in per cent, differences and intervals in points."""
    files = [str(run.file) for run in (*found.a, *found.b)]
    summary: dict[str, object] = {
        "verdict": found.verdict,
        "warnings": found.warnings,
        "a": files[: len(found.a)],
        "b": files[len(found.a) :],
        "videos": len(found.videos.paths),
        "left_out": dict(zip(files, found.videos.left_out, strict=True)),
        "figures": {
            name: asdict(each) | {"difference": each.difference}
            for name, each in found.figures.items()
        },
        "resamples": len(found.drawn),
    }
    if (changes := found.changes) is not None:
        summary |= {"wins": changes.wins, "losses": changes.losses, "mcnemar": asdict(changes.test)}
    return summary


def _changed_videos(found: Comparison, changes: Changes) -> list[list[str]]:
    """Wins, then losses, the clearest first; each side's class, and how often it was right."""
    gain = changes.right_b - changes.right_a
    order = np.lexsort((-np.abs(gain), -np.sign(gain)))
    return [
        [
            "win" if gain[row] > 0 else "loss",
            *(each[row] for each in (found.videos.paths, found.videos.labels)),
            *(each[row] for each in (changes.said_a, changes.said_b)),
            *(f"{share[row]:.4g}" for share in (changes.right_a, changes.right_b)),
        ]
        for row in order.tolist()
        if gain[row]
    ]


def draw_comparison(found: Comparison, classes: Sequence[ClassChange], file: Path) -> Path:
    """The resampled difference, the videos, and the classes (not for a multi-label set)."""
    ranked = sorted(classes, key=lambda row: (row.points, row.name))
    half = CLASSES // 2
    shown = ranked if len(ranked) <= CLASSES else [*ranked[:half], *ranked[-half:]]
    height = max(5.0, 1.8 + 0.24 * len(shown))
    figure = Figure(figsize=(13 if shown else 7, height), layout="constrained")
    parts: Any = figure.subfigures(1, 2) if shown else [figure]
    upper, lower = parts[0].subplots(2, 1, height_ratios=(2.4, 1))
    _draw_distribution(upper, found)
    if found.trainings == (1, 1) and found.changes is not None:
        _draw_videos(lower, found.changes, len(found.videos.paths), found.name_of_test)
    else:
        _draw_trainings(lower, found)
    if shown:
        _draw_classes(parts[1].subplots(), shown, len(ranked) - len(shown))
    return save(figure, file)


def _draw_distribution(axes: Any, found: Comparison) -> None:
    name, first = found.first
    colour = DARK if found.word == "noise" else GOOD if first.difference > 0 else BAD
    # bins of whole steps; otherwise a difference of few videos would look like a comb
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
        "A: {}   B: {}\n".format(*map(readable, found.titles))
        + f"{first.difference:+.2f} points, 95 % interval {first.low:+.2f} to {first.high:+.2f}",
        loc="left",
        fontsize=11,
        parse_math=False,
    )


def _draw_videos(axes: Any, changes: Changes, videos: int, test: str) -> None:
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
    axes.set(xlabel=f"videos; {test}: p = {changes.test.mid_p:.2g}")


def _draw_trainings(axes: Any, found: Comparison) -> None:
    """Each run's figure, to show the spread of trainings of one network."""
    name, first = found.first
    for place, (figures, colour) in enumerate(((first.a, BAD), (first.b, GOOD))):
        axes.plot(figures, [place] * len(figures), "o", ms=8, alpha=0.6, color=colour)
        axes.plot(np.mean(figures), place, "|", ms=22, mew=2, color=colour)
    axes.set_yticks([0, 1], ["A", "B"])
    axes.set(ylim=(1.6, -0.6), xlabel=f"{name} of each run, per cent; | is the mean")
    axes.grid(axis="x", alpha=0.3)


def _draw_classes(axes: Any, shown: Sequence[ClassChange], hidden: int) -> None:
    places = list(range(len(shown)))
    if hidden:  # a gap for the classes left out
        places = [place + (place >= CLASSES // 2) for place in places]
        axes.text(0, CLASSES // 2, f"… {hidden} classes between …", ha="center", va="center")
    points = [row.points for row in shown]
    axes.barh(places, points, color=[GOOD if point > 0 else BAD for point in points])
    names = [f"{short_name(row.name)} ({row.videos})" for row in shown]
    axes.set_yticks(places, names, fontsize=8, parse_math=False)
    axes.axvline(0, color="black", lw=1)
    axes.grid(axis="x", alpha=0.3)
    axes.set(xlabel="points that B gained in each class (videos of the class)")
    axes.margins(y=0.01)
