"""Top-1, top-5, mean class accuracy and mAP of many resamples at once, for the bootstrap."""

import numpy as np

from video_gc.analysis.compare.bootstrap import Figures

NAMES = ("top-1", "top-5", "mean class")
POSITIVES_AT_ONCE = 512


def accuracy_figures(
    classes: np.ndarray, right1: np.ndarray, right5: np.ndarray
) -> tuple[Figures, np.ndarray]:
    """The three `NAMES` of each run, and how many videos there are of each kind.

    classes (V,): class numbers; right1, right5 (runs, V): whether the label was first, or among the
    first five. Videos of one class that are right in the same runs are of one kind. Mean class
    accuracy is over the classes that were drawn.
    """
    runs = len(right1)
    rows = np.column_stack([classes, right1.T, right5.T]).astype(np.int64)
    kinds, sizes = np.unique(rows, axis=0, return_counts=True)
    firsts, fives = kinds[:, 1 : 1 + runs].T, kinds[:, 1 + runs :].T
    starts = np.unique(kinds[:, 0], return_index=True)[1]  # kinds are sorted by class

    def figures(counts: np.ndarray) -> np.ndarray:
        videos = counts.sum(1)
        in_class = np.add.reduceat(counts, starts, axis=1)
        drawn = in_class > 0
        found = np.empty((len(NAMES), runs, len(counts)))
        for run, (first, five) in enumerate(zip(firsts, fives, strict=True)):
            right = np.add.reduceat(counts * first, starts, axis=1)
            found[0, run] = right.sum(1) / videos
            found[1, run] = counts @ five / videos
            found[2, run] = (right / np.maximum(in_class, 1)).sum(1) / drawn.sum(1)
        return found

    return figures, sizes


def precision_figures(hot: np.ndarray, scores: list[np.ndarray]) -> tuple[Figures, np.ndarray]:
    """The mAP of each run, over the classes that were drawn; each video is a kind of its own.

    hot (V, classes): 0 or 1; scores: (V, classes) of each run. The average precision of a class is
    the mean over its videos of the precision among all that score at least as high, which is the
    area under the steps of the precision-recall curve.
    """

    def figures(counts: np.ndarray) -> np.ndarray:
        weights = counts.astype(np.float32)
        found = [
            [_average_precision(weights, score[:, c], hot[:, c] > 0) for c in range(hot.shape[1])]
            for score in scores
        ]
        return np.nanmean(np.array(found), axis=1)[None]

    return figures, np.ones(len(hot), np.int64)


def _average_precision(weights: np.ndarray, scores: np.ndarray, has: np.ndarray) -> np.ndarray:
    """(R,): of one class, each video counted `weights` (R, V) times; NaN where none has it."""
    rows = has.nonzero()[0]
    total = np.zeros(len(weights))
    for start in range(0, len(rows), POSITIVES_AT_ONCE):
        some = rows[start : start + POSITIVES_AT_ONCE]
        above = (scores[:, None] >= scores[some]).astype(np.float32)
        right = weights[:, rows] @ above[rows]
        total += (weights[:, some] * right / np.maximum(weights @ above, 1)).sum(1)
    count = weights[:, rows].sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
