"""A prediction as a table in the terminal and as a picture over time."""

from pathlib import Path

from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from video_gc.atomic import atomic_path
from video_gc.escape import readable
from video_gc.predict.recognizer import Prediction
from video_gc.progress import Screen


def print_prediction(prediction: Prediction, count: int = 5) -> None:
    """The video's name and its table, to stdout."""
    console = Screen()
    console.print(Text(readable(prediction.video)), style="bold", soft_wrap=True)
    console.print(prediction_table(prediction, count))
    if prediction.damaged:
        console.print(f"{prediction.damaged} of the frames used are damaged")


def prediction_table(prediction: Prediction, count: int = 5) -> Table:
    """The best classes of the video, then the best of each window."""
    table = Table()
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
        axes.stairs(
            values, edges, baseline=None, linewidth=2, label=f"{readable(name)} {score:.0%}"
        )
    axes.set(xlabel="time (s)", ylabel="score", ylim=(0, 1.02), xlim=(edges[0], edges[-1]))
    axes.set_title(readable(Path(prediction.video).name), loc="left", parse_math=False)
    axes.grid(axis="y", alpha=0.3)
    legend = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    with atomic_path(file) as part:
        figure.savefig(part, dpi=120)
    return file


def _ranking(ranked: list[tuple[str, float]]) -> Text:
    shown = ranked[:1] + [pair for pair in ranked[1:] if pair[1] >= 0.005]
    return Text("  ".join(f"{readable(name)}\u00a0{score:.0%}" for name, score in shown))
