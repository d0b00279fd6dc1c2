"""Where a checkpoint stands in its run, and whether the run's videos are still the same."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_gc.data.config import DataConfig
from video_gc.data.fingerprint import fingerprint_splits, same_copy
from video_gc.data.splits import Splits, data_manifest
from video_gc.models.weights.reading.read import read_file
from video_gc.train.checkpoint import FORMAT, KEY
from video_gc.train.resume.loops import logged_step


@dataclass(frozen=True)
class Position:
    """Of a checkpoint; of a new run by default."""

    step: int = 0
    """steps of the optimiser that are done"""
    epoch: int = 0
    """epoch that it is in, from 0"""
    first_unlogged_step: int | None = None
    """step from which nothing has been logged"""

    def said(self, epochs: int, steps: int | None) -> str:
        """For people; epochs, steps: how long the whole training is, in one or the other."""
        if steps is not None:
            return f"step {self.step} of {steps}, epoch {self.epoch + 1}"
        return f"step {self.step}, epoch {self.epoch + 1} of {epochs}"


def read_position(checkpoint: Path) -> Position:
    """Where a checkpoint of ours stands.

    Raises ValueError for one of an older version, which has no position inside an epoch and another
    schedule.
    """
    found = _read(checkpoint)
    if found[KEY].get("format", 1) < FORMAT:
        raise ValueError(
            f"{checkpoint}: written by an older version of video_gc, whose runs this one cannot go "
            "on with; start from its weights with model.weights=CHECKPOINT name=OTHER"
        )
    return Position(found["global_step"], found["epoch"], logged_step(found["loops"]) + 1)


def check_same_videos(checkpoint: Path, splits: Splits, data: DataConfig) -> None:
    """Raise ValueError where the videos that train or choose are others than the checkpoint's."""
    kept = _read(checkpoint)[KEY].get("fingerprint") or {}
    parts = {name: getattr(splits, name) for name in ("train", "val") if kept.get(name)}
    for name, found in fingerprint_splits(parts, data_manifest(data)).items():
        if same_copy(kept[name], found) is False:
            raise ValueError(
                f"{checkpoint.parent.parent}: the {name} videos are not those that the run was "
                f"started with (fingerprint {found}, the checkpoint's is {kept[name]}); put them "
                "back, also those that a newer manifest leaves out, or give name=OTHER"
            )


def _read(checkpoint: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_file(checkpoint, mapped=True)
    return found
