"""Labels and scores of tests whose videos have several labels."""

from collections.abc import Sequence

import numpy as np

from video_gc.analysis.compare.predictions import SharedVideos, TestedRun
from video_gc.data.index import DataError
from video_gc.outputs import read_csv


def multi_hot(
    runs: Sequence[TestedRun], videos: SharedVideos
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels (V, classes) of 0 and 1, and the scores (V, classes) of each run.

    Raises DataError if the scores are missing or do not fit.
    """
    names = _class_names(runs[0])
    for run in runs[1:]:
        if _class_names(run) != names:
            raise DataError(f"{runs[0].name} and {run.name} do not have the same classes")
    numbers = {name: number for number, name in enumerate(names)}
    hot = np.zeros((len(videos.labels), len(names)), np.int8)
    for row, label in enumerate(videos.labels):
        for name in filter(None, label.split(";")):
            if name not in numbers:
                raise DataError(f"{videos.paths[row]}: the classes of the test have no {name!r}")
            hot[row, numbers[name]] = 1
    if not hot.any():
        raise DataError("none of the videos that were tested in all runs has a label")
    return hot, [
        _scores(run, len(names))[rows] for run, rows in zip(runs, videos.rows, strict=True)
    ]


def _scores(run: TestedRun, classes: int) -> np.ndarray:
    if run.folds:
        return np.concatenate([_scores(fold, classes) for fold in run.folds])
    file = run.file.with_name("scores.npy")
    if not file.is_file():
        raise DataError(
            f"{run.file.parent}: videos with several labels are compared by mAP, which needs all "
            "scores (scores.npy); test again with this version of video-gc test"
        )
    scores = np.load(file)
    expected = (len(run.paths), classes)
    if scores.shape != expected:
        raise DataError(f"{file}: scores of shape {scores.shape}, expected {expected}; test again")
    if not np.isfinite(scores).all():
        raise DataError(f"{file}: holds scores that are no numbers (did the training diverge?)")
    return scores


def _class_names(run: TestedRun) -> list[str]:
    """The classes in the order of the scores, from the table beside them."""
    file = run.file.with_name("classes.csv")
    if not file.is_file():
        raise DataError(f"{file}: not there, and the names of the classes are in it; test again")
    return [row["class"] for row in read_csv(file)[1]]
