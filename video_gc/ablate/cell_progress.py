"""The progress of an ablation: a line for each cell that begins or ends, and a bar.

It is read from cell.json and from the logs of the trainings, so it covers the jobs of other
processes and machines.
"""

import csv
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
from video_gc.train.resume.run_directory import LOGS

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
        self.finished_now = 0
        self.trained_before = sum(map(trained_part, cells))
        self.began = time.monotonic()

    def look(self) -> list[tuple[Cell, CellStatus]]:
        """The cells that began or ended since the last call."""
        news = []
        for cell in list(self.waiting):
            status = read_status(Path(cell.directory))
            if status is not None and status != self.seen[cell.name]:
                self.seen[cell.name] = status
                news.append((cell, status))
                self.finished_now += status.status == "finished"
                if status.status != "running":
                    self.waiting.remove(cell)
        return news

    @property
    def done(self) -> int:
        """Number of ended cells, including those finished before."""
        return self.total - len(self.waiting)

    @property
    def trained(self) -> float:
        """Trained parts of the cells that have not ended, each 0…1."""
        return sum(map(trained_part, self.waiting))

    def left(self) -> float | None:
        """Seconds until all have ended, by what this sweep has trained and finished.

        Before the first epoch: by the cells finished earlier. Failed cells do not count, because
        most fail at once.
        """
        gained = self.finished_now + self.trained - self.trained_before
        if gained > 0:
            pace = (time.monotonic() - self.began) / gained
        elif self.earlier:
            pace = fmean(self.earlier)
        else:
            return None
        return pace * (len(self.waiting) - self.trained)

    def running(self) -> str:
        """The cells in training and their epochs, such as `GC 2/6`; at most three."""
        parts = []
        for cell in self.waiting:
            if 0 < epochs_trained(cell) <= (whole := cell.options["epochs"]):
                parts.append(f"{cell.row} {epochs_trained(cell)}/{whole}")
        return ", ".join(parts[:3])

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


def epochs_trained(cell: Cell) -> int:
    """The epochs that the cell's training has logged."""
    file = Path(cell.directory, LOGS, "csv", "version_0", "metrics.csv")
    with suppress(OSError, ValueError), file.open(newline="", encoding="utf-8") as stream:
        return 1 + max(int(row["epoch"]) for row in csv.DictReader(stream) if row.get("epoch"))
    return 0


def trained_part(cell: Cell) -> float:
    """The part of the cell's epochs that was trained, 0…1."""
    trained = epochs_trained(cell)
    return trained / cell.options["epochs"] if trained else 0.0


def short(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03."""
    return str(timedelta(seconds=round(seconds)))
