"""Validation videos where none are given: a part of each class of the training videos."""

import numpy as np

from video_gc.data.index import DataError, VideoIndex


def hold_out(index: VideoIndex, every: int = 5) -> tuple[VideoIndex, VideoIndex]:
    """Split by class: each `every`-th video (by name) is held out, the others train.

    Videos with several labels are split by the first of them.

    Raises DataError for a class with a single video.
    """
    held = np.zeros(len(index), bool)
    alone = []
    order = np.argsort(index.labels, kind="stable")
    ordered = index.labels[order]
    for rows in np.split(order, np.flatnonzero(np.diff(ordered)) + 1):
        if not len(rows) or index.labels[rows[0]] < 0:  # no video, or without label
            continue
        name = index.names[index.labels[rows[0]]]
        if len(rows) < 2:
            if index.multi_label:  # it may be in other videos, as their second label
                continue
            alone.append((index.path(int(rows[0])), name))
            continue
        held[rows[every - 1 :: every] if len(rows) >= every else rows[-1:]] = True
    if alone:
        path, name = alone[0]
        others = ", ".join(repr(other) for _, other in alone[1:])
        also = f" (and so it is with {others})" if others else ""
        raise DataError(
            f"{path}: the only video of class {name!r}{also}; add another, or give validation "
            "videos (DIR/train and DIR/val, or data.val=FILE)"
        )
    return index.take(np.flatnonzero(~held)), index.take(np.flatnonzero(held))
