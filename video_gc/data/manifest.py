"""The manifest: a Parquet table of the contents and state of each video file.

`video-gc prepare check` writes it into a hidden folder beside the videos; training and testing
leave out the unreadable videos in it. Its paths are relative to a root, which is stored relative to
the manifest, so a folder with its manifest can be moved and copied.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from video_gc.atomic import atomic_path
from video_gc.data.index import DataError, VideoIndex
from video_gc.decode.video_facts import VideoFacts, stamp
from video_gc.progress import say

NAME = ".video_gc/manifest.parquet"
"""Its place in the root of a data set: all that `check` writes there is in one hidden folder."""
LOOKED_AT = 256
"""Number of files compared by size and time with the manifest when it is used."""

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}
FACTS = {field.name: _TYPES[field.type] for field in fields(VideoFacts)}  # type: ignore[index]
COLUMNS = {name: pa.string() for name in ("path", "label", "split", "source")} | FACTS
"""Column → type. label: class name (several are joined by |); split: train, val, test or empty;
source: its group, such as the YouTube id that it was cut from; then the fields of VideoFacts."""


@dataclass(frozen=True)
class Listed:
    """A video as named by a list or folder."""

    path: Path
    label: str = ""
    split: str = ""
    source: str | None = None
    """its group: what it was cut from or shows, if known"""
    segment: tuple[float, float] | None = None
    """start and end of the labelled part, s"""


class Listing(NamedTuple):
    """All videos of some lists or folders, as training sees them."""

    videos: list[Listed]
    root: Path
    """their common folder"""
    names: list[str] | None = None
    """class names in order, if something other than their alphabet says it"""
    multi_label: bool = False
    """whether a video's label is several classes, joined by |"""


@dataclass(frozen=True)
class Manifest:
    """A table with the columns of COLUMNS, and the folder where its paths start."""

    table: pa.Table
    root: Path

    def rows(self) -> Iterator[dict[str, object]]:
        """Each row as a dictionary, batch by batch."""
        for batch in self.table.to_batches():
            yield from batch.to_pylist()


def write_manifest(rows: Sequence[tuple[Listed, VideoFacts]], root: Path, file: Path) -> Manifest:
    """Write the table at once; the root goes into its metadata."""
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for listed, facts in rows:
        named = {"label": listed.label, "split": listed.split, "source": listed.source}
        row = {"path": relative_path(listed.path, root), **named, **asdict(facts)}
        for name, value in row.items():
            columns[name].append(value)
    metadata = {"video_gc": json.dumps({"root": os.path.relpath(root, file.parent)})}
    table = pa.table(columns, schema=pa.schema(list(COLUMNS.items()), metadata))
    with atomic_path(file) as part:
        pq.write_table(table, part, compression="zstd")
    return Manifest(table, root)


def read_manifest(
    file: Path, columns: Sequence[str] = tuple(COLUMNS), where: pc.Expression | None = None
) -> Manifest:
    """Read a manifest, or some columns of it; all rows, or those whose status fits `where`.

    Raises FileNotFoundError, or DataError for a file that is not a manifest.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such manifest; video-gc prepare check makes it")
    try:
        table = _read_columns(file, [*columns] if where is None else [*columns, "status"])
        root = json.loads((table.schema.metadata or {})[b"video_gc"])["root"]
        _check_columns(table)
        table = table if where is None else table.filter(where)
        return Manifest(table.select(list(columns)), file.parent / root)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk or of permissions; Arrow's have no errno
        raise DataError(
            f"{file}: not a manifest of video-gc prepare check ({type(error).__name__}); "
            "run the check again: it starts afresh"
        ) from error


def unusable(file: Path) -> dict[str, str]:
    """Absolute path → status and cause, of the videos that are not ok.

    Raises FileNotFoundError, or DataError for a file that is not a manifest.
    """
    columns = ("path", "status", "cause")
    manifest = read_manifest(file, columns, pc.field("status") != "ok")
    rows = zip(*(manifest.table[name].to_pylist() for name in columns), strict=True)
    return {absolute(manifest.root / path): f"{status}: {cause}" for path, status, cause in rows}


def choose_manifest(
    given: str | os.PathLike[str] | None,
    root: str | os.PathLike[str] | None,
    lists: Sequence[str | os.PathLike[str]] = (),
) -> Path | None:
    """The `given` manifest, else the one in `root`, else None.

    lists: files with the videos; without a root, the manifest lies beside one of them.
    """
    if given:
        return Path(given)
    folders = [Path(root)] if root else [Path(file).parent for file in lists]
    return next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)


def apply_manifest(index: VideoIndex, file: Path) -> tuple[VideoIndex, list[tuple[Path, str]]]:
    """The index without videos whose status is not ok, and (path, why) of each one left out.

    Videos unknown to the manifest stay. Prints a warning if files have changed since the manifest
    was written (a sample of them is checked).

    Raises FileNotFoundError, or DataError for a file that is not a manifest or if none is left.
    """
    bad = unusable(file)
    _warn_of_changes(file)
    if not bad:
        return index, []
    keep = np.ones(len(index), bool)
    left_out = []
    for row in _candidates(index, list(bad)):
        path = Path(index.path(row))
        why = bad.get(absolute(path))
        if why is not None:
            keep[row] = False
            left_out.append((path, why))
    if not left_out:
        return index, []
    if not keep.any():
        raise DataError(f"{file}: none of {len(index)} videos is ok; {left_out[0][1]}")
    return index.take(np.flatnonzero(keep)), left_out


def relative_path(path: Path, root: Path) -> str:
    """`path` relative to `root`, with /; the absolute path if it lies elsewhere."""
    full = Path(absolute(path))
    base = absolute(root)
    return full.relative_to(base).as_posix() if full.is_relative_to(base) else full.as_posix()


def absolute(path: str | os.PathLike[str]) -> str:
    """The path without . and .., with links unresolved."""
    return os.path.abspath(path)


def absolute_paths(paths: pa.ChunkedArray, root: str | os.PathLike[str]) -> pa.Array:
    """`absolute` for a column of paths relative to `root`, as large strings."""
    text = paths.combine_chunks().cast(pa.large_string())
    base, slash = (pa.scalar(part, text.type) for part in (os.path.abspath(root).rstrip("/"), "/"))
    below = pc.binary_join_element_wise(base, text, slash)
    whole = pc.if_else(pc.starts_with(text, "/"), text, below)
    odd = pc.match_substring_regex(whole, r"/(/|\.\.?/|\.{0,2}$)")
    if not pc.any(odd).as_py():
        return whole
    shortest = [os.path.abspath(path) for path in whole.filter(odd).to_pylist()]
    return pc.replace_with_mask(whole, odd, pa.array(shortest, whole.type))


def _read_columns(file: Path, columns: Iterable[str]) -> pa.Table:
    """Read without statistics and threads: damaged statistics crash or hang the process."""
    with pq.ParquetFile(file) as stored:
        if stored.metadata.num_rows > file.stat().st_size:  # each row has its own hashes
            raise ValueError("more rows than bytes")
        return stored.read(columns=sorted({*columns}), use_threads=False)


def _check_columns(table: pa.Table) -> None:
    """Raise ArrowInvalid, TypeError or ValueError for contents that check never writes."""
    table.validate(full=True)
    for name in table.column_names:
        if table[name].type != COLUMNS[name]:
            raise TypeError(f"{name} is {table[name].type}")
        if table[name].null_count and name != "source":
            raise ValueError(f"{name} is null in some rows")


def _candidates(index: VideoIndex, bad: list[str]) -> list[int]:
    """Rows that may be one of these absolute paths, without a Python object for each row."""
    paths, root = index.table["path"], Path(absolute(Path(index.root)))
    forms = bad + [relative_path(Path(path), root) for path in bad]
    found = pc.is_in(paths, value_set=pa.array(forms, paths.type))
    for sign in ("./", "//"):  # a path not in its shortest form
        found = pc.or_(found, pc.match_substring(paths, sign))
    return np.flatnonzero(found.to_numpy()).tolist()


def _warn_of_changes(file: Path) -> None:
    columns = ("path", "bytes", "mtime")
    manifest = read_manifest(file, columns, pc.field("status") == "ok")
    every = max(len(manifest.table) // LOOKED_AT, 1)
    some = manifest.table.take(np.arange(0, len(manifest.table), every))
    changed = []
    for row in some.to_pylist():
        try:
            now = stamp(manifest.root / row["path"])
        except FileNotFoundError:  # elsewhere on this machine; the index knows it
            continue
        if now != (row["bytes"], row["mtime"]):
            changed.append(row["path"])
    if changed:
        say(
            f"{file}: {len(changed)} of {len(some)} checked files have changed since it was "
            f"written (such as {changed[0]}); run video-gc prepare check again"
        )
