"""A prediction as a table in the terminal and as a picture over time."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from video_gc.atomic import atomic_path
from video_gc.escape import readable, short_name
from video_gc.pictures.figures import save_picture
from video_gc.predict.recognizer import NONE, Prediction, Window
from video_gc.predict.segments import Segment, borders
from video_gc.predict.windows import WindowRows
from video_gc.progress import Screen

MOST_DRAWN, FEW = 10, 5
"""Classes in a picture of segments, and in one of a video without any."""


def print_prediction(
    prediction: Prediction, count: int = 5, threshold: float | None = None
) -> None:
    """The video's name and its table, to stdout. threshold: see `PredictOptions`."""
    console = Screen()
    console.print(Text(readable(prediction.video)), style="bold", soft_wrap=True)
    console.print(prediction_table(prediction, count, threshold))
    if prediction.damaged:
        console.print(f"{prediction.damaged} of the frames used are damaged")


def summary_table(done: Sequence[tuple[str, str, float]]) -> Table:
    """A line for each video: its name, its label, and the best score."""
    table = Table()
    table.add_column("video", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    for video, label, score in done:
        name = Text(readable("/".join(Path(video).parts[-2:])))  # its class folder too
        table.add_row(name, Text(readable(label)), f"{score:.0%}")
    return table


def prediction_table(
    prediction: Prediction, count: int = 5, threshold: float | None = None
) -> Table:
    """The best classes of the video, then the best of each window."""

    def ranking(window: Window | None = None) -> Text:
        ranked = _ranking(prediction.top(count, window))
        if threshold is None or prediction.label(threshold, window) != NONE:
            return ranked
        return Text(f"{NONE}  (").append(ranked).append(")")

    table = Table()
    table.add_column("time (s)", no_wrap=True)
    table.add_column("best classes", overflow="fold")
    table.add_row("whole video", ranking(), style="bold", end_section=True)
    for window in prediction.windows:
        time = f"{window.start:.2f} – {window.end:.2f}"
        table.add_row(time, ranking(window))
    return table


def draw_timeline(prediction: Prediction, file: Path, count: int = 5) -> Path:
    """Score over time of the video's best classes."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    edges = [window.start for window in prediction.windows] + [prediction.windows[-1].end]
    for name, score in prediction.top(count):
        number = prediction.names.index(name)
        values = [float(window.scores[number]) for window in prediction.windows]
        axes.stairs(
            values, edges, baseline=None, linewidth=2, label=f"{short_name(name)} {score:.0%}"
        )
    axes.set(xlabel="time (s)", ylabel="score", ylim=(0, 1.02), xlim=(edges[0], edges[-1]))
    axes.set_title(readable(Path(prediction.video).name), loc="left", parse_math=False)
    axes.grid(axis="y", alpha=0.3)
    legend = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    with atomic_path(file) as part:
        save_picture(figure, part, dpi=120)
    return file


def print_segments(video: str, segments: Sequence[Segment], damaged: int = 0) -> None:
    """The video's name and a table of its segments, to stdout."""
    console = Screen()
    console.print(Text(readable(video)), style="bold", soft_wrap=True)
    table = Table()
    for name in ("start (s)", "end (s)", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("class", overflow="fold")
    for each in segments:
        times = f"{each.start:.2f}", f"{each.end:.2f}"
        table.add_row(*times, f"{each.score:.2f}", Text(readable(each.label)))
    console.print(table if segments else "no segments: no score reaches the threshold")
    if damaged:
        console.print(f"{damaged} of the frames used are damaged")


def draw_segments(
    found: WindowRows,
    names: Sequence[str],
    segments: Sequence[Segment],
    threshold: float,
    file: Path,
) -> None:
    """Score over time, and the segments below, of the classes with the longest segments.

    found: smoothed scores of windows. Without segments, the classes with the highest scores.
    """
    lasts = dict.fromkeys(names, 0.0)
    for each in segments:
        lasts[each.label] += each.end - each.start
    peaks = dict(zip(names, found.rows.max(0), strict=True))
    shown = sorted(names, key=lambda name: (-lasts[name], -peaks[name]))[:MOST_DRAWN]
    shown = [name for name in shown if lasts[name]] or shown[:FEW]
    figure = Figure(figsize=(11, 3.4 + 0.25 * len(shown)), layout="constrained")
    top, below = figure.subplots(2, sharex=True, height_ratios=[2.6, 0.5 + 0.25 * len(shown)])
    edges = borders(found.start, found.end)
    for row, name in enumerate(shown):
        colour = f"C{row}"
        values = found.rows[:, list(names).index(name)]
        top.stairs(values, edges, baseline=None, linewidth=1, color=colour)
        bars = [(s.start, s.end - s.start) for s in segments if s.label == name]
        below.broken_barh(bars, (row - 0.35, 0.7), color=colour)
    top.axhline(threshold, color="grey", linewidth=0.8, linestyle=":")
    top.set(ylabel="score", ylim=(0, 1.02), xlim=(edges[0], edges[-1]))
    top.set_title(readable(Path(found.video).name), loc="left", parse_math=False)
    top.grid(axis="y", alpha=0.3)
    below.set_yticks(range(len(shown)), [short_name(name) for name in shown], parse_math=False)
    below.set(xlabel="time (s)", ylim=(len(shown) - 0.5, -0.5))
    save_picture(figure, file, dpi=120)


def _ranking(ranked: list[tuple[str, float]]) -> Text:
    shown = ranked[:1] + [pair for pair in ranked[1:] if pair[1] >= 0.005]
    return Text("  ".join(f"{readable(name)}\u00a0{score:.0%}" for name, score in shown))
