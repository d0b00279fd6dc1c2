"""Scores on the videos that chose the checkpoint: what is said beside them, and the last epoch's.

The best of many epochs by the validation videos looks better on them than on any others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from video_gc.train.checkpoint import default_output
from video_gc.train.checkpoint_paths import LAST
from video_gc.train.resume.run_directory import LOGS, read_metrics

CHOSE = "validation videos, on which the checkpoint was chosen"
"""What such videos are called wherever a score on them stands."""
SPLITS = ("val_ema", "val")
FIGURES = {"top1": "top-1", "mAP": "mAP"}


def selection_of(checkpoint: Path) -> dict[str, Any] | None:
    """How the validation videos chose a checkpoint; None for the last or a numbered one.

    figure (top1 or mAP), epoch and value of the choice, last_epoch and last_value: from the log of
    the run, with one view a video. Empty if there is no log.
    """
    if checkpoint.name == LAST or checkpoint.stem.startswith("step-"):
        return None
    metrics = read_metrics(default_output(checkpoint, LOGS))
    for split in SPLITS:  # averaged weights choose if there are any
        for figure in FIGURES:
            if values := metrics.get(f"{split}/{figure}"):
                epoch, value = max(values, key=lambda one: one[1])  # the first of equal ones
                last_epoch, last_value = values[-1]
                return {
                    "figure": figure,
                    "epoch": epoch,
                    "value": value,
                    "last_epoch": last_epoch,
                    "last_value": last_value,
                }
    return {}


def is_optimistic(about: Mapping[str, Any]) -> bool:
    """Whether the tested videos chose the checkpoint. about: accuracy.json."""
    return about.get("selection") is not None


def selection_note(about: Mapping[str, Any]) -> str:
    """What must stand beside the accuracy of a test; empty for other videos.

    about: accuracy.json.
    """
    if not is_optimistic(about):
        return ""
    found = about["selection"]
    note = f"{CHOSE}: an optimistic score"
    if not found:
        return note
    return (
        f"{note}; with one view a video, {FIGURES[found['figure']]} is {found['value']:.1%} in "
        f"epoch {found['epoch']}, the best, and {found['last_value']:.1%} in epoch "
        f"{found['last_epoch']}, the last"
    )
