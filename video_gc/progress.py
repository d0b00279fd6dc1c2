"""The progress bars: task, count, rate and remaining time."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from video_gc.escape import readable, readable_lines

T = TypeVar("T")


class Screen(Console):
    """A console that prints text literally: no markup, no emoji names, no terminal escapes."""

    def __init__(self, **named: Any) -> None:
        super().__init__(markup=False, emoji=False, **named)

    def render_str(self, text: str, **named: Any) -> Text:
        """Rich calls this for the text of a line, heading or cell."""
        return super().render_str(readable_lines(text), **named)


console = Screen(stderr=True)


class RateColumn(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        """The mean rate so far."""
        speed = task.finished_speed or task.speed
        return Text("– /s" if speed is None else f"{speed:.1f} /s", style="cyan")


def say(text: str, style: str | None = None) -> None:
    """Print one line to stderr literally: without line breaks or markup."""
    console.print(readable(text), style=style, highlight=False, soft_wrap=True)


def counted(number: int, noun: str) -> str:
    """`1 video`, `1,234 videos`."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A rich Progress on stderr with count, rate, elapsed time and ETA."""
    with _bar(MofNCompleteColumn(), RateColumn(), TimeElapsedColumn()) as progress:
        yield progress


def download_bar() -> Progress:
    """A rich Progress on stderr that counts bytes."""
    return _bar(DownloadColumn(binary_units=True), TransferSpeedColumn())


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Iterate over `items` under a progress bar."""
    with progress_bar() as progress:
        yield from progress.track(items, total=total, description=description)


def _bar(*columns: ProgressColumn) -> Progress:
    what = TextColumn("{task.description}", markup=False), BarColumn(bar_width=None)
    left = TextColumn("ETA"), TimeRemainingColumn()
    return Progress(*what, *columns, *left, console=console)
