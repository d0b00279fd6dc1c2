"""Whether videos have the labels that training and tests need, and what is said if not."""

from collections.abc import Mapping, Sequence

import numpy as np

from video_gc.data.divide import named_classes
from video_gc.data.index import DataError, VideoIndex
from video_gc.progress import say

EFFECTS = {
    "validation": "the epoch is chosen without it",
    "test": "accuracy does not count it",
}
"""Name of videos → what the lack of a class in them means."""


def need_labels(index: VideoIndex, what: str) -> None:
    """Raise DataError if there are no videos, or one that cannot be scored.

    what: their name in the message, such as test.
    """
    if not len(index):
        raise DataError(f"there are no {what} videos left; see what is missing above")
    if index.multi_label:
        if (index.labels < 0).all():
            raise DataError(f"none of the {len(index)} {what} videos has a label")
        return
    need_each_label(index, f"{what} videos")


def need_classes(train: VideoIndex) -> None:
    """Warn about classes without a training video. Raise DataError if there is only one class."""
    if train.multi_label:
        return
    counts = np.bincount(train.labels, minlength=len(train.names))
    (full,) = counts.nonzero()
    if len(full) == 1:
        raise DataError(
            f"{train.path(0)}: like it, all {len(train)} training videos are of class "
            f"{train.names[full[0]]!r}; give videos of at least two classes"
        )
    (empty,) = np.nonzero(counts == 0)
    if len(empty):
        shown = ", ".join(train.names[number] for number in empty[:3])
        say(
            f"{len(empty):,} of {len(counts):,} classes have no training video, such as {shown}; "
            "the network gets an output for each of them",
            style="yellow",
        )


def need_each_label(index: VideoIndex, what: str = "videos") -> None:
    """Raise DataError with the first video without a label, if each must have one."""
    without = (index.labels < 0).nonzero()[0]
    if len(without) and not index.multi_label:
        raise DataError(
            f"{index.path(int(without[0]))}: has no label, like {len(without)} of {len(index)} "
            f"{what}; they cannot be scored (video-gc predict needs no labels)"
        )


def say_lacking(splits: Mapping[str, VideoIndex]) -> None:
    """Warn about classes with training videos that validation or test lacks.

    splits: train, val and test.
    """
    train, val, test = (splits[name] for name in ("train", "val", "test"))
    if train.multi_label:
        return
    trained = np.bincount(train.labels, minlength=len(train.names))
    for name, part in (("validation", val), ("test", test))[: 1 if test is val else 2]:
        there = np.bincount(part.labels[part.labels >= 0], minlength=len(train.names))
        (lacking,) = np.nonzero((trained > 0) & (there == 0))
        if len(lacking):
            say(
                f"No {name} video is of {named_classes(train.names, lacking)}: "
                f"{EFFECTS[name]}; add videos, of other groups if they have groups",
                style="yellow",
            )


def say_missing(missing: Sequence[str], listed: int) -> None:
    """Print the number of missing videos and the first ones, if there are any."""
    if missing:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        say(f"{len(missing)} of {listed} listed videos are missing: {shown}", style="yellow")
