"""Which videos train, choose and test: from a config to three VideoIndex tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from video_gc.atomic import write_text
from video_gc.data.annotations import (
    DataError,
    VideoIndex,
    hold_out,
    leave_out_missing,
    read_class_folders,
    read_list,
)
from video_gc.data.annotations.choice import (
    LISTS,
    OFFICIAL,
    OfficialFiles,
    Parts,
    read_listed,
)
from video_gc.data.config import DataConfig
from video_gc.data.manifest import apply_manifest, choose_manifest
from video_gc.data.motions import open_motions
from video_gc.progress import say

__all__ = [
    "DataConfig",
    "Splits",
    "open_splits",
    "read_splits",
    "without_damaged",
    "write_splits",
]


@dataclass(frozen=True)
class Splits:
    """Disjoint videos for training, for choosing, and for the score."""

    train: VideoIndex
    val: VideoIndex
    test: VideoIndex
    missing: list[str] = field(default_factory=list)
    """listed videos that are not there"""


def open_splits(config: DataConfig) -> Splits:
    """Index the data set; `motions` is generated where it is missing.

    Listed videos that are not there are left out, counted and named; so are those that a manifest
    calls damaged.

    Raises FileNotFoundError or DataError with the way out.
    """
    parts = _read(config, _read_names(config.names))
    manifest = choose_manifest(config.manifest, config.root)
    missing = list(parts.missing)
    kept: list[VideoIndex | None] = []
    for index in (parts.train, parts.val, parts.test):
        if index is None:
            kept.append(None)
            continue
        if manifest is not None:
            index = without_damaged(index, manifest)
        if config.kind in LISTS:
            index, absent = leave_out_missing(index)
            missing += absent
        kept.append(index)
    listed = sum(len(index) for index in kept if index) + len(missing)
    _say_missing(missing, listed)
    train, val, test = kept
    if train is None:
        raise DataError("data.train is missing: give a list of `path label`, data.train=FILE")
    for what, index in (("training", train), ("validation", val), ("test", test)):
        if index is not None:
            _need_labels(index, what)
    if val is not None:
        return Splits(train, val, val if test is None else test, missing)
    return _held_out(train, test, missing)


def write_splits(splits: Splits, folder: Path) -> Splits:
    """Keep which videos train, choose and test, so that new files in a folder change nothing.

    Writes train.arrow, val.arrow, test.arrow and, where videos are missing, missing.txt. Returns
    the same splits, memory-mapped.
    """
    for split in ("train", "val", "test"):
        index: VideoIndex = getattr(splits, split)
        index.with_root(Path(index.root).absolute()).save(folder / f"{split}.arrow")
    if splits.missing:
        file = write_text(folder / "missing.txt", "".join(f"{name}\n" for name in splits.missing))
        say(f"The {len(splits.missing)} missing videos are listed in {file}")
    return read_splits(folder)


def read_splits(folder: Path) -> Splits:
    """What `write_splits` kept."""
    if (folder / "train.arrow").is_file():
        train, val, test = (
            VideoIndex.open(folder / f"{split}.arrow") for split in ("train", "val", "test")
        )
    else:  # runs of version 0.1 kept lists
        names = _read_names(str(folder / "names.txt"))
        train, val, test = (
            read_list(folder / f"{split}.txt", names=names) for split in ("train", "val", "test")
        )
    return Splits(train, val, test)


def without_damaged(index: VideoIndex, manifest: Path) -> VideoIndex:
    """The videos that a manifest calls sound; says how many others there are.

    Raises DataError for a file that is no manifest, or where no video is left.
    """
    index, left_out = apply_manifest(index, manifest)
    if left_out:
        say(
            f"{len(left_out)} of {len(index) + len(left_out)} videos are left out after {manifest}"
            f", such as {left_out[0][0]} ({left_out[0][1]})",
            style="yellow",
        )
    return index


def _read(config: DataConfig, names: list[str] | None) -> Parts:
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
        return _listed(read, files, names)
    if config.kind == "motions":
        root = open_motions(root or Path("data/motions"))
    assert root is not None
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder (data.root)")
    if config.kind in OFFICIAL:
        annotations = Path(config.annotations) if config.annotations else root / "annotations"
        if config.annotations is None and not annotations.is_dir():
            annotations = root
        given = {"train": config.train, "val": config.val, "test": config.test}
        return OFFICIAL[config.kind](OfficialFiles(root, annotations, given, names, config.split))
    if not (root / "train").is_dir():
        return Parts(read_class_folders(root, names))
    train = read_class_folders(root / "train", names)
    val, test = (
        read_class_folders(root / split, train.names) if (root / split).is_dir() else None
        for split in ("val", "test")
    )
    return Parts(train, val, test)


def _listed(
    read: Callable[..., VideoIndex], files: Sequence[Path | None], names: list[str] | None
) -> Parts:
    train, val, test = files
    if train is None:
        raise DataError("data.train is missing: give a list of `path label`, data.train=FILE")
    first = read(train, names=names)
    other = [read(file, names=first.names) if file else None for file in (val, test)]
    return Parts(first, other[0], other[1])


def _need_labels(index: VideoIndex, what: str) -> None:
    if not len(index):
        raise DataError(f"there are no {what} videos left; see what is missing above")
    if index.multi_label:
        if (index.labels < 0).all():
            raise DataError(f"none of the {len(index)} {what} videos has a label")
        return
    without = (index.labels < 0).nonzero()[0]
    if len(without):
        raise DataError(
            f"{index.path(int(without[0]))}: has no label, like {len(without)} of {len(index)} "
            f"{what} videos; they cannot be scored (tools/predict.py needs no labels)"
        )


def _say_missing(missing: list[str], listed: int) -> None:
    if missing:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        say(f"{len(missing)} of {listed} listed videos are missing: {shown}", style="yellow")


def _held_out(index: VideoIndex, test: VideoIndex | None, missing: list[str]) -> Splits:
    train, val = hold_out(index)
    say(
        f"No validation videos given: every fifth of each class is held out ({len(val)} of "
        f"{len(index)}). If neighbouring files show the same scene, give lists instead."
    )
    return Splits(train, val, val if test is None else test, missing)


def _read_names(file: str | None) -> list[str] | None:
    if file is None:
        return None
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: no such file of class names (data.names)")
    return [line.strip() for line in Path(file).read_text().splitlines() if line.strip()]
