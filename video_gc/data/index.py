"""Which videos, with which labels: a VideoIndex in Arrow columns.

Arrow columns instead of Python objects: ten million rows are memory-mapped from a file at once, and
loader processes share their pages under fork and spawn.
"""

import json
import os
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from video_gc.atomic import atomic_path
from video_gc.data.shards.packed import PackedVideo, VideoPath
from video_gc.escape import readable

KEY = b"video_gc"
VERSION = 1
ROWS_A_BATCH = 1 << 20
COLUMNS = {
    "path": pa.large_string(),
    "label": pa.int32(),
    "labels": pa.list_(pa.int32()),
    "start": pa.float64(),
    "end": pa.float64(),
    "group": pa.large_string(),
    "shard": pa.large_string(),
    "offset": pa.int64(),
    "size": pa.int64(),
}
"""Column → type; path and label always exist and have no nulls."""


class DataError(Exception):
    """Unusable data; the message names the file or folder and says what to do."""


class VideoIndex:
    """Videos and their labels in columns, and the name of each class.

    Columns of `table`: path (relative to `root`, or absolute), label (class number, -1 for none;
    the first label of a multi-label set), and optionally labels (a list of class numbers), start
    and end (seconds), group, and shard, offset and size (the place in a shard of `root`).
    `VideoIndex.build` makes one from Python sequences.
    """

    def __init__(
        self,
        table: pa.Table,
        names: Sequence[str],
        *,
        root: str | os.PathLike[str] = "",
        multi_label: bool = False,
        about: dict[str, Any] | None = None,
        file: str | None = None,
    ) -> None:
        self.table, self.names, self.root = table, list(names), os.fspath(root)
        self.multi_label, self.about, self.file = multi_label, about or {}, file

    @classmethod
    def build(
        cls,
        paths: Sequence[str | os.PathLike[str]],
        labels: Sequence[Any] | np.ndarray,
        names: Sequence[str],
        *,
        root: str | os.PathLike[str] = "",
        multi_label: bool = False,
        start: Sequence[float | None] | None = None,
        end: Sequence[float | None] | None = None,
        group: Sequence[str | None] | None = None,
    ) -> "VideoIndex":
        """An index in memory.

        labels: a class number for each video, or a sequence of them with `multi_label`.

        Raises DataError for a path that is not UTF-8.
        """
        texts = [os.fspath(path) for path in paths]
        try:
            columns: dict[str, pa.Array] = {"path": pa.array(texts, COLUMNS["path"])}
        except UnicodeEncodeError as error:
            raise DataError(
                f"{readable(error.object)}: the name is not UTF-8; rename the file"
            ) from error
        if multi_label:
            many = [[int(number) for number in numbers] for numbers in labels]
            columns["label"] = pa.array([m[0] if m else -1 for m in many], pa.int32())
            columns["labels"] = pa.array(many, pa.list_(pa.int32()))
        else:
            columns["label"] = pa.array(np.asarray(labels, np.int32))
        for name, values in (("start", start), ("end", end)):
            if values is not None:
                columns[name] = pa.array(values, pa.float64())
        if group is not None:
            columns["group"] = pa.array(group, pa.large_string())
        return cls(pa.table(columns), names, root=root, multi_label=multi_label)

    @classmethod
    def open(cls, file: str | os.PathLike[str]) -> "VideoIndex":
        """Memory-map a file of `save`, after validating all of it (0.1 s for ten million rows).

        Raises FileNotFoundError, or DataError for a damaged or foreign file: offsets outside the
        file would crash the process when read.
        """
        if not Path(file).is_file():
            raise FileNotFoundError(f"{os.fspath(file)}: no such index")
        try:
            table = pa.ipc.open_file(pa.memory_map(os.fspath(file))).read_all()
            table.validate(full=True)
            kept = json.loads(table.schema.metadata[KEY])
            version = kept["version"]
            if version == VERSION:
                _check_content(table, kept)
        except (pa.ArrowException, OSError, TypeError, KeyError, ValueError) as error:
            raise DataError(f"{os.fspath(file)}: damaged, or not an index of video_gc") from error
        if version != VERSION:
            raise DataError(
                f"{os.fspath(file)}: an index of version {version}, this program reads {VERSION}; "
                "make it again"
            )
        return cls(
            table,
            kept["names"],
            root=kept["root"],
            multi_label=kept["multi_label"],
            about=kept["about"],
            file=os.path.abspath(file),
        )

    def save(self, file: Path, about: dict[str, Any] | None = None) -> Path:
        """Write Arrow IPC, atomically, for `open`; `about` (JSON) is stored in it."""
        kept = {
            "version": VERSION,
            "names": self.names,
            "root": self.root,
            "multi_label": self.multi_label,
            "about": about or self.about,
        }
        table = self.table.replace_schema_metadata({KEY: json.dumps(kept).encode()})
        with atomic_path(file) as part, part.open("wb") as stream:  # Arrow does not close its own
            writer = pa.ipc.new_file(stream, table.schema)
            writer.write_table(table, max_chunksize=ROWS_A_BATCH)
            writer.close()
        return file

    def with_root(self, root: str | os.PathLike[str]) -> "VideoIndex":
        """The same videos, with relative paths from another folder."""
        named: dict[str, Any] = {"multi_label": self.multi_label, "about": self.about}
        return VideoIndex(self.table, self.names, root=root, file=self.file, **named)

    def __len__(self) -> int:
        return self.table.num_rows

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets the name of the file, or the columns if there is no file."""
        if self.file:
            return _reopen, (self.file, self.root)
        rebuild = partial(VideoIndex, root=self.root, multi_label=self.multi_label)
        return rebuild, (self.table, self.names)

    @property
    def paths(self) -> "Paths":
        """The path of each video, made on access."""
        return Paths(self)

    @cached_property
    def labels(self) -> np.ndarray:
        """(V,) int64 class numbers, -1 for none; the first of each multi-label video."""
        return self.table["label"].to_numpy().astype(np.int64)

    def path(self, row: int) -> VideoPath:
        """The path of a video, or its place in a shard."""
        path = self.table["path"][row].as_py()
        if "shard" not in self.table.column_names:
            return Path(self.root, path)
        shard, offset, size = (
            self.table[name][row].as_py() for name in ("shard", "offset", "size")
        )
        return PackedVideo(self.root, shard, offset, size, path)

    def target(self, row: int) -> int | np.ndarray:
        """The class number, or for a multi-label set a float32 multi-hot array (classes,)."""
        if not self.multi_label:
            return int(self.table["label"][row].as_py())
        hot = np.zeros(len(self.names), np.float32)
        hot[self.table["labels"][row].as_py()] = 1
        return hot

    def label_names(self, row: int) -> list[str]:
        """The names of a video's classes."""
        column = "labels" if self.multi_label else "label"
        numbers = self.table[column][row].as_py()
        return [self.names[n] for n in (numbers if self.multi_label else [numbers]) if n >= 0]

    def joined_names(self) -> pa.Array:
        """The names of each video's classes, joined by |; empty without classes."""
        names = pa.array(self.names, pa.large_string())
        if self.multi_label:
            lists = self.table["labels"].combine_chunks()
            chosen = pa.ListArray.from_arrays(lists.offsets, names.take(lists.values))
            return pc.binary_join(chosen, pa.scalar("|", names.type))
        label = self.table["label"].combine_chunks()
        known = pc.if_else(pc.greater_equal(label, 0), label, pa.scalar(None, label.type))
        return names.take(known).fill_null("")

    def segment(self, row: int) -> tuple[float, float] | None:
        """Start and end of the labelled part in seconds; None for the whole file."""
        return _segment(self._cell("start", row), self._cell("end", row))

    def segments(self) -> list[tuple[float, float] | None] | None:
        """`segment` of every video; None if the set has no such columns."""
        if not {"start", "end"} & set(self.table.column_names):
            return None
        starts, ends = (
            self.table[name].to_pylist() if name in self.table.column_names else [None] * len(self)
            for name in ("start", "end")
        )
        return list(map(_segment, starts, ends))

    def group(self, row: int) -> str | None:
        """What the video was cut from or shows, such as a YouTube id, if the set knows it."""
        return self._cell("group", row)

    def take(self, rows: Sequence[int] | np.ndarray) -> "VideoIndex":
        """Some of the videos, in the order of `rows`, with the same classes."""
        chosen = self.table.take(pa.array(np.asarray(rows, np.int64)))
        return VideoIndex(chosen, self.names, root=self.root, multi_label=self.multi_label)

    def _cell(self, column: str, row: int) -> Any:
        """None if the set has no such column."""
        return self.table[column][row].as_py() if column in self.table.column_names else None


class Paths(Sequence[VideoPath]):
    """The paths of an index as a sequence that makes each on access."""

    def __init__(self, videos: VideoIndex) -> None:
        self._videos = videos

    def __len__(self) -> int:
        return len(self._videos)

    @overload
    def __getitem__(self, row: int) -> VideoPath: ...
    @overload
    def __getitem__(self, row: slice) -> list[VideoPath]: ...
    def __getitem__(self, row: int | slice) -> VideoPath | list[VideoPath]:
        if isinstance(row, slice):
            return [self._videos.path(number) for number in range(*row.indices(len(self)))]
        return self._videos.path(row)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def _check_content(table: pa.Table, kept: dict[str, Any]) -> None:
    """Raise ValueError, TypeError or KeyError for invalid contents."""
    names, texts = kept["names"], [kept["root"], *kept["names"]]
    if not all(isinstance(text, str) for text in texts) or not isinstance(names, list):
        raise TypeError("names and root must be text")
    if not isinstance(kept["multi_label"], bool) or not isinstance(kept["about"], dict):
        raise TypeError("multi_label or about is of another type")
    if kept["multi_label"] and "labels" not in table.column_names:
        raise KeyError("labels")
    for column in table.column_names:
        if table[column].type != COLUMNS[column]:
            raise TypeError(f"{column} is {table[column].type}")
    if table["path"].null_count or table["label"].null_count:
        raise ValueError("a path or label is null")
    several = "labels" in table.column_names
    more = [(pc.list_flatten(table["labels"]), 0)] if several else []
    for column, least in [(table["label"], -1), *more]:
        span = pc.min_max(column).as_py()
        known = not len(column) or least <= span["min"] <= span["max"] < len(names)
        if column.null_count or not known:
            raise ValueError("a class number has no name")


def _segment(start: float | None, end: float | None) -> tuple[float, float] | None:
    if start is None and end is None:
        return None
    return start or 0.0, float("inf") if end is None else end


def _reopen(file: str, root: str) -> VideoIndex:
    return VideoIndex.open(file).with_root(root)
