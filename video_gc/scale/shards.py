"""The rows of a list of videos in Parquet files, of which several processes make their shares.

The list is cut into parts of `part_size` videos, and shard i of n makes every n-th part, beginning
with part i. So a part is the same for any number of shards; one that exists is complete.
"""

import json
import os
import platform
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from video_gc.atomic import atomic_path, remove_stale_parts, write_text
from video_gc.predict.recognizer import Recognizer
from video_gc.progress import progress_bar
from video_gc.scale.listed import list_hash
from video_gc.scale.scoring import Row, ScoreOptions, Scorer

ABOUT = "about.json"
"""What the folder's parts were made of."""
FORMAT = 1
MADE = b"video_gc.made"
"""The note of a part in its metadata: where and when it was made."""


@dataclass(frozen=True)
class Shard:
    """Share `number` of `count`, counted from 0."""

    number: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ValueError(
                f"shard ({self.number}/{self.count}) must be 0/{self.count} … "
                f"{self.count - 1}/{self.count}"
            )


@dataclass(frozen=True)
class Parts:
    """The files of a list of `videos` videos."""

    folder: Path
    videos: int
    size: int
    """videos of a part"""

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.videos // self.size)

    def file(self, part: int) -> Path:
        """Of a part."""
        return self.folder / f"part-{part:07d}.parquet"

    def rows(self, part: int) -> range:
        """The rows of the list that a part has."""
        return range(part * self.size, min((part + 1) * self.size, self.videos))

    def missing(self, shard: Shard) -> list[int]:
        """The parts of a shard that are not there."""
        mine = range(shard.number, self.count, shard.count)
        return [part for part in mine if not self.file(part).is_file()]


def score_shard(
    recognizer: Recognizer,
    paths: pa.ChunkedArray,
    out: Path,
    options: ScoreOptions,
    *,
    shard: Shard,
    part_size: int = 1000,
    decoders: int | None = None,
    timeout: float = 60.0,
) -> int:
    """Write the missing parts of a shard of `paths` into `out`; returns the number of videos.

    A killed shard loses the part that it was making; the same call goes on there.
    Raises as `Scorer`; ValueError if `out` has the parts of another list, network or options.
    """
    parts = open_parts(out, recognizer, paths, options, part_size)
    missing = parts.missing(shard)
    total = sum(len(parts.rows(part)) for part in missing)
    if not total:
        return 0
    with (
        Scorer(recognizer, options, decoders=decoders, timeout=timeout) as scorer,
        progress_bar() as progress,
    ):
        task = progress.add_task(f"Shard {shard.number}/{shard.count}", total=total)
        videos = ((row, paths[row].as_py()) for part in missing for row in parts.rows(part))
        with closing(scorer.rows(videos)) as rows:
            for part in missing:
                started, made = time.time(), list[Row]()
                for row in islice(rows, len(parts.rows(part))):
                    made.append(row)
                    progress.advance(task)
                write_part(parts.file(part), made, options, started)
    return total


def open_parts(
    out: Path,
    recognizer: Recognizer,
    paths: pa.ChunkedArray,
    options: ScoreOptions,
    part_size: int,
) -> Parts:
    """The parts of a list in a folder, which notes what they are made of.

    Raises ValueError, naming the difference, if the folder has the parts of something else.
    """
    if part_size < 1:
        raise ValueError(f"part_size ({part_size}) must be at least 1")
    contract = asdict(recognizer.contract)
    del contract["versions"]  # an update of torch changes the last digits at most
    network = recognizer.network
    about = {
        "format": FORMAT,
        "list": list_hash(paths),
        "videos": len(paths),
        "part_size": part_size,
        "network": [recognizer.design, network.precision, network.backend],
        "contract": contract,
        "options": options.identity,
    }
    about = json.loads(json.dumps(about))  # tuples become lists
    kept = read_about(out)
    if kept is None:
        if next(out.glob("part-*.parquet"), None):
            raise ValueError(f"{out}: has parts, but no {ABOUT}; give another --out")
        write_text(out / ABOUT, json.dumps(about, indent=1) + "\n")
    elif kept != about:
        differ = ", ".join(name for name, value in about.items() if kept.get(name) != value)
        raise ValueError(
            f"{out}: has parts that were made with another {differ}; give another --out, or the "
            "same list, checkpoint and options"
        )
    remove_stale_parts(out)
    return Parts(out, len(paths), part_size)


def read_about(folder: Path) -> dict[str, Any] | None:
    """What a folder's parts are made of; None if it has no note. Raises ValueError for a foreign
    one."""
    try:
        kept = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if kept["format"] == FORMAT:
            return dict(kept)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{folder / ABOUT}: not of this version of tools/score.py; give another --out")


def write_part(file: Path, rows: Sequence[Row], options: ScoreOptions, started: float) -> None:
    """A part under a temporary name, renamed. started: when it was begun, `time.time`."""
    made = {
        "machine": platform.node(),
        "process": os.getpid(),
        "start": started,
        "end": time.time(),
    }
    schema = options.schema.with_metadata({MADE: json.dumps(made)})
    with atomic_path(file) as part:
        pa.parquet.write_table(pa.Table.from_pylist(list(rows), schema), part, compression="zstd")
