"""What could not be read: reported by name and cause, counted, and listed in a file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from video_gc.atomic import atomic_path
from video_gc.data.dataset import Batch, Trouble
from video_gc.outputs import fill_csv, read_csv
from video_gc.progress import say
from video_gc.train.distributed.world import World, gather


class TroubleLog(pl.Callback):
    """Collects the troubles of every batch; works as a Lightning callback and without Lightning.

    Of several processes the first one prints and writes; the others send it theirs at the end of
    each epoch and each validation. Each damaged file is printed once and listed with the number of
    its failures; short files are listed too, but the first alone is printed.
    """

    def __init__(self, file: Path, world: World | None = None) -> None:
        self.file, self.world = file, world or World()
        self.unsent: list[Trouble] = []
        self.counts: dict[tuple[str, str], int] = {}
        self.reasons: dict[tuple[str, str], str] = {}

    def add(self, troubles: Iterable[Trouble]) -> None:
        """Count, print what is new, and rewrite the file."""
        if not self.world.first:
            self.unsent += troubles
            return
        new = False
        for trouble in troubles:
            key = trouble.kind, trouble.path
            if key not in self.counts:
                new = True
                self.reasons[key] = trouble.reason
                if trouble.kind == "damaged":
                    say(f"Skipped {trouble.reason}", style="yellow")
                elif not self.count(trouble.kind):  # the first of its kind
                    say(f"Note {trouble.reason}. All such files: {self.file}")
            self.counts[key] = self.counts.get(key, 0) + 1
        if new:
            self.write()

    def exchange(self) -> None:
        """Give the first process what the others found; all of them call this together."""
        parts = gather(self.unsent, self.world)
        self.unsent = []
        for part in parts or []:
            self.add(part)

    def read(self) -> None:
        """Take over what an earlier part of the run wrote to the file."""
        if self.file.is_file():
            for row in read_csv(self.file)[1]:
                self.counts[row["kind"], row["path"]] = int(row["times"])
                self.reasons[row["kind"], row["path"]] = row["reason"]

    def state_dict(self) -> dict[str, Any]:
        """Lightning: before a checkpoint is written, on every process."""
        self.exchange()
        return {"found": [[*key, times, self.reasons[key]] for key, times in self.counts.items()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning: while a checkpoint is restored; what was counted after it will be again."""
        self.counts, self.reasons = {}, {}
        for kind, path, times, reason in state_dict["found"]:
            self.counts[kind, path], self.reasons[kind, path] = times, reason
        self.write()

    def count(self, kind: str = "damaged") -> int:
        """Files of this kind of trouble."""
        return sum(found == kind for found, _ in self.counts)

    def write(self) -> None:
        """List everything: kind, path, times, reason."""
        if not self.counts:
            return
        lines = [(*key, times, self.reasons[key]) for key, times in self.counts.items()]
        with atomic_path(self.file) as part:
            fill_csv(part, ["kind", "path", "times", "reason"], lines)

    def on_train_batch_end(self, *arguments: Any, **_: Any) -> None:
        """Lightning: after a training step."""
        self.add(_batch_of(arguments).troubles)

    def on_validation_batch_end(self, *arguments: Any, **_: Any) -> None:
        """Lightning: after a validation step."""
        self.add(_batch_of(arguments).troubles)

    def on_train_epoch_end(self, *_: Any) -> None:
        """Lightning: after the last step of an epoch."""
        self.exchange()

    def on_validation_epoch_end(self, *_: Any) -> None:
        """Lightning: after a validation."""
        self.exchange()

    def on_fit_end(self, *_: Any) -> None:
        """Lightning: at the end, with the final counts."""
        if not self.world.first:
            return
        self.write()
        if self.count():
            say(f"Damaged files: {self.count()}, listed in {self.file}")
        if self.count("fell_back"):
            say(f"Decoded on the CPU, for the GPU cannot: {self.count('fell_back')} files")


def _batch_of(arguments: tuple[Any, ...]) -> Batch:
    return next(argument for argument in arguments if isinstance(argument, Batch))
