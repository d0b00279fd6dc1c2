"""Which videos train, choose and test: from a config to three VideoIndex tables."""

from dataclasses import dataclass
from pathlib import Path

from video_gc.atomic import write_text
from video_gc.data.annotations import (
    DataError,
    VideoIndex,
    hold_out,
    read_class_folders,
    read_list,
    write_list,
)
from video_gc.data.motions import open_motions
from video_gc.progress import say

KINDS = ("motions", "folder", "list")


@dataclass(kw_only=True)
class DataConfig:
    """A data set and how it is read."""

    kind: str = "motions"
    """motions (generated where it is missing), folder (ROOT/CLASS/video) or list (`path label`)"""
    root: str | None = None
    """folder of the videos; for lists, what relative paths start from (the list's own folder)"""
    train: str | None = None
    """list of training videos (kind list)"""
    val: str | None = None
    """list that chooses the best checkpoint; without it every fifth training video is held out"""
    test: str | None = None
    """list that is tested; without it, the validation videos"""
    names: str | None = None
    """file of class names, one a line, in order"""
    flip: float = 0.5
    """probability of a mirrored training clip; 0 where left and right are classes"""
    workers: int = 2
    """loader processes; 0 decodes in the training process"""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"data.kind ({self.kind!r}) must be one of {', '.join(KINDS)}")
        if self.kind == "folder" and self.root is None:
            raise ValueError("data.root is missing: give the folder, data.root=DIR")
        if self.kind == "list" and self.train is None and self.test is None:
            raise ValueError("data.train is missing: give a list of `path label`, data.train=FILE")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"data.flip ({self.flip}) must be in [0, 1]")
        if self.workers < 0:
            raise ValueError(f"data.workers ({self.workers}) must not be negative")


@dataclass(frozen=True)
class Splits:
    """Disjoint videos for training, for choosing, and for the score."""

    train: VideoIndex
    val: VideoIndex
    test: VideoIndex


def open_splits(config: DataConfig) -> Splits:
    """Index the data set; `motions` is generated where it is missing.

    Raises FileNotFoundError or DataError with the way out.
    """
    names = _read_names(config.names)
    root = Path(config.root) if config.root else None
    if config.kind == "motions":
        root = open_motions(root or Path("data/motions"))
    if config.kind == "list":
        if config.train is None:
            raise DataError("data.train is missing: give a list of `path label`, data.train=FILE")
        train = read_list(Path(config.train), root, names)
        lists = [Path(file) if file else None for file in (config.val, config.test)]
        val, test = (read_list(file, root, train.names) if file else None for file in lists)
    else:
        assert root is not None
        if not root.is_dir():
            raise FileNotFoundError(f"{root}: no such folder (data.root)")
        if not (root / "train").is_dir():
            return _held_out(read_class_folders(root, names), None)
        train = read_class_folders(root / "train", names)
        val, test = (
            read_class_folders(root / split, train.names) if (root / split).is_dir() else None
            for split in ("val", "test")
        )
    return Splits(train, val, test or val) if val else _held_out(train, test)


def write_splits(splits: Splits, folder: Path) -> None:
    """Keep which videos train, choose and test, so that new files in a folder change nothing."""
    write_text(folder / "names.txt", "".join(f"{name}\n" for name in splits.train.names))
    for split in ("train", "val", "test"):
        write_list(getattr(splits, split), folder / f"{split}.txt")


def read_splits(folder: Path) -> Splits:
    """What `write_splits` kept."""
    names = _read_names(str(folder / "names.txt"))
    train, val, test = (
        read_list(folder / f"{split}.txt", names=names) for split in ("train", "val", "test")
    )
    return Splits(train, val, test)


def _held_out(index: VideoIndex, test: VideoIndex | None) -> Splits:
    train, val = hold_out(index)
    say(
        f"No validation videos given: every fifth of each class is held out ({len(val)} of "
        f"{len(index)}). If neighbouring files show the same scene, give lists instead."
    )
    return Splits(train, val, test or val)


def _read_names(file: str | None) -> list[str] | None:
    if file is None:
        return None
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: no such file of class names (data.names)")
    return [line.strip() for line in Path(file).read_text().splitlines() if line.strip()]
