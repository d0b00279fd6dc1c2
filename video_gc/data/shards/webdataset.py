"""Tar files of WebDataset, as they are → an index beside them."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from video_gc.data.annotations.folder_scan import SUFFIXES
from video_gc.data.index import DataError
from video_gc.data.prepare.listing import SPLITS
from video_gc.data.shards.write import INDEX, SCHEMA
from video_gc.outputs import Outputs
from video_gc.progress import track

LABELS = ("json", "cls", "txt")
"""Members with a video's label: the entry `label` of a JSON object, or a line of text."""
LARGEST = 1 << 20
"""Bytes of such a member, at most."""


def index_tars(folder: Path) -> int:
    """Index the videos in the tar files of a folder, which stay as they are; returns their number.

    A sample is the members whose names agree up to the first dot, as WebDataset defines it. A split
    is the beginning of a file's name, if that is train, val or test.

    Raises DataError for a file that is no tar file, or a video without a label.
    """
    tars = sorted(folder.glob("*.tar"))
    if not tars:
        raise DataError(f"{folder}: no .tar files in this folder")
    rows: list[dict[str, Any]] = []
    for tar in track(tars, "Reading shards", len(tars)):
        try:
            rows += _videos(tar)
        except (tarfile.TarError, OSError) as error:
            raise DataError(f"{tar}: not a tar file, or a damaged one ({error})") from error
    if not rows:
        raise DataError(f"{folder}: no videos in its {len(tars)} tar files")
    table = pa.table({name: [row.get(name) for row in rows] for name in SCHEMA.names}, SCHEMA)
    with Outputs(folder).path(INDEX) as file:
        pa.parquet.write_table(table, file, compression="zstd")
    return len(rows)


def _videos(tar: Path) -> Iterator[dict[str, Any]]:
    """A row of the index for each video of a file."""
    found: dict[str, dict[str, Any]] = {}
    split = next((name for name in SPLITS if tar.name.startswith(name)), "")
    with tarfile.open(tar) as shard:
        for member in shard:
            if not member.isreg():
                continue
            place = PurePosixPath(member.name)
            stem, _, ending = place.name.partition(".")
            row = found.setdefault(str(place.with_name(stem)), {"shard": tar.name, "split": split})
            if f".{ending.lower()}" in SUFFIXES:
                row |= {"offset": member.offset_data, "size": member.size, "path": member.name}
            elif ending in LABELS and member.size <= LARGEST:
                stream = shard.extractfile(member)
                assert stream is not None
                row |= _facts(stream.read(), ending)
    for key, row in found.items():
        if "offset" not in row:
            continue
        if not row.get("label"):
            raise DataError(f"{tar}: {key} has no label in a member .{', .'.join(LABELS)}")
        yield row


def _facts(content: bytes, ending: str) -> dict[str, Any]:
    """The label, and from JSON the split and the group too."""
    try:
        text = content.decode().strip()
        if ending != "json":
            return {"label": text}
        kept = json.loads(text)
        return {name: str(kept[name]) for name in ("label", "split", "group") if name in kept}
    except (ValueError, TypeError, KeyError):
        return {}
