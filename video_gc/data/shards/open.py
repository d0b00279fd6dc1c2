"""The index of shards → the videos of each split."""

import json
import os
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from video_gc.atomic import atomic_path
from video_gc.data.annotations.index_cache import converted
from video_gc.data.annotations.labels import number_labels
from video_gc.data.annotations.official import AnnotatedSplits
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.prepare.listing import SPLITS
from video_gc.data.shards.store import Kept, fetch_file, file_version, is_address
from video_gc.data.shards.write import INDEX, NAMES, SEVERAL, VERSION
from video_gc.shipped import cache_folder

PLACE = ("shard", "offset", "size")


def open_shards(
    root: str, names: Sequence[str] | None = None, *, multi_label: bool = False
) -> AnnotatedSplits:
    """The videos in the shards of a folder or an address, by their splits.

    Videos without a split are for training. names: class names in order; by default as they were
    listed. multi_label: whether the videos have several.

    Raises StoreError, or DataError for an index that is none, or one that is wrong about
    `multi_label`.
    """
    root = absolute_root(root)
    if is_address(root):
        Kept.of_process(os.getpid())  # what is wrong with it is said before a training begins
        file = _kept(root)
    else:
        file = Path(root, INDEX)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such index; video-gc prepare shards makes it")
    try:
        about = pa.parquet.read_schema(file).metadata or {}
        if VERSION not in about:
            raise DataError(f"{file}: not an index of video-gc prepare shards")
        if names is None and NAMES in about:
            names = json.loads(about[NAMES])
        there = pc.unique(pa.parquet.read_table(file, columns=["split"])["split"]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not an index of video-gc prepare shards") from error
    if odd := [split for split in there if split not in (*SPLITS, "")]:
        raise DataError(f"{file}: unknown split {odd[0]!r}; valid: {', '.join(SPLITS)}")
    several = about.get(SEVERAL) == b"true"
    if several != multi_label:
        counted, option = ("several classes", "true") if several else ("one class", "false")
        raise DataError(f"{file}: its videos have {counted}; give data.multi_label={option}")
    found: dict[str, VideoIndex] = {}
    for split in SPLITS:
        chosen = [split, ""] if split == "train" else [split]
        if not set(chosen) & set(there):
            continue
        kept = None if names is None else list(names)
        options = {"format": "shards", "split": split, "names": kept, "several": several}
        convert = partial(_convert, file, chosen, kept, several)
        found[split] = converted(file, options, root, convert).with_root(root)
        names = found[split].names
    if "train" not in found:
        raise DataError(f"{file}: it has no training videos")
    return AnnotatedSplits(found["train"], found.get("val"), found.get("test"))


def absolute_root(root: str) -> str:
    """An address as it is, a folder with its whole path."""
    return root.rstrip("/") if is_address(root) else os.path.abspath(root)


def _kept(root: str) -> Path:
    """A copy of the index at an address, fetched again when that has changed."""
    digest = sha256(f"{root} {file_version(root, INDEX)}".encode()).hexdigest()[:16]
    file = cache_folder("shards") / "indices" / f"{digest}.parquet"
    if not file.is_file():
        content = fetch_file(root, INDEX)
        with atomic_path(file) as part:
            part.write_bytes(content)
    return file


def _convert(
    file: Path, splits: Sequence[str], names: Sequence[str] | None, several: bool
) -> VideoIndex:
    wanted = ["path", "label", "start", "end", "group", *PLACE]
    where = pc.field("split").isin(splits)
    try:
        table = pa.parquet.read_table(file, columns=wanted, filters=where)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: damaged ({str(error).splitlines()[0]})") from error
    for name in ("start", "end", "group"):
        if table[name].null_count == len(table):
            table = table.drop([name])
    if several:
        lists = pc.split_pattern(table["label"].fill_null(""), "|")
        table = table.set_column(table.column_names.index("label"), "label", lists)
    return number_labels(table, file, names, multi_label=several, line=lambda row: f"row {row + 1}")
