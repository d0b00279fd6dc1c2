"""The skipped videos of a training, on one process or several."""

from collections.abc import Iterable
from pathlib import Path

from video_gc.data.dataset import VideoProblem
from video_gc.data.skipped_videos import SkippedVideos
from video_gc.progress import say
from video_gc.train.distributed.world import World, gather


class SkippedByRanks(SkippedVideos):
    """`SkippedVideos` that the first process prints and lists.

    The others send it theirs in `exchange`. All processes call that before each checkpoint and
    at the end of each validation.
    """

    def __init__(self, file: Path, world: World) -> None:
        super().__init__(file)
        self.world = world
        self.unsent: list[VideoProblem] = []

    def add(self, problems: Iterable[VideoProblem]) -> None:
        """As `SkippedVideos.add` on the first process; the others wait for `exchange`."""
        if self.world.first:
            super().add(problems)
        else:
            self.unsent += problems

    def exchange(self) -> None:
        """Send the first process what the others found; all processes call this together."""
        parts = gather(self.unsent, self.world)
        self.unsent = []
        for part in parts or []:
            self.add(part)

    def write(self) -> None:
        """Write the list, on the first process."""
        if self.world.first:
            super().write()

    def finish(self) -> None:
        """Write the list with the final counts, and print how many there are."""
        self.write()
        if self.world.first and self.count():
            say(f"Damaged files: {self.count()}, listed in {self.file}")
        if self.world.first and self.count("fell_back"):
            say(f"Decoded on the CPU, because the GPU cannot: {self.count('fell_back')} files")
