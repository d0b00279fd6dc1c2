"""The display of a training: a bar for the current work, and a line per epoch."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from rich.progress import Progress

from video_gc.progress import console, progress_bar, say

T = TypeVar("T")
FIGURES = (
    "train/loss",
    "train/top1",
    "val/loss",
    "val/top1",
    "val/mAP",
    "val_ema/top1",
    "val_ema/mAP",
)


class Display:
    """Bars, one below the other, on a terminal; lines everywhere."""

    def __init__(self, bars: Progress | None = None) -> None:
        self.bars = bars

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """A display, while the block runs."""
        if not console.is_terminal:
            yield cls()
            return
        with progress_bar() as bars:
            yield cls(bars)

    def track(self, items: Iterable[T], description: str, total: int, done: int = 0) -> Iterator[T]:
        """Iterate under a new bar, removed at the end. done: items finished before."""
        if self.bars is None:
            yield from items
            return
        bar = self.bars.add_task(description, total=total, completed=done)
        try:
            for item in items:
                yield item
                self.bars.advance(bar)
        finally:
            self.bars.remove_task(bar)

    def epoch(self, number: int, epochs: int, figures: dict[str, float]) -> None:
        """Print the metrics of an epoch, counted from 1."""
        shown = ", ".join(f"{name} {figures[name]:.3f}" for name in FIGURES if name in figures)
        say(f"epoch {number}/{epochs}: {shown}")
