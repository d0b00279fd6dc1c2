"""The progress of an ablation: a line for each cell that ends, and a bar with the time left.

In a file, where no bar is drawn, there is a line for each cell that begins, too. It reads the
files that jobs write, so it sees those of other processes and machines.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import fmean

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from video_gc.ablate.plan import Cell
from video_gc.ablate.status import LOG, CellStatus, read_status
from video_gc.progress import console, say

INTERVAL = 1.0
"""Seconds between two looks."""


class Watch:
    """What is known of the cells since the sweep began."""

    def __init__(self, cells: Sequence[Cell], finished: Sequence[Cell] = ()) -> None:
        self.cells = {cell.name: cell for cell in cells}
        self.directories = {cell.name: Path(cell.directory) for cell in cells}
        self.before = {name: read_status(path) for name, path in self.directories.items()}
        self.done, self.total = len(finished), len(finished) + len(cells)
        earlier = [read_status(Path(cell.directory)) for cell in finished]
        self.earlier = [status.seconds for status in earlier if status and status.seconds]
        self.ended: dict[str, CellStatus] = {}
        self.running: list[Cell] = []
        self.began = time.monotonic()

    def look(self) -> list[tuple[Cell, CellStatus]]:
        """Read all that has not ended; the cells that ended since the last look."""
        new, self.running = [], []
        for name, cell in self.cells.items():
            status = None if name in self.ended else read_status(self.directories[name])
            if status is None or status == self.before[name]:
                continue
            if status.status == "running":
                self.running.append(cell)
            else:
                self.ended[name] = status
                new.append((cell, status))
        return new

    @property
    def count(self) -> int:
        """Cells that have ended, the earlier ones too."""
        return self.done + len(self.ended)

    def left(self) -> float | None:
        """Seconds until all have ended, by the pace of those that this sweep finished.

        Until there is one, by what those took that were finished before, one after another. Cells
        that failed do not count: most fail at once.
        """
        finished = sum(status.status == "finished" for status in self.ended.values())
        if not finished:
            return fmean(self.earlier) * (self.total - self.count) if self.earlier else None
        passed = time.monotonic() - self.began
        return passed / finished * (self.total - self.count)


@contextmanager
def watching(cells: Sequence[Cell], finished: Sequence[Cell] = ()) -> Iterator[None]:
    """Show the progress of `cells` while the block runs; finished: others, before it."""
    watch, stop = Watch(cells, finished), threading.Event()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA {task.fields[eta]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("cells", total=watch.total, completed=watch.done, eta="–")

        def update() -> None:
            before = [cell.name for cell in watch.running]
            for cell, status in watch.look():
                _say_ended(cell, status, watch)
            for cell in watch.running:
                if cell.name not in before and not console.is_terminal:
                    say(f"{cell.title}: started; its output: {cell.directory}/{LOG}")
            now = ", ".join(cell.title for cell in watch.running[:3])
            more = f" and {len(watch.running) - 3} more" if len(watch.running) > 3 else ""
            left = watch.left()
            bar.update(
                task,
                completed=watch.count,
                description=f"{now}{more}" or "cells",
                eta="–" if left is None else short(left),
            )

        def keep_looking() -> None:
            while not stop.wait(INTERVAL):
                update()

        thread = threading.Thread(target=keep_looking, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            update()


def _say_ended(cell: Cell, status: CellStatus, watch: Watch) -> None:
    left = watch.left()
    eta = f"; {short(left)} left" if left else ""
    if status.status == "finished":
        say(f"{cell.title}: finished in {short(status.seconds)} ({watch.count}/{watch.total}{eta})")
    elif status.stopped:
        say(f"{cell.title}: {status.reason}", style="yellow")
    else:
        say(f"{cell.title}: failed: {status.reason}", style="red")


def short(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03."""
    return str(timedelta(seconds=round(seconds)))
