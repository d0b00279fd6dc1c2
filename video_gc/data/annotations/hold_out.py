"""Validation videos where none are given: a part of each class of the training videos."""

import numpy as np

from video_gc.data.index import DataError, VideoIndex


def hold_out(index: VideoIndex, every: int = 5) -> tuple[VideoIndex, VideoIndex]:
    """Split by class: each `every`-th video (by name) is held out, the others train.

    Videos with several labels are split by the first of them.

    Raises DataError for a class with a single video.
    """
    held = np.zeros(len(index), bool)
    for label, name in enumerate(index.names):
        rows = np.flatnonzero(index.labels == label)
        if not len(rows):  # a number that no video of the list has
            continue
        if len(rows) < 2:
            if index.multi_label:  # it may be in other videos, as their second label
                continue
            raise DataError(
                f"{index.path(int(rows[0]))}: the only video of class {name!r}; add another, or "
                "give validation videos (DIR/train and DIR/val, or data.val=FILE)"
            )
        held[rows[every - 1 :: every] if len(rows) >= every else rows[-1:]] = True
    return index.take(np.flatnonzero(~held)), index.take(np.flatnonzero(held))
