"""The videos for training, validation and test: from a config to three VideoIndex tables."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from video_gc.atomic import atomic_path, write_text
from video_gc.data.annotations.class_folders import open_class_folders
from video_gc.data.annotations.folder_scan import PassedOver
from video_gc.data.annotations.groups import group_in_two_splits, with_groups
from video_gc.data.annotations.listed_files import leave_out_missing
from video_gc.data.annotations.lists import read_listed
from video_gc.data.annotations.official import (
    OFFICIAL,
    AnnotatedSplits,
    OfficialFiles,
    annotations_of,
)
from video_gc.data.annotations.text_files import read_names
from video_gc.data.config import LISTS, DataConfig
from video_gc.data.divide import groups_of, hold_out, is_grouped, read_fold, take_fold
from video_gc.data.generated.motions import MOTIONS, open_motions
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.manifest import apply_manifest, choose_manifest
from video_gc.data.shards.open import absolute_root, open_shards
from video_gc.outputs import fill_csv
from video_gc.progress import say

SPLITS = {"train": "training", "val": "validation", "test": "test"}
"""Name of a split → name of its videos in messages."""


@dataclass(frozen=True)
class Splits:
    """Disjoint videos for training, validation and test."""

    train: VideoIndex
    val: VideoIndex
    test: VideoIndex
    missing: list[str] = field(default_factory=list)
    """listed videos that do not exist"""
    left_out: dict[str, int] = field(default_factory=dict)
    """train, val or test → number of listed videos that are missing, or damaged in a manifest; for
    a held-out split they count in the split it was taken from"""
    absent: dict[str, int] = field(default_factory=dict)
    """number of missing videos in `left_out`; no entry if only the sum is known"""
    passed_over: PassedOver = field(default_factory=PassedOver)
    """contents of a folder of classes that are not its videos"""


def open_splits(config: DataConfig, fold: str | None = None) -> Splits:
    """Index the data set; `motions` is generated if missing.

    fold: such as 0/5; divides all videos into test, validation and training videos. Missing listed
    videos are left out, counted and named; so are videos that are damaged in a manifest.

    Raises FileNotFoundError or DataError; the message says what to do.
    """
    listed = _annotated(config)
    manifest = data_manifest(config)
    missing = [name for names in listed.missing.values() for name in names]
    left_out = Counter({split: len(names) for split, names in listed.missing.items()})
    gone = Counter(left_out)
    kept: dict[str, VideoIndex] = {}
    for split in SPLITS:
        index: VideoIndex | None = getattr(listed, split)
        if index is None:
            continue
        count = len(index)
        if manifest is not None:
            index = without_damaged(index, manifest)
        if config.kind in LISTS:
            index, absent = leave_out_missing(index)
            missing += absent
            gone[split] += len(absent)
        left_out[split] += count - len(index)
        kept[split] = with_groups(index, config.group)
    say_missing(missing, sum(map(len, kept.values())) + len(missing))
    named = {SPLITS[split]: index for split, index in kept.items()}
    if config.kind not in OFFICIAL and (leak := group_in_two_splits(named)):
        say(leak, style="yellow")
    for split, index in kept.items():
        need_labels(index, SPLITS[split])
    need_classes(kept["train"])
    if fold is not None:
        kept = _fold(config, fold, kept)
    if "val" not in kept:
        whole = kept["train"]
        kept["train"], kept["val"] = hold_out(whole, seed=config.split_seed)
        say(_held_out(whole, kept["val"]))
    if "test" not in kept:
        kept["test"], left_out["test"], gone["test"] = kept["val"], left_out["val"], gone["val"]
    counts, absences = ({split: of[split] for split in SPLITS} for of in (left_out, gone))
    return Splits(
        kept["train"], kept["val"], kept["test"], missing, counts, absences, listed.passed_over
    )


def _fold(config: DataConfig, fold: str, given: dict[str, VideoIndex]) -> dict[str, VideoIndex]:
    """The splits of a fold. Raises DataError for data with splits of their own."""
    if others := [split for split in given if split != "train"]:
        place = config.root or config.train or config.kind
        raise DataError(
            f"fold ({fold}): {place} has {' and '.join(others)} videos of its own, and "
            "folds divide all videos anew; leave out fold, or give all videos as one folder of "
            "classes or as data.train=FILE alone"
        )
    whole = given["train"]
    train, val, test = take_fold(whole, read_fold(fold), config.split_seed)
    say(
        f"Fold {fold}: {_counted(test)} to test, {_counted(val)} for validation, {_counted(train)} "
        "for training"
    )
    return {"train": train, "val": val, "test": test}


def _held_out(whole: VideoIndex, held: VideoIndex) -> str:
    if is_grouped(whole):
        return (
            f"No validation videos given: {_counted(held)} of {_counted(whole)} are held out; "
            "no group is divided."
        )
    return (
        f"No validation videos given: every fifth of each class is held out ({len(held)} of "
        f"{len(whole)}). If neighbouring files show the same scene, name their groups "
        "(data.group=PATTERN, or a table with a column `group`)."
    )


def _counted(index: VideoIndex) -> str:
    """`40 videos`, or `40 videos (8 groups)`."""
    groups = f" ({len(groups_of(index)[1]):,} groups)" if is_grouped(index) else ""
    return f"{len(index):,} videos{groups}"


def data_manifest(config: DataConfig) -> Path | None:
    """The manifest of a data set: the given one, or the one written by `check`."""
    root = config.root
    if config.kind == "shards":
        return None  # what is packed was checked before
    if config.kind == "motions":
        root = str(Path(root or MOTIONS) / config.task)
    files = (config.train, config.val, config.test) if config.kind in LISTS else ()
    return choose_manifest(config.manifest, root, [file for file in files if file])


def write_splits(splits: Splits, folder: Path) -> Splits:
    """Store which videos train, validate and test, so new files in a folder change nothing.

    Writes train.arrow, val.arrow and test.arrow, and if needed missing.txt (listed videos that do
    not exist) and passed_over.csv (other files, hidden files, …). Returns the same splits,
    memory-mapped.
    """
    for split in SPLITS:
        index: VideoIndex = getattr(splits, split)
        about = {"left_out": splits.left_out.get(split, 0)}
        if split in splits.absent:
            about["missing"] = splits.absent[split]
        index.with_root(absolute_root(index.root)).save(folder / f"{split}.arrow", about)
    if splits.missing:
        file = write_text(folder / "missing.txt", "".join(f"{name}\n" for name in splits.missing))
        say(f"The {len(splits.missing)} missing videos are listed in {file}")
    if len(splits.passed_over):
        file = folder / "passed_over.csv"
        with atomic_path(file) as part:
            fill_csv(part, ["kind", "path"], splits.passed_over.rows())
        say(f"What was passed over is listed in {file}")
    return read_splits(folder)


def read_splits(
    folder: Path, manifest: Path | None = None, only: Sequence[str] = tuple(SPLITS)
) -> Splits:
    """The splits stored by `write_splits`, without damaged videos of a (perhaps newer) manifest.

    only: the splits to which a manifest is applied.

    Raises DataError for a file that is not a manifest, or if no video is left.
    """
    kept = {split: VideoIndex.open(folder / f"{split}.arrow") for split in SPLITS}
    left_out = {split: int(index.about.get("left_out", 0)) for split, index in kept.items()}
    absent = {
        split: int(index.about["missing"])
        for split, index in kept.items()
        if "missing" in index.about
    }
    if manifest is not None:
        for split in only:
            sound = without_damaged(kept[split], manifest)
            left_out[split] += len(kept[split]) - len(sound)
            kept[split] = sound
    return Splits(kept["train"], kept["val"], kept["test"], left_out=left_out, absent=absent)


def without_damaged(index: VideoIndex, manifest: Path) -> VideoIndex:
    """The sound videos of a manifest; prints how many are left out.

    Raises DataError for a file that is not a manifest, or if no video is left.
    """
    index, left_out = apply_manifest(index, manifest)
    if left_out:
        such = f", such as {left_out[0][0]} ({left_out[0][1]})"
        whole = len(index) + len(left_out)
        say(f"{len(left_out)} of {whole} videos are left out by {manifest}{such}", style="yellow")
    return index


def _annotated(config: DataConfig) -> AnnotatedSplits:
    """The config's annotations, with nothing left out."""
    names = read_names(config.names) if config.names else None
    if config.kind == "shards":
        return open_shards(config.root or "", names, multi_label=config.multi_label)
    root = Path(config.root) if config.root else None
    if config.kind in LISTS:
        files = [Path(file) if file else None for file in (config.train, config.val, config.test)]
        read = partial(
            read_listed,
            kind=config.kind,
            root=root,
            multi_label=config.multi_label,
            columns=config.table_columns,
        )
        if files[0] is None:
            raise DataError(config.without_list)
        listed = read(files[0], names=names)
        val, test = (read(file, names=listed.names) if file else None for file in files[1:])
        return AnnotatedSplits(listed, val, test)
    if config.kind == "motions":
        root = open_motions(root or MOTIONS, config.task)
    assert root is not None
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder (data.root)")
    if config.kind in OFFICIAL:
        annotations = Path(config.annotations) if config.annotations else annotations_of(root)
        given = {"train": config.train, "val": config.val, "test": config.test}
        return OFFICIAL[config.kind](OfficialFiles(root, annotations, given, names, config.split))
    found = open_class_folders(root, names)
    return AnnotatedSplits(
        found.splits["train"],
        found.splits.get("val"),
        found.splits.get("test"),
        passed_over=found.passed_over,
    )


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


def say_missing(missing: Sequence[str], listed: int) -> None:
    """Print the number of missing videos and the first ones, if there are any."""
    if missing:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        say(f"{len(missing)} of {listed} listed videos are missing: {shown}", style="yellow")
