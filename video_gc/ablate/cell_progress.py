"""The progress of an ablation: a line for each cell that begins or ends, and a bar.

It is read from cell.json and from the logs of the trainings, so it covers the jobs of other
processes and machines.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from statistics import fmean

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from video_gc.ablate.cell import Cell
from video_gc.ablate.status import LOG, CellStatus, read_status
from video_gc.progress import console, say
from video_gc.train.resume.run_directory import LOGS, logged_epochs

INTERVAL = 1.0
"""Seconds between two reads."""


class CellProgress:
    """Progress of `cells` since the sweep began. finished: cells finished before it."""

    def __init__(self, cells: Sequence[Cell], finished: Sequence[Cell] = ()) -> None:
        self.waiting = list(cells)  # cells that have not ended
        self.seen = {cell.name: read_status(Path(cell.directory)) for cell in cells}
        self.total = len(finished) + len(cells)
        earlier = [read_status(Path(cell.directory)) for cell in finished]
        self.earlier = [status.seconds for status in earlier if status and status.seconds]
        self.epochs = {cell.name: trained_epochs(cell) for cell in cells}
        self.before = {cell.name: self.part(cell) for cell in cells}
        self.gained = 0.0  # of the cells that this sweep finished, what was not trained before
        self.began = time.monotonic()

    def look(self) -> list[tuple[Cell, CellStatus]]:
        """The cells that began or ended since the last call; reads the epochs of the others."""
        news = []
        for cell in list(self.waiting):
            status = read_status(Path(cell.directory))
            if status is not None and status != self.seen[cell.name]:
                self.seen[cell.name] = status
                news.append((cell, status))
                if status.status == "finished":
                    self.gained += 1 - self.before[cell.name]
                if status.status != "running":
                    self.waiting.remove(cell)
        self.epochs = {cell.name: trained_epochs(cell) for cell in self.waiting}
        return news

    @property
    def done(self) -> int:
        """Number of ended cells, including those finished before."""
        return self.total - len(self.waiting)

    def part(self, cell: Cell) -> float:
        """The trained part of a cell that has not ended, 0…1."""
        epochs = self.epochs[cell.name]
        return epochs / cell.options["epochs"] if epochs else 0.0

    @property
    def trained(self) -> float:
        """The trained parts of the cells that have not ended, together."""
        return sum(map(self.part, self.waiting))

    def left(self) -> float | None:
        """Seconds until all have ended, by what this sweep has trained and finished.

        Before the first epoch: by the cells finished earlier. Failed cells do not count, because
        most fail at once.
        """
        gained = self.gained + self.trained - sum(self.before[cell.name] for cell in self.waiting)
        if gained > 0:
            pace = (time.monotonic() - self.began) / gained
        elif self.earlier:
            pace = fmean(self.earlier)
        else:
            return None
        return pace * (len(self.waiting) - self.trained)

    def running(self) -> str:
        """The cells in training and their epochs, such as `GC 2/6`; at most three."""
        started = [cell for cell in self.waiting if self.epochs[cell.name]]
        return ", ".join(
            f"{cell.row} {self.epochs[cell.name]}/{cell.options['epochs']}" for cell in started[:3]
        )

    def line(self, cell: Cell, status: CellStatus) -> tuple[str, str | None]:
        """The message about a cell that began or ended, and its style."""
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
    """Show the progress of `cells` while the block runs; finished: cells finished before it."""
    progress, stop = CellProgress(cells, finished), threading.Event()
    columns = (
        TextColumn("cells {task.fields[ended]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[running]}"),
        TimeElapsedColumn(),
        TextColumn("ETA {task.fields[eta]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("cells", total=progress.total, eta="–", ended="", running="")

        def show() -> None:
            for cell, status in progress.look():
                say(*progress.line(cell, status))
            left = progress.left()
            bar.update(
                task,
                completed=progress.done + progress.trained,
                ended=f"{progress.done}/{progress.total}",
                running=progress.running(),
                eta="–" if left is None else short(left),
            )

        def keep_looking() -> None:
            ended = False
            while not ended:  # and once more after the end
                ended = stop.wait(INTERVAL)
                show()

        show()
        thread = threading.Thread(target=keep_looking, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def trained_epochs(cell: Cell) -> int:
    """The epochs that the cell's training has logged; 0 if its logs cannot be read now."""
    with suppress(OSError, ValueError):
        return logged_epochs(Path(cell.directory, LOGS))
    return 0


def short(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03."""
    return str(timedelta(seconds=round(seconds)))
