"""The skipped videos of a training, on one process or several."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from video_gc.data.dataset import Batch, Trouble
from video_gc.data.skipped_videos import SkippedVideos
from video_gc.progress import say
from video_gc.train.ranks.world import World, gather


class SkippedByRanks(SkippedVideos, pl.Callback):
    """`SkippedVideos` that the first process says and lists.

    The others send it theirs in `exchange`, which all call at the end of each epoch and validation.
    """

    state_key = "TroubleLog"  # its name in checkpoints of earlier versions

    def __init__(self, file: Path, world: World) -> None:
        super().__init__(file)
        self.world = world
        self.unsent: list[Trouble] = []

    def add(self, troubles: Iterable[Trouble]) -> None:
        """On the first process as `SkippedVideos.add`; the others keep them for `exchange`."""
        if self.world.first:
            super().add(troubles)
        else:
            self.unsent += troubles

    def exchange(self) -> None:
        """Give the first process what the others found; all of them call this together."""
        parts = gather(self.unsent, self.world)
        self.unsent = []
        for part in parts or []:
            self.add(part)

    def state_dict(self) -> dict[str, Any]:
        """Lightning: before a checkpoint is written, on every process."""
        self.exchange()
        return {"found": [list(row) for row in self.rows()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning: while a checkpoint is restored; what was counted after it will be again."""
        self.restore(state_dict["found"])
        self.write()

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
