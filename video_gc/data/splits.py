"""The videos for training, validation and test: from a config to three VideoIndex tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from video_gc.atomic import atomic_path, write_text
from video_gc.data.annotations.class_folders import open_class_folders
from video_gc.data.annotations.folder_scan import PassedOver
from video_gc.data.annotations.groups import group_in_two_splits, with_groups
from video_gc.data.annotations.listed_files import leave_out_missing
from video_gc.data.annotations.lists import read_listed
from video_gc.data.annotations.needed_labels import (
    need_classes,
    need_labels,
    say_lacking,
    say_missing,
)
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
from video_gc.progress import counted, say

SPLITS = {"train": "training", "val": "validation", "test": "test"}
"""Name of a split → name of its videos in messages."""
NO_TEST = (
    "There are no test videos: the validation videos, on which the checkpoint is chosen, are "
    "tested too, so their score will be optimistic; give others (DIR/test, or data.test=FILE)"
)


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
        kept = _held_out(kept, config.split_seed)
    if "test" not in kept:
        if config.kind not in OFFICIAL:  # there the papers do so too
            say(NO_TEST, style="yellow")
        kept["test"], left_out["test"], gone["test"] = kept["val"], left_out["val"], gone["val"]
    say_lacking(kept)
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
    parts = {"train": train, "val": val, "test": test}
    say(f"Fold {fold}: {_uses(parts)}")
    return parts


def _held_out(given: dict[str, VideoIndex], seed: int) -> dict[str, VideoIndex]:
    """The splits, with validation videos, and test videos if there are none, held out."""
    whole = given["train"]
    train, val, test = hold_out(whole, seed, test="test" not in given)
    found = given | {"train": train, "val": val} | ({"test": test} if len(test) else {})
    parts = {"train": train, "val": val, "test": test}
    said = f"No {'validation' if 'test' in given else 'validation and test'} videos given: "
    if is_grouped(whole):
        say(f"{said}{_uses(parts)}; no group is divided.")
    else:
        say(
            f"{said}{_uses(parts)}, from each class in turn. If neighbouring files show the same "
            "scene, name their groups (data.group=PATTERN, or a table with a column `group`)."
        )
    return found


def _uses(parts: Mapping[str, VideoIndex]) -> str:
    """`8 videos to test, 4 videos for validation, 20 videos for training`."""
    uses = {"test": "to test", "val": "for validation", "train": "for training"}
    return ", ".join(f"{_counted(parts[name])} {use}" for name, use in uses.items() if parts[name])


def _counted(index: VideoIndex) -> str:
    """`40 videos`, or `40 videos (8 groups)`."""
    groups = f" ({counted(len(groups_of(index)[1]), 'group')})" if is_grouped(index) else ""
    return f"{counted(len(index), 'video')}{groups}"


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
