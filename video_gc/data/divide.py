"""Divide videos between training, validation and test without dividing a group.

A greedy method in the manner of scikit-learn's StratifiedGroupKFold: each group, the largest first,
goes where the parts come nearest to their shares of every class and of all videos. Then groups
move, the smallest first, to parts that lack one of their classes, and as long as shares improve.
With few groups, the best of several orders counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from video_gc.data.index import DataError, VideoIndex
from video_gc.progress import say

EVERY = 5
"""One video, or group, of so many is held out for the test, and one of so many of the others for
validation."""
ROUNDS = 20
"""Most passes over the groups; in practice three or four change something."""
STARTS, ENOUGH = 30, 3000
"""Most orders that are tried, and most groups placed in all of them: a second at most."""


@dataclass(frozen=True)
class Fold:
    """One part of a k-fold cross-validation: the test videos of one training."""

    number: int
    """from 0"""
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def suffix(self) -> str:
        """The end of a run directory's name, such as _fold0of5."""
        return f"_fold{self.number}of{self.count}"


def read_fold(text: str) -> Fold:
    """`0/5` is the first of five folds. Raises ValueError for anything else."""
    numbers = re.fullmatch(r"(\d+)/(\d+)", text)
    if numbers is None:
        raise ValueError(f"fold ({text}) must be NUMBER/COUNT, such as fold=0/5")
    fold = Fold(int(numbers[1]), int(numbers[2]))
    if fold.count < 2:
        raise ValueError(f"fold ({text}): there must be at least 2 folds, such as fold=0/5")
    if fold.number >= fold.count:
        last = Fold(fold.count - 1, fold.count)
        raise ValueError(f"fold ({text}): the folds are 0/{fold.count} to {last}")
    return fold


def is_grouped(index: VideoIndex) -> bool:
    """Whether some videos belong together: by a column, or as parts of one file."""
    return "group" in index.table.column_names or bool(
        pc.count_distinct(index.table["path"]).as_py() < len(index)
    )


def groups_of(index: VideoIndex) -> tuple[np.ndarray, pa.Array]:
    """The number of each video's group (V,), and the sorted names of the groups.

    A video without a group is one of its own, named by its path.
    """
    column = index.table["path"].combine_chunks()
    if "group" in index.table.column_names:
        column = pc.coalesce(index.table["group"].combine_chunks(), column)
    coded = column.dictionary_encode()
    order = pc.array_sort_indices(coded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[coded.indices.to_numpy()], coded.dictionary.take(pa.array(order))


def hold_out(
    index: VideoIndex, seed: int = 0, *, test: bool = False
) -> tuple[VideoIndex, VideoIndex, VideoIndex]:
    """Videos for training and for validation and, with `test`, for a test.

    The test gets one video of `EVERY`, validation one of `EVERY` of the others. With groups: see
    `hold_out_groups`. Without: of each class every fifth video, in their order with seed 0. Of
    several labels the first counts. A class of two videos has none in the test, a class of one only
    trains; with no larger class the test is empty.

    Raises DataError if nothing can be held out.
    """
    if is_grouped(index):
        return hold_out_groups(index, seed, test=test)
    part = np.zeros(len(index), np.int8)
    rows_of_all = np.arange(len(index))
    if seed:
        rows_of_all = np.random.default_rng(seed).permutation(rows_of_all)
    order = rows_of_all[np.argsort(index.labels[rows_of_all], kind="stable")]
    ordered = index.labels[order]
    for rows in np.split(order, np.flatnonzero(np.diff(ordered)) + 1):
        if not len(rows) or index.labels[rows[0]] < 0:  # no video, or no label
            continue
        for number in range(min(1 + test, len(rows) - 1), 0, -1):
            held = rows[EVERY - 1 :: EVERY] if len(rows) >= EVERY else rows[-1:]
            part[held] = number
            rows = rows[~np.isin(rows, held)]
    return _parts(index, part, "video")


def hold_out_groups(
    index: VideoIndex, seed: int = 0, *, test: bool = False
) -> tuple[VideoIndex, VideoIndex, VideoIndex]:
    """Whole groups for training, validation and, with `test`, a test, in the shares of `hold_out`.

    Each class is in each part if it has enough groups that can be parted. A class with one group
    stays in training. If there are too few groups for three parts, the test is empty.

    Raises DataError if nothing can be held out.
    """
    groups, names = groups_of(index)
    stay = np.zeros(len(names), bool)
    stay[groups[np.isin(index.labels, _single_group_classes(groups, index.labels))]] = True
    if stay.all():
        return _parts(index, np.zeros(len(index), np.int8), "group")
    share = 1 / EVERY
    if test:
        shares = ((1 - share) ** 2, share * (1 - share), share)
        part = divide(groups, index.labels, shares, seed, stay)[groups]
        if {*part.tolist()} == {0, 1, 2}:
            return _parts(index, part, "group")
    return _parts(index, divide(groups, index.labels, (1 - share, share), seed, stay)[groups], "")


def _parts(
    index: VideoIndex, part: np.ndarray, one: str
) -> tuple[VideoIndex, VideoIndex, VideoIndex]:
    """The videos of parts 0, 1 and 2. Raises DataError if part 1 is empty: each is the only `one`
    of a class."""
    if not (part == 1).any():
        others = "videos of other groups" if one == "group" else "others"
        raise DataError(
            f"{index.path(0)}: nothing can be held out of {len(index)} videos for validation, "
            f"because each {one} is the only one of a class; add {others}, or give validation "
            "videos (DIR/train and DIR/val, or data.val=FILE)"
        )
    train, val, test = (index.take(np.flatnonzero(part == number)) for number in range(3))
    return train, val, test


def take_fold(
    index: VideoIndex, fold: Fold, seed: int = 0
) -> tuple[VideoIndex, VideoIndex, VideoIndex]:
    """Training, validation and test videos of a fold; each video is a test video of one fold.

    Validation takes whole groups of what is not tested, as `hold_out_groups`. Prints a warning for
    classes with one group.

    Raises DataError if there are fewer groups than folds, or as `hold_out_groups`.
    """
    groups, names = groups_of(index)
    if len(names) < fold.count:
        what = "groups" if is_grouped(index) else "videos"
        raise DataError(
            f"fold ({fold}): there are only {len(names)} {what}; give at most fold=0/{len(names)}"
        )
    single = _single_group_classes(groups, index.labels)
    if len(single):
        say(
            f"{named_classes(index.names, single)}: one group only, so the fold that tests it has "
            "no training video of it and must get it wrong; add videos of other groups",
            style="yellow",
        )
    shares = [1 / fold.count] * fold.count
    tested = divide(groups, index.labels, shares, seed)[groups] == fold.number
    train, val, _ = hold_out_groups(index.take(np.flatnonzero(~tested)), seed)
    return train, val, index.take(np.flatnonzero(tested))


def divide(
    groups: np.ndarray,
    labels: np.ndarray,
    shares: Sequence[float],
    seed: int = 0,
    stay: np.ndarray | None = None,
) -> np.ndarray:
    """The part (G,) of each group, numbers from 0.

    groups, labels (V,): numbers of each video's group and class, -1 for no class. shares: of the
        videos that each part is to get; their sum is 1.
    seed: 0 takes groups of equal size by number, others at random. stay (G,): groups for part 0.
    """
    labels = labels + 1
    pairs, videos = np.unique(np.stack([groups, labels]), axis=1, return_counts=True)
    starts = np.searchsorted(pairs[0], np.arange(groups.max() + 2))
    # the last column counts all videos
    wanted = np.outer(shares, [*np.bincount(labels), len(labels)])
    contents = [
        (np.append(pairs[1, begin:end], -1), np.append(videos[begin:end], videos[begin:end].sum()))
        for begin, end in pairwise(starts)
    ]
    sizes = np.bincount(groups)
    random = np.random.default_rng(seed)
    found = []
    for start in range(max(1, min(STARTS, ENOUGH // len(sizes)))):
        order = random.permutation(len(sizes)) if seed or start else np.arange(len(sizes))
        if not start:
            order = order[np.argsort(-sizes[order], kind="stable")]
        found.append(_divide(contents, wanted, order, stay))
    return min(found, key=lambda one: one[:2])[2]


def _divide(
    contents: Sequence[tuple[np.ndarray, np.ndarray]],
    wanted: np.ndarray,
    order: np.ndarray,
    stay: np.ndarray | None,
) -> tuple[int, float, np.ndarray]:
    """Number of classes that parts lack, distance from `wanted` (parts, C), part of each group.

    contents: columns of `wanted` and number of videos of each group.
    """
    have = np.zeros_like(wanted)
    part = np.full(len(order), -1)
    for number in range(ROUNDS):
        before = part.copy()
        for group in order[::-1] if number else order:
            classes, counts = contents[group]
            if part[group] >= 0:
                have[part[group], classes] -= counts
            there, full = have[:, classes], wanted[:, classes]
            gained = (there[:, :-1] == 0).sum(1) * (number > 0)
            if stay is not None and stay[group]:
                part[group] = 0
            else:
                part[group] = _best_part(there, full, counts, gained, part[group])
            have[part[group], classes] += counts
        if (part == before).all():
            break
    real = wanted > 0  # there may be no video without a class
    distance = ((have - wanted)[real] ** 2 / wanted[real]).sum()
    return int((have[real] == 0).sum()), round(float(distance), 6), part


def _best_part(
    have: np.ndarray, wanted: np.ndarray, counts: np.ndarray, gained: np.ndarray, now: int
) -> int:
    """The part for a group of `counts` (C,) videos; have, wanted: (parts, C) without the group.

    The first aim is the largest `gained` (parts,), the second a small sum of (have - wanted)² /
    wanted. A group stays where it is (`now`, -1 for nowhere) if no other part is better.
    """
    change = (counts * (2 * (have - wanted) + counts) / wanted).sum(1)
    change[gained < gained.max()] = np.inf
    best = int(change.argmin())
    return now if now >= 0 and change[now] <= change[best] + 1e-9 else best


def _single_group_classes(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The numbers of the classes whose videos are all in one group."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    classes, counts = np.unique(pairs[0], return_counts=True)
    return classes[(counts == 1) & (classes >= 0)]


def named_classes(names: Sequence[str], classes: Sequence[int] | np.ndarray) -> str:
    """`class 'a'`, or `4 classes such as 'a', 'b', 'c'`. classes: their numbers."""
    shown = ", ".join(repr(names[number]) for number in classes[:3])
    return f"class {shown}" if len(classes) == 1 else f"{len(classes):,} classes such as {shown}"
