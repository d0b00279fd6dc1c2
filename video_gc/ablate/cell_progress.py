"""The progress of an ablation: a line for each cell that ends, and a bar with the time left.

Where the output is a file there is no bar, but a line for each cell that begins. Progress is read
from cell.json, so it covers the jobs of other processes and machines.
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
NAMED = 3
"""Running cells that the bar names."""


class CellProgress:
    """What is known of the cells since the sweep began. finished: others, before it."""

    def __init__(self, cells: Sequence[Cell], finished: Sequence[Cell] = ()) -> None:
        self.seen = {cell.name: read_status(Path(cell.directory)) for cell in cells}
        self.waiting, self.running = list(cells), list[Cell]()  # waiting: all that have not ended
        self.done, self.total = len(finished), len(finished) + len(cells)
        earlier = [read_status(Path(cell.directory)) for cell in finished]
        self.earlier = [status.seconds for status in earlier if status and status.seconds]
        self.finished_now = 0
        self.began = time.monotonic()

    def look(self) -> list[tuple[Cell, CellStatus]]:
        """The cells that began or ended since the last look."""
        news = []
        for cell in self.waiting:
            status = read_status(Path(cell.directory))
            if status is not None and status != self.seen[cell.name]:
                self.seen[cell.name] = status
                news.append((cell, status))
        for cell, status in news:
            self.running = [other for other in self.running if other is not cell]
            if status.status == "running":
                self.running.append(cell)
                continue
            self.waiting.remove(cell)
            self.done += 1
            self.finished_now += status.status == "finished"
        return news

    def left(self) -> float | None:
        """Seconds until all have ended, at the pace of the cells that this sweep finished.

        Before the first one: by the mean time of the cells finished earlier. Failed cells do not
        count: most fail at once.
        """
        if not self.finished_now:
            return fmean(self.earlier) * len(self.waiting) if self.earlier else None
        return (time.monotonic() - self.began) / self.finished_now * len(self.waiting)

    def line(self, cell: Cell, status: CellStatus) -> tuple[str, str | None]:
        """What is said of a cell that began or ended, and its style."""
        if status.status == "running":
            return f"{cell.title}: started; its output: {cell.directory}/{LOG}", None
        if status.status == "finished":
            left = self.left()
            eta = f"; {short(left)} left" if left else ""
            took = short(status.seconds)
            return f"{cell.title}: finished in {took} ({self.done}/{self.total}{eta})", None
        if status.stopped:
            return f"{cell.title}: {status.reason}", "yellow"
        return f"{cell.title}: failed: {status.reason}", "red"


@contextmanager
def show_progress(cells: Sequence[Cell], finished: Sequence[Cell] = ()) -> Iterator[None]:
    """Show the progress of `cells` while the block runs; finished: others, before it."""
    state, stop = CellProgress(cells, finished), threading.Event()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA {task.fields[eta]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("cells", total=state.total, completed=state.done, eta="–")

        def update() -> None:
            for cell, status in state.look():
                if status.status != "running" or not console.is_terminal:
                    say(*state.line(cell, status))
            names = [cell.title for cell in state.running]
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            left = state.left()
            bar.update(
                task,
                completed=state.done,
                description=f"{', '.join(names[:NAMED])}{more}" or "cells",
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


def short(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03."""
    return str(timedelta(seconds=round(seconds)))
