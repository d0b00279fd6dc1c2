"""Kinetics-400, 600 and 700: the official CSV and the layouts of the usual downloads.

The CSV has the columns label, youtube_id, time_start, time_end and split. The official crawler
writes ID_000010_000020.mp4 (start and end in seconds, six digits) to ROOT/SPLIT/CLASS, the CVDF
mirror to ROOT/SPLIT. Other copies name the file ID.mp4.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from video_gc.data.annotations.folder_scan import scan
from video_gc.data.annotations.labels import number_labels
from video_gc.data.annotations.tables import columns_of, line_of, read_columns
from video_gc.data.index import DataError, VideoIndex

CLIP = re.compile(r"(.{11})(?:_(\d{6})_(\d{6}))?")
FILES = {
    "train": ("train.csv",),
    "val": ("val.csv", "validate.csv", "validation.csv"),
    "test": ("test.csv",),
}
"""Name of a split's annotation file in the official archives."""


def read_kinetics(
    file: Path, videos: dict[str, list[str]], root: Path, names: Sequence[str] | None = None
) -> tuple[VideoIndex, list[str]]:
    """Index an official CSV; also returns the missing clips.

    videos: of `kinetics_videos`. names: class names in order; the sorted labels by default.

    A CSV without labels (of the test split) gives the class number -1.

    Raises FileNotFoundError, or DataError with the existing columns or the line.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such list of Kinetics")
    there = columns_of(file)
    wanted = {"youtube_id": "youtube_id", "start": "time_start", "end": "time_end"}
    wanted |= {"label": "label"} if "label" in there else {}
    rows = read_columns(file, wanted)
    columns = {name: rows[name].to_pylist() for name in wanted}
    labels = columns.get("label", [""] * len(rows))
    if names is None:  # from all rows: missing clips must not change the numbers
        names = sorted({label for label in labels if label})
    split = _split(_split_column(file, there), file)
    paths: list[str] = []
    kept: list[int] = []
    missing: list[str] = []
    for row, youtube_id in enumerate(columns["youtube_id"]):
        start, end = (_second(columns[name][row], file, row) for name in ("start", "end"))
        found = videos.get(f"{youtube_id}_{start}") or videos.get(youtube_id)
        if found:
            kept.append(row)
            paths.append(_best(found, split))
        else:
            missing.append(f"{youtube_id}_{start:06d}_{end:06d}")
    if not kept:
        raise DataError(
            f"{file}: none of its {len(missing)} clips is below {root} (data.root), where files "
            f"should have names like {missing[0] if missing else 'ID_000010_000020'}.mp4"
        )
    table = pa.table(
        {
            "path": pa.array(paths, pa.large_string()),
            "label": pa.array([labels[row] for row in kept], pa.large_string()),
            "group": pa.array([columns["youtube_id"][row] for row in kept], pa.large_string()),
        }
    )
    index = number_labels(table, file, names, line=lambda row: line_of(file, kept[row]))
    return index.with_root(root), missing


def kinetics_videos(root: Path) -> dict[str, list[str]]:
    """Every clip below `root`, read once: "ID_10" (start in seconds), or "ID" if the file name has
    no times → paths relative to `root`.

    Raises FileNotFoundError for a missing folder, DataError for one without such files.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder (data.root)")
    found: dict[str, list[str]] = {}
    for path in scan(root).videos:
        clip = CLIP.fullmatch(os.path.splitext(os.path.basename(path))[0])
        if clip:
            key = clip[1] if clip[2] is None else f"{clip[1]}_{int(clip[2])}"
            found.setdefault(key, []).append(path)
    if not found:
        raise DataError(f"{root}: no videos with names like ID_000010_000020.mp4 below this folder")
    return found


def _split_column(file: Path, there: list[str]) -> str:
    """The split column of the first row; the file's name without such a column."""
    if "split" in there:
        first = read_columns(file, {"split": "split"})["split"]
        if len(first):
            return str(first[0].as_py())
    return file.stem


def _split(text: str, file: Path) -> str:
    lower = text.lower() or file.stem.lower()
    return next((name for name in FILES if name in lower), "")


def _second(text: str, file: Path, row: int) -> int:
    try:
        return int(float(text))
    except ValueError as error:
        raise DataError(
            f"{file}, {line_of(file, row)}: {text!r} is not a time in seconds"
        ) from error


def _best(paths: list[str], split: str) -> str:
    """Of several copies, the replacement of a corrupted one (CVDF), else the one of the split."""

    def rank(path: str) -> tuple[bool, bool, str]:
        folder = os.path.dirname(path).lower()
        return "replacement" not in folder, split not in folder, path

    return min(paths, key=rank)
