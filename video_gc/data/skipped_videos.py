"""Report, count and list videos that could not be read, or not as requested."""

from collections.abc import Iterable
from pathlib import Path

from video_gc.atomic import atomic_path
from video_gc.data.dataset import VideoProblem
from video_gc.outputs import fill_csv
from video_gc.progress import say

SKIPPED, NOTES = "skipped.csv", "notes.csv"
"""Names of the lists, in a run and among the results of a test: videos that were not read, and
videos that were, but not as requested."""


class SkippedVideos:
    """The problems found so far, and their two lists: kind, path, times, reason.

    Each damaged file is reported once and listed with its number of failures. Short files, and
    files decoded on the CPU instead of the GPU, were not skipped: they are all in `notes.csv`
    beside the list, and only the first of a kind is reported.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.notes = file.with_name(NOTES)
        self.found: dict[tuple[str, str], tuple[int, str]] = {}
        """(kind, path) → number of occurrences, and the first reason"""

    def add(self, problems: Iterable[VideoProblem]) -> None:
        """Count problems, report new ones, and rewrite the lists if there are any."""
        before = len(self.found)
        for problem in problems:
            if (problem.kind, problem.path) not in self.found:
                if problem.kind == "damaged":
                    say(f"Skipped {problem.reason}", style="yellow")
                elif not self.count(problem.kind):
                    say(f"Note {problem.reason}. All such files: {self.notes}")
            self._count(problem)
        if len(self.found) > before:
            self.write()

    def replace(self, problems: Iterable[VideoProblem]) -> None:
        """Replace all counts by these, in this order, and rewrite the lists. Prints nothing."""
        self.found = {}
        for problem in problems:
            self._count(problem)
        self.write()

    def count(self, kind: str = "damaged") -> int:
        """Number of files of this kind."""
        return sum(found == kind for found, _ in self.found)

    def rows(self) -> list[tuple[str, str, int, str]]:
        """The lines of both lists: kind, path, times, reason."""
        return [(*key, *rest) for key, rest in self.found.items()]

    def restore(self, rows: Iterable[tuple[str, str, int, str]]) -> None:
        """Continue from the `rows` of an earlier process."""
        self.found = {(kind, path): (times, reason) for kind, path, times, reason in rows}

    def write(self) -> None:
        """Write each list that is not empty."""
        for file, skipped in ((self.file, True), (self.notes, False)):
            rows = [row for row in self.rows() if (row[0] == "damaged") == skipped]
            if rows:
                with atomic_path(file) as part:
                    fill_csv(part, ["kind", "path", "times", "reason"], rows)

    def _count(self, problem: VideoProblem) -> None:
        key = problem.kind, problem.path
        times, reason = self.found.get(key, (0, problem.reason))
        self.found[key] = times + 1, reason
