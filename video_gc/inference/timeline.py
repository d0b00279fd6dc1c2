"""A prediction as a table in the terminal and as a picture over time."""

from pathlib import Path

from matplotlib.figure import Figure
from rich.table import Table

from video_gc.atomic import atomic_path
from video_gc.inference.recognizer import Prediction


def prediction_table(prediction: Prediction, count: int = 5) -> Table:
    """The best classes of the video, then the best of each window."""
    table = Table(title=prediction.video, title_justify="left", title_style="bold")
    table.add_column("time (s)", no_wrap=True)
    table.add_column("best classes", overflow="fold")
    table.add_row("whole video", _ranking(prediction.top(count)), style="bold", end_section=True)
    for window in prediction.windows:
        time = f"{window.start:.2f} – {window.end:.2f}"
        table.add_row(time, _ranking(prediction.top(count, window)))
    return table


def draw_timeline(prediction: Prediction, file: Path, count: int = 5) -> Path:
    """Score over time of the video's best classes."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    edges = [window.start for window in prediction.windows] + [prediction.windows[-1].end]
    for name, score in prediction.top(count):
        number = prediction.names.index(name)
        values = [float(window.scores[number]) for window in prediction.windows]
        axes.stairs(values, edges, baseline=None, linewidth=2, label=f"{name} ({score:.0%})")
    axes.set(xlabel="time (s)", ylabel="score", ylim=(0, 1.02), xlim=(edges[0], edges[-1]))
    axes.set_title(Path(prediction.video).name, loc="left")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    with atomic_path(file) as part:
        figure.savefig(part, dpi=120)
    return file


def _ranking(ranked: list[tuple[str, float]]) -> str:
    return "  ".join(f"{name}\u00a0{score:.0%}" for name, score in ranked if score >= 0.005)
