"""Tar files of WebDataset, as they are → an index beside them."""

import json
import math
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from video_gc.data.annotations.folder_scan import SUFFIXES
from video_gc.data.index import DataError
from video_gc.data.prepare.listing import SPLITS
from video_gc.data.shards.write import INDEX, SCHEMA, SEVERAL
from video_gc.outputs import Outputs
from video_gc.progress import say, track

LABELS = ("json", "cls", "txt")
"""Members with a video's label, the first that is there: `label` of a JSON object, or a text."""
LARGEST = 1 << 20
"""Bytes of such a member, at most."""


def index_tars(folder: Path) -> int:
    """Index the videos in the tar files of a folder, which stay as they are; returns their number.

    A sample is the members whose names agree up to the first dot, as WebDataset defines it. A split
    is the beginning of a file's name, if that is train, val or test. JSON of ours has the path, the
    split, the group and the segment too.

    Raises DataError for a file that is no tar file, or a video without a label, FileExistsError if
    `write_shards` made the index, which knows more.
    """
    if (folder / INDEX).exists() and SEVERAL in (
        pa.parquet.read_schema(folder / INDEX).metadata or {}
    ):
        raise FileExistsError(f"{folder / INDEX}: was made with these shards, and knows more")
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
    odd: list[str] = []
    split = next((name for name in SPLITS if tar.name.startswith(name)), "")
    with tarfile.open(tar) as shard:
        for member in shard:
            if not member.isreg():
                continue
            place = PurePosixPath(member.name)
            stem, _, ending = place.name.partition(".")
            if not stem or stem == "_":  # hidden; ._NAME is of macOS
                continue
            row = found.setdefault(str(place.with_name(stem)), {})
            if f".{ending.lower()}" in SUFFIXES:
                row |= {"offset": member.offset_data, "size": member.size, "path": member.name}
            elif ending in LABELS and member.size <= LARGEST:
                stream = shard.extractfile(member)
                assert stream is not None
                row[ending] = _facts(stream.read(), ending)
            elif place.suffix.lower() in SUFFIXES:
                odd.append(member.name)
    if odd:
        say(f"{tar}: {len(odd)} videos with a further dot in their name are passed over, such as "
            f"{odd[0]}", style="yellow")  # fmt: skip
    for key, row in found.items():
        if "offset" not in row:
            continue
        told = [row[ending] for ending in LABELS if row.get(ending)]
        if not any("label" in facts for facts in told):
            raise DataError(f"{tar}: {key} has no label in a member .{', .'.join(LABELS)}")
        facts = {name: value for facts in reversed(told) for name, value in facts.items()}
        yield {"shard": tar.name, "split": split, **row, **facts}


def _facts(content: bytes, ending: str) -> dict[str, Any]:
    """The label, and what else our own JSON has; nothing if it has no label that is one."""
    try:
        text = content.decode().strip()
        if ending != "json":
            return {"label": text}
        kept = json.loads(text)
        texts = {name: kept[name] for name in ("label", "split", "group", "path") if name in kept}
        found: dict[str, Any] = {
            name: str(x) for name, x in texts.items() if type(x) in (str, int) and x != ""
        }
        if "segment" in kept:
            found["start"], found["end"] = (math.inf if x is None else x for x in kept["segment"])
        return found
    except (ValueError, TypeError, KeyError):
        return {}
