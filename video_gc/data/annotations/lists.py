"""Lists with one video per line: `path label`, and the formats of PySlowFast and MMAction2.

Formats: PySlowFast, slowfast/datasets/kinetics.py (path, label, and a column between them that we
ignore); MMAction2, VideoDataset and RawframeDataset (`path label…` for videos, `folder frames
label…` for extracted frames).
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from video_gc.data.annotations.folder_scan import SUFFIXES, is_video
from video_gc.data.annotations.index_cache import converted, opened
from video_gc.data.annotations.labels import SEVERAL, is_number, number_labels
from video_gc.data.annotations.tables import read_table
from video_gc.data.annotations.text_files import numbered_lines
from video_gc.data.index import DataError, VideoIndex
from video_gc.progress import say

LINES_A_CHUNK = 1 << 17
QUOTED = re.compile(r"""(["'])(?P<path>.+?)\1[\s,;]+(?P<label>.*)""")
QUOTED_LABEL = re.compile(r"""(?P<path>.+?)[\s,;]+(["'])(?P<label>.+?)\2""")
_SUFFIX = "|".join(sorted((re.escape(suffix) for suffix in SUFFIXES), key=len, reverse=True))
COMMA = re.compile(rf"(?i)(?P<path>.+(?:{_SUFFIX}))\s*[,;\t]\s*(?P<label>.*\S)")
VIDEO = re.compile(rf"(?i)(?:{_SUFFIX})(?=[\s,;]|$)")
"""A position where a video's name can end."""
Split = Callable[[str], tuple[str, list[str]] | None]
"""A line → path and labels; None if it does not match."""


def kind_of_list(file: Path) -> str:
    """The probable kind of a list, from its name."""
    return "table" if file.suffix.lower() in (".csv", ".tsv", ".parquet") else "list"


def read_listed(
    file: Path,
    *,
    kind: str,
    root: Path | None = None,
    names: Sequence[str] | None = None,
    multi_label: bool = False,
    columns: Mapping[str, str] | None = None,
    option: str = "data.{}_column=NAME",
) -> VideoIndex:
    """Index a file of one of the kinds list, table, pyslowfast and mmaction2.

    columns, option: of a table; see `read_table`.

    Raises FileNotFoundError, or DataError with the line.
    """
    if kind == "list":
        return read_list(file, root, names, multi_label=multi_label)
    if kind == "pyslowfast":
        return read_pyslowfast(file, root, names)
    if kind == "mmaction2":
        return read_mmaction2(file, root, names, multi_label=multi_label)
    return read_table(file, root, names, multi_label=multi_label, columns=columns, option=option)


def read_list(
    file: Path,
    root: Path | None = None,
    names: Sequence[str] | None = None,
    *,
    multi_label: bool = False,
) -> VideoIndex:
    """Index a file of `path label` lines; a comma or tab may separate path and label.

    Path and label may be quoted. Blank lines are skipped. A line that begins with # is a video if
    that file exists; otherwise it is a comment, and a message gives their number. Windows paths may
    have backslashes.
    root: folder that relative paths start from; the list's own folder by default.
    names: class names in order; then a name may contain spaces. Without them, integer labels are
        class numbers (and their own names), and other labels are names, sorted.
    multi_label: a video has several labels, separated by ; or |.

    Raises FileNotFoundError, or DataError with the line.
    """
    split = partial(_split_plain, names=frozenset(names or ()), multi_label=multi_label)
    return _read(file, root, names, split, "path label", multi_label)


def read_pyslowfast(
    file: Path, root: Path | None = None, names: Sequence[str] | None = None
) -> VideoIndex:
    """Index PySlowFast's `path label`, separated by spaces or commas; labels are numbers.

    A line without a label, or with label -1, is a video without a label. Raises as `read_list`.
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

    multi_label: further numbers on the line are further labels. Raises as `read_list`.
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
    folder = os.fspath(file.parent if root is None else root)

    def convert() -> VideoIndex:
        read = _Reading(file, folder, split, expected)
        rows = _rows(read, multi_label)
        lines = rows["line"]
        index = number_labels(
            rows, file, names, multi_label=multi_label, line=lambda row: f"line {lines[row]}"
        )
        index.about = read.about
        return index

    function = split.func if isinstance(split, partial) else split
    options = {
        "format": getattr(function, "__name__", ""),
        "multi_label": multi_label,
        "names": None if names is None else list(names),
    }
    index = converted(file, options, folder, convert)
    if index.about.get("comments"):
        say(f"{file}: lines that begin with # and match no file are comments: {_said(index.about)}")
    return index.with_root(folder)


def _said(about: dict[str, Any]) -> str:
    return f"{about['comments']:,}, the first is line {about['first_comment']}"


@dataclass
class _Reading:
    """One list, and the decisions made by looking at the disk."""

    file: Path
    root: str
    split: Split
    expected: str
    about: dict[str, Any] = field(default_factory=dict)
    as_written: dict[str, bool] = field(default_factory=dict)
    """sign → whether the first path with it exists as written"""

    def rows(self, stream: BinaryIO) -> Iterator[tuple[str, list[str], int]]:
        """Path, labels and number of each line that is not a comment."""
        what = f"a text file of `{self.expected}` lines"
        for number, text in numbered_lines(stream, self.file, what):
            line = text.strip()
            if not line:
                continue
            parts = self.split_line(line)
            if line.startswith("#") and not (parts and self._is_there(parts[0])):
                self.about["comments"] = self.about.get("comments", 0) + 1
                self.about.setdefault("first_comment", f"{number} ({line[:60]!r})")
            elif parts is None:
                raise DataError(
                    f"{self.file}, line {number}: expected `{self.expected}`, found {line!r}"
                )
            else:
                yield *parts, number

    def split_line(self, line: str) -> tuple[str, list[str]] | None:
        """Path and labels, without quotes and with this system's slashes."""
        quoted = QUOTED.fullmatch(line) if line[0] in "\"'" else None
        if quoted and not VIDEO.search(quoted["label"]):
            # a dummy word replaces the path, with its suffix and without its spaces
            suffix = os.path.splitext(quoted["path"])[1] if is_video(quoted["path"]) else ""
            parts = self.split(f"path{suffix} {quoted['label']}")
            return parts and (self._path(quoted["path"]), parts[1])
        parts = self.split(line)
        return parts and (self._path(parts[0]), parts[1])

    def _path(self, path: str) -> str:
        if "\\" in path and not self._literal("\\", path):
            path = path.replace("\\", "/")
        if path.endswith((",", ";")) and not self._literal(path[-1], path):
            path = path[:-1].rstrip()
        return path

    def _literal(self, sign: str, path: str) -> bool:
        """Whether file names contain the sign: the first path with it decides."""
        if sign not in self.as_written:
            self.as_written[sign] = self._is_there(path)
        return self.as_written[sign]

    def _is_there(self, path: str) -> bool:
        self.about["root"] = self.root
        return os.path.lexists(os.path.join(self.root, path))


def _rows(lines: _Reading, multi_label: bool) -> pa.Table:
    """Columns path, label and line; converted to Arrow in chunks, because a list may be long."""
    kind = pa.list_(pa.large_string()) if multi_label else pa.large_string()
    schema = pa.schema({"path": pa.large_string(), "label": kind, "line": pa.int64()})
    chunks = []
    with opened(lines.file) as stream:
        parsed = lines.rows(stream)
        while chunk := list(islice(parsed, LINES_A_CHUNK)):
            paths, labels, numbers = zip(*chunk, strict=True)
            given = labels if multi_label else [label[0] for label in labels]
            columns = [pa.array(paths, schema.types[0]), pa.array(given, kind), pa.array(numbers)]
            chunks.append(pa.record_batch(columns, schema=schema))
    if not chunks:
        raise DataError(f"{lines.file}: the list is empty; expected lines `{lines.expected}`")
    return pa.Table.from_batches(chunks, schema)


def _split_plain(
    line: str, *, names: frozenset[str], multi_label: bool
) -> tuple[str, list[str]] | None:
    """The label is the text after a comma or tab behind the video's name, or the quoted text, or
    the longest known name at the end of the line, else the last word.
    """
    quoted = QUOTED_LABEL.fullmatch(line) if line[-1] in "\"'" else None
    separate = quoted or (COMMA.fullmatch(line) if {*",;\t"} & {*line} else None)
    if separate and not VIDEO.search(separate["label"]):
        label = separate["label"]
        return separate["path"], split_labels(label) if multi_label else [label]
    for gap in re.finditer(r"\s+", line) if names else ():
        labels = split_labels(line[gap.end() :]) if multi_label else [line[gap.end() :]]
        if labels and names.issuperset(labels):
            return line[: gap.start()], labels
    parts = line.rsplit(maxsplit=1)
    if len(parts) != 2:
        return None
    return parts[0], split_labels(parts[1]) if multi_label else [parts[1]]


def split_labels(text: str) -> list[str]:
    """Several labels in one text, separated by ; or |."""
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
    if len(rest) == 2 and not is_number(rest[0]):  # a path with a space
        path = line.rsplit(maxsplit=1)[0]
    return path, rest[-1:]


def _split_mmaction2(line: str, *, multi_label: bool) -> tuple[str, list[str]] | None:
    words = line.split()
    numbers = len(list(takewhile(is_number, reversed(words[1:]))))
    path, labels = " ".join(words[: len(words) - numbers]), words[len(words) - numbers :]
    if not is_video(path):
        labels = labels[1:]  # for a folder, the first number is its number of frames
    if len(labels) > 1 and not multi_label:
        return None
    return path, labels or ["-1"]
