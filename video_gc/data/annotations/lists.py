"""Lists with a video a line: `path label`, and as PySlowFast and MMAction2 write them.

The formats: PySlowFast, slowfast/datasets/kinetics.py (path, label, and a column between them that
is not used here); MMAction2, VideoDataset and RawframeDataset (`path label…` for videos, `folder
frames label…` for extracted frames).
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from video_gc.data.annotations.cache import converted, reading
from video_gc.data.annotations.folders import SUFFIXES
from video_gc.data.annotations.labels import SEVERAL, is_number, number_labels
from video_gc.data.index import DataError, VideoIndex

LINES_A_CHUNK = 1 << 17
Split = Callable[[str], tuple[str, list[str]] | None]
"""A line → path and labels; None where it is no such line."""


def read_list(
    file: Path,
    root: Path | None = None,
    names: Sequence[str] | None = None,
    *,
    multi_label: bool = False,
) -> VideoIndex:
    """Index a file of `path label` lines; blank lines and lines that begin with # are skipped.

    root: folder that relative paths start from; the list's own folder by default.
    names: class names, in order; then a name may hold spaces. Without them labels that are all
        integers are class numbers (and their own names), and other labels are names, sorted.
    multi_label: the label is several, separated by ; or |.

    Raises FileNotFoundError, or DataError naming the line.
    """
    split = partial(_split_plain, names=frozenset(names or ()), multi_label=multi_label)
    return _read(file, root, names, split, "path label", multi_label)


def read_pyslowfast(
    file: Path, root: Path | None = None, names: Sequence[str] | None = None
) -> VideoIndex:
    """Index PySlowFast's `path label`, separated by spaces or commas; labels are numbers.

    A line without label, or with the label -1, is a video without label. Raises as `read_list`.
    """
    return _read(file, root, names, _split_pyslowfast, "path label", False)


def read_mmaction2(
    file: Path,
    root: Path | None = None,
    names: Sequence[str] | None = None,
    *,
    multi_label: bool = False,
) -> VideoIndex:
    """Index MMAction2's `path label` of videos or `folder frames label` of extracted frames.

    multi_label: more numbers on the line are more labels. Raises as `read_list`.
    """
    split = partial(_split_mmaction2, multi_label=multi_label)
    expected = "path label, or folder frames label"
    return _read(file, root, names, split, expected, multi_label)


def _read(
    file: Path,
    root: Path | None,
    names: Sequence[str] | None,
    split: Split,
    expected: str,
    multi_label: bool,
) -> VideoIndex:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such list")

    def convert() -> VideoIndex:
        rows = _rows(file, split, expected, multi_label)
        lines = rows["line"]
        return number_labels(
            rows, file, names, multi_label=multi_label, line=lambda row: f"line {lines[row]}"
        )

    function = split.func if isinstance(split, partial) else split
    options = {
        "format": getattr(function, "__name__", ""),
        "multi_label": multi_label,
        "names": None if names is None else list(names),
    }
    return converted(file, options, convert).with_root(file.parent if root is None else root)


def _rows(file: Path, split: Split, expected: str, multi_label: bool) -> pa.Table:
    """Columns path, label and line; into Arrow chunk by chunk, because a list may be long."""
    kind = pa.list_(pa.large_string()) if multi_label else pa.large_string()
    schema = pa.schema({"path": pa.large_string(), "label": kind, "line": pa.int64()})
    chunks = []
    with reading(file) as advance, file.open("rb") as stream:
        parsed = _parsed(stream, file, split, expected)
        position = 0
        while chunk := list(islice(parsed, LINES_A_CHUNK)):
            paths, labels, lines = zip(*chunk, strict=True)
            given = labels if multi_label else [label[0] for label in labels]
            columns = [pa.array(paths, schema.types[0]), pa.array(given, kind), pa.array(lines)]
            chunks.append(pa.record_batch(columns, schema=schema))
            advance(stream.tell() - position)
            position = stream.tell()
    if not chunks:
        raise DataError(f"{file}: the list is empty; it should hold lines `{expected}`")
    return pa.Table.from_batches(chunks, schema)


def _parsed(
    stream: BinaryIO, file: Path, split: Split, expected: str
) -> Iterator[tuple[str, list[str], int]]:
    for number, raw in enumerate(stream, start=1):
        try:
            line = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: not a text file of `{expected}` lines") from error
        if not line or line.startswith("#"):
            continue
        parts = split(line)
        if parts is None:
            raise DataError(f"{file}, line {number}: expected `{expected}`, found {line!r}")
        yield *parts, number


def _split_plain(
    line: str, *, names: frozenset[str], multi_label: bool
) -> tuple[str, list[str]] | None:
    """The label is the longest known name that ends the line, else its last word."""
    for gap in re.finditer(r"\s+", line) if names else ():
        labels = split_labels(line[gap.end() :]) if multi_label else [line[gap.end() :]]
        if labels and names.issuperset(labels):
            return line[: gap.start()], labels
    parts = line.rsplit(maxsplit=1)
    if len(parts) != 2:
        return None
    return parts[0], split_labels(parts[1]) if multi_label else [parts[1]]


def split_labels(text: str) -> list[str]:
    """Several labels that are written as one text, separated by ; or |."""
    return [label.strip() for label in re.split(SEVERAL, text) if label.strip()]


def _split_pyslowfast(line: str) -> tuple[str, list[str]] | None:
    if "," in line:
        path, *rest = (part.strip() for part in line.split(","))
        return path, rest[-1:] or ["-1"]
    path, *rest = line.rsplit(maxsplit=2)
    if not rest:
        return path, ["-1"]
    if not is_number(rest[-1]):
        return None
    if len(rest) == 2 and not is_number(rest[0]):  # a path with a space in it
        path = line.rsplit(maxsplit=1)[0]
    return path, rest[-1:]


def _split_mmaction2(line: str, *, multi_label: bool) -> tuple[str, list[str]] | None:
    words = line.split()
    numbers = len(list(takewhile(is_number, reversed(words[1:]))))
    path, labels = " ".join(words[: len(words) - numbers]), words[len(words) - numbers :]
    if os.path.splitext(path)[1].lower() not in SUFFIXES:
        labels = labels[1:]  # of a folder the first number counts its frames
    if len(labels) > 1 and not multi_label:
        return None
    return path, labels or ["-1"]
