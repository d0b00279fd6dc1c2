"""The videos of a test, and the listed videos that it leaves out, by cause."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.annotations.groups import COLUMN, found_groups, with_groups
from video_gc.data.annotations.listed_files import leave_out_missing
from video_gc.data.annotations.lists import kind_of_list, read_listed
from video_gc.data.annotations.needed_labels import need_labels, say_missing
from video_gc.data.config import LISTS, DataConfig
from video_gc.data.fingerprint import fingerprint, fingerprint_warning, published_count_note
from video_gc.data.index import VideoIndex
from video_gc.data.manifest import choose_manifest
from video_gc.data.splits import (
    Splits,
    data_manifest,
    open_splits,
    read_splits,
    without_damaged,
)
from video_gc.progress import say
from video_gc.train.checkpoint import CheckpointContents, default_output

Item = TypeVar("Item")
DAMAGED = "damaged_when_read"
"""The cause that skipped.csv explains."""
LOOKED_AT = 32
"""Test videos looked for before a test."""
TEST = "the run's test videos"
VALIDATION = "the validation videos (the run has no other test videos)"


@dataclass(frozen=True)
class EvaluatedVideos:
    """The tested videos, and the number of listed videos that are not tested."""

    index: VideoIndex
    manifest: Path | None
    missing: int = 0
    """listed, but missing"""
    damaged: int = 0
    """damaged or missing according to a manifest"""
    unexplained: int = 0
    """missing or damaged; runs of older versions have only their number"""
    outside_subset: int = 0
    """left out by `subset_of`"""
    validation: bool = False
    """whether these are the run's validation videos"""

    @property
    def title(self) -> str:
        """The run's own videos in words."""
        return VALIDATION if self.validation else TEST

    @property
    def part(self) -> str:
        """The subset in words; empty if all videos are tested."""
        number = len(self.index)
        whole = number + self.outside_subset
        return f"a subset of {number} of {whole} videos" if self.outside_subset else ""

    def coverage(self, not_scored: int) -> dict[str, int]:
        """listed = scored + the numbers by cause. not_scored: damaged when read."""
        causes = {
            "missing": self.missing,
            "left_out_by_manifest": self.damaged,
            DAMAGED: not_scored,
            "missing_or_damaged_before_training": self.unexplained,
            "outside_subset": self.outside_subset,
        }
        listed = len(self.index) + sum(causes.values()) - not_scored
        return {"listed": listed, "scored": len(self.index) - not_scored} | causes


def subset_of(videos: EvaluatedVideos, count: int) -> EvaluatedVideos:
    """`count` of the videos, always the same ones, spread evenly over the classes.

    A larger subset contains a smaller one. The order stays. Of several labels the first counts.
    """
    index = videos.index
    if count >= len(index):
        return videos
    order = np.random.default_rng(0).permutation(len(index)).tolist()
    rows = np.sort(classes_in_turn(order, index.labels.__getitem__)[:count])
    return replace(videos, index=index.take(rows), outside_subset=len(index) - count)


def classes_in_turn(items: Sequence[Item], class_of: Callable[[Item], object]) -> list[Item]:
    """The first item of each class, then the second of each, …; else in their order."""
    seen: Counter[object] = Counter()
    turns = []
    for item in items:
        turns.append(seen[class_of(item)])
        seen[class_of(item)] += 1
    return [items[place] for place in sorted(range(len(items)), key=turns.__getitem__)]


def videos_to_test(
    checkpoint: Path,
    contents: CheckpointContents,
    trained: DataConfig,
    data: Path | None,
    root: Path | None,
) -> EvaluatedVideos:
    """The videos of a folder or list, in the groups that the training's pattern finds; without
    `data` the run's test videos.

    Raises FileNotFoundError, DataError, and ValueError for data that does not fit the checkpoint.
    """
    if data is None:
        return _trained_for(checkpoint, contents, trained)
    if data.is_file():
        index = _listed(data, trained, contents, root)
    elif data.is_dir() and trained.multi_label:
        raise ValueError(
            f"{data}: class folders have one label a video, this checkpoint was trained with "
            "several; give --data a table or list"
        )
    elif data.is_dir():
        index, root = read_class_folders(data, contents.names), data
    else:
        raise FileNotFoundError(f"{data}: no such list or folder (--data)")
    listed = len(index)
    missing: list[str] = []
    manifest = choose_manifest(None, root, [data])
    if manifest is not None:
        index = without_damaged(index, manifest)
    if data.is_file():
        index, missing = leave_out_missing(index)
        say_missing(missing, listed)
    need_labels(index, "test")
    damaged = listed - len(index) - len(missing)
    return EvaluatedVideos(
        _grouped(index, trained.group, data), manifest, missing=len(missing), damaged=damaged
    )


def _grouped(index: VideoIndex, pattern: str | None, data: Path) -> VideoIndex:
    """The videos with the groups that `pattern` (data.group) finds, if it finds one for each.

    A folder with other names than the training's can be tested without; then a line says so.
    """
    if pattern is None:
        return index
    paths = index.table["path"].to_pylist()
    alone = [
        path
        for path, group in zip(paths, found_groups(paths, pattern), strict=True)
        if group is None
    ]
    if not alone:
        return with_groups(index, pattern)
    if COLUMN not in index.table.column_names:
        say(
            f"{data}: no groups are known for these videos: the training's data.group "
            f"({pattern!r}) finds none in {alone[0]!r}, like {len(alone):,} of {len(paths):,}; "
            "intervals will take each video as independent",
            style="yellow",
        )
    return index


def _trained_for(
    checkpoint: Path, contents: CheckpointContents, trained: DataConfig
) -> EvaluatedVideos:
    """The test videos stored when the training started, or else those of the config."""
    manifest = data_manifest(trained)
    folder = default_output(checkpoint, "splits")
    if folder.is_dir():
        kept, splits = read_splits(folder), read_splits(folder, manifest, only=("test",))
    else:
        kept = splits = open_splits(trained, contents.config.get("fold"))
    chose = _validate(kept)
    names = splits.test.names
    if names != contents.names:
        raise ValueError(
            f"the checkpoint knows {len(contents.names)} classes, the data {len(names)}; "
            "give --data with the classes it was trained on"
        )
    _check_there(splits.test, checkpoint)
    left_out, absent = splits.left_out.get("test", 0), splits.absent.get("test")
    if absent is None:
        return EvaluatedVideos(splits.test, manifest, unexplained=left_out, validation=chose)
    return EvaluatedVideos(
        splits.test, manifest, missing=absent, damaged=left_out - absent, validation=chose
    )


def kept_videos(checkpoint: Path) -> str:
    """The videos that a test without --data scores, in words."""
    folder = default_output(checkpoint, "splits")
    return VALIDATION if folder.is_dir() and _validate(read_splits(folder)) else TEST


def _validate(splits: Splits) -> bool:
    """Whether the test videos are the validation videos."""
    return bool(splits.val.table.equals(splits.test.table))


def _check_there(index: VideoIndex, checkpoint: Path) -> None:
    """Raise FileNotFoundError if a sample of files has none that exists: the data was moved."""
    rows = range(0, len(index), max(1, len(index) // LOOKED_AT))
    paths = [path for row in rows if isinstance(path := index.path(row), Path)]
    if paths and not any(map(os.path.lexists, paths)):
        raise FileNotFoundError(
            f"{paths[0]}: no such file, like the other test videos of {checkpoint}; if they were "
            "moved, give --data DIR (the folder of the classes, or a list)"
        )


def _listed(
    data: Path, config: DataConfig, contents: CheckpointContents, root: Path | None
) -> VideoIndex:
    """A list or table, read with the options of the training if that used the same kind."""
    kind = config.kind if config.kind in LISTS else kind_of_list(data)
    return read_listed(
        data,
        kind=kind,
        root=root,
        names=contents.names,
        multi_label=config.multi_label,
        columns=config.table_columns,
    )


def fingerprint_of(
    videos: EvaluatedVideos, contents: CheckpointContents, trained: DataConfig, data: Path | None
) -> str:
    """The tested copy of the data; warns if it differs from the training's or the published one."""
    found = fingerprint(videos.index, videos.manifest)
    if videos.outside_subset:
        return found
    name = str(data or f"{trained.kind} {trained.root}")
    for line in (
        fingerprint_warning(contents.fingerprint, found),
        published_count_note(name, len(videos.index), len(contents.names)),
    ):
        if line:
            say(line, style="yellow")
    return found
