"""Videos → shards: tar files as WebDataset reads them, and an index of their contents.

A video NNNNNNNNN.mp4 has its facts beside it, NNNNNNNNN.json. The same videos give the same bytes.
"""

import io
import json
import math
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from video_gc.atomic import remove_stale_parts
from video_gc.data.index import DataError
from video_gc.data.manifest import COLUMNS, Listed, Listing, absolute, absolute_paths, read_manifest
from video_gc.outputs import Outputs, fill_csv
from video_gc.progress import track

INDEX, LEFT_OUT = "index.parquet", "left_out.csv"
VERSION, NAMES, SEVERAL = b"video_gc.shards", b"names", b"multi_label"
"""Of the index's metadata: its version, the class names in order, whether videos have several."""
SCHEMA = pa.schema(
    {
        "shard": pa.large_string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "path": pa.large_string(),
        "label": pa.large_string(),
        "split": pa.large_string(),
        "group": pa.large_string(),
        "start": pa.float64(),
        "end": pa.float64(),
    },
    {VERSION: b"1"},
)
"""Of the index: the place of each video in a shard, and how it was listed."""
BLOCK, RECORD = 512, 10240
"""Bytes of a block and of a record of a tar file."""
SHARD = re.compile(r"(\d{6,})\.tar")
"""The file name of a shard; the group is its number."""


def shard_name(number: int) -> str:
    """The file name of a shard."""
    return f"{number:06d}.tar"


@dataclass(frozen=True)
class _Entry:
    """A video's place."""

    row: int
    video: Listed
    facts: bytes
    size: int
    shard: int
    offset: int


def write_shards(listing: Listing, out: Path, size: int, manifest: Path | None = None) -> int:
    """Pack the videos into shards of about `size` bytes in `out`; returns the number of shards.

    The paths in the index start at the listing's root. manifest: of `check`; its columns go into
    the index. Rerun it to resume: shards that are there are kept, and others of ours are removed.

    Raises DataError for a folder of frames or a class name with a | where videos have several,
    OSError for a missing video, ValueError for one above tarfile's 8 GiB, FileExistsError for
    foreign files in `out`.
    """
    if listing.multi_label and (bad := [name for name in listing.names or () if "|" in name]):
        raise DataError(f"class {bad[0]!r}: | stands between the classes of a video; rename it")
    root = listing.root
    plan = _plan(listing.videos, root, size)
    count = plan[-1].shard + 1
    outputs = Outputs(out)
    outputs.check([INDEX, *map(shard_name, range(count))])
    remove_stale_parts(out)
    by_shard = groupby(plan, key=lambda entry: entry.shard)
    for number, grouped in track(by_shard, "Writing shards", count):
        name, entries = shard_name(number), list(grouped)
        if not _same(out / name, entries):
            with outputs.path(name) as file:
                _write(file, entries)
    table = _index(plan, root, manifest)
    about = {SEVERAL: str(listing.multi_label).lower()}
    if listing.names is not None:
        about[NAMES] = json.dumps(listing.names)
    with outputs.path(INDEX) as file:
        table = table.replace_schema_metadata(table.schema.metadata | about)
        pa.parquet.write_table(table, file, compression="zstd")
    for name in outputs.names():  # a reader of *.tar would see their videos twice
        if (shard := SHARD.fullmatch(name)) and int(shard[1]) >= count:
            outputs.remove(name)
    return count


def write_left_out(listing: Listing, kept: Listing, out: Path) -> tuple[Path, int]:
    """Write left_out.csv with the videos that are not packed, if any; returns how many they are."""
    outputs, there = Outputs(out), {id(video) for video in kept.videos}
    gone = [(v.path, v.split) for v in listing.videos if id(v) not in there]
    if gone:
        with outputs.path(LEFT_OUT) as file:
            fill_csv(file, ["path", "split"], gone)
    else:
        outputs.remove(LEFT_OUT)
    return out / LEFT_OUT, len(gone)


def _plan(listed: Sequence[Listed], root: Path, size: int) -> list[_Entry]:
    plan: list[_Entry] = []
    shard, offset = 0, 0
    for row, video in enumerate(track(listed, "Reading sizes", len(listed))):
        if video.path.is_dir():
            raise DataError(f"{video.path}: a folder of frames; shards hold video files")
        facts, length = _facts(video, root), video.path.stat().st_size
        needed = 2 * BLOCK + _padded(length) + _padded(len(facts))
        if offset and offset + needed > size:
            shard, offset = shard + 1, 0
        plan.append(_Entry(row, video, facts, length, shard, offset + BLOCK))
        offset += needed
    if not plan:
        raise DataError("there are no videos to pack")
    return plan


def _facts(video: Listed, root: Path) -> bytes:
    facts: dict[str, Any] = {"path": _relative(video, root), "label": video.label}
    part = video.segment and [x if math.isfinite(x) else None for x in video.segment]
    more = {"split": video.split, "group": video.source, "segment": part}
    facts |= {name: value for name, value in more.items() if value}
    return json.dumps(facts, ensure_ascii=False, default=str).encode()


def _relative(video: Listed, root: Path) -> str:
    return os.path.relpath(absolute(video.path), absolute(root))


def _padded(length: int) -> int:
    return -(-length // BLOCK) * BLOCK


def _same(file: Path, entries: Sequence[_Entry]) -> bool:
    """Whether a shard is there already: a complete file of these very members."""
    last = entries[-1]
    end = last.offset + _padded(last.size) + BLOCK + _padded(len(last.facts)) + 2 * BLOCK
    try:
        if file.stat().st_size != -(-end // RECORD) * RECORD:
            return False
        if any(e.video.path.stat().st_mtime > file.stat().st_mtime for e in entries):
            return False
        with tarfile.open(file) as shard:
            for entry in entries:
                video, facts = shard.next(), shard.next()
                if video is None or facts is None:
                    return False
                if (video.name, video.size) != (_member(entry), entry.size):
                    return False
                stream = shard.extractfile(facts)
                if stream is None or stream.read() != entry.facts:
                    return False
    except (OSError, tarfile.TarError):
        return False
    return True


def _member(entry: _Entry) -> str:
    return f"{entry.row:09d}{entry.video.path.suffix.lower() or '.video'}"


def _write(file: Path, entries: Sequence[_Entry]) -> None:
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as shard:
        for entry in entries:
            info = tarfile.TarInfo(_member(entry))
            info.size = entry.size
            with entry.video.path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size != entry.size:
                    raise DataError(f"{entry.video.path}: it has changed while it was packed")
                shard.addfile(info, stream)
            facts = tarfile.TarInfo(f"{entry.row:09d}.json")
            facts.size = len(entry.facts)
            shard.addfile(facts, io.BytesIO(entry.facts))


def _index(plan: Sequence[_Entry], root: Path, manifest: Path | None) -> pa.Table:
    """A row for each video: its place, its listing, and what the manifest knows."""
    segments = [entry.video.segment or (None, None) for entry in plan]
    columns = {
        "shard": [shard_name(entry.shard) for entry in plan],
        "offset": [entry.offset for entry in plan],
        "size": [entry.size for entry in plan],
        "path": [_relative(entry.video, root) for entry in plan],
        "label": [entry.video.label for entry in plan],
        "split": [entry.video.split for entry in plan],
        "group": [entry.video.source for entry in plan],
        "start": [start for start, _ in segments],
        "end": [end for _, end in segments],
    }
    table = pa.table(columns, SCHEMA)
    if manifest is not None:
        known = read_manifest(manifest)
        paths = pa.array([absolute(entry.video.path) for entry in plan], pa.large_string())
        rows = pc.index_in(paths, value_set=absolute_paths(known.table["path"], known.root))
        for name in COLUMNS:
            if name not in table.column_names:
                table = table.append_column(name, known.table[name].take(rows))
    return table
