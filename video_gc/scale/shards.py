"""The rows of a list of videos in Parquet files, of which several processes make their shares.

The list is cut into parts of `part_size` videos, and shard i of n makes every n-th part, beginning
with part i. So a part is the same for any number of shards; one that exists is complete.
"""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from video_gc.atomic import atomic_path, durable_file, remove_stale_parts
from video_gc.deploy.choices import PRECISIONS
from video_gc.deploy.exported import is_exported
from video_gc.predict.recognizer import Recognizer
from video_gc.progress import progress_bar, say
from video_gc.scale.scoring import ScoreOptions, Scorer, Work, computed_by
from video_gc.scale.video_list import list_hash

AT_ONCE = 64
"""Rows that are held before they are written."""
ABOUT = "about.json"
"""What the rows of a folder were made of."""
FORMAT = 2


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` shards, counted from 0."""

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

    def to_make(self, shard: Shard, *, retry: bool) -> list[int]:
        """The parts of a shard that are not there; with `retry`, also those with errors."""
        mine = range(shard.number, self.count, shard.count)
        files = {part: self.file(part) for part in mine}
        return [p for p, f in files.items() if not f.is_file() or (retry and has_errors(f))]


def score_shard(
    work: Work,
    paths: pa.ChunkedArray,
    out: Path,
    *,
    shard: Shard,
    part_size: int = 1000,
    retry: bool = False,
) -> Counter[str]:
    """Write the missing parts of a shard of `paths` into `out`; counts its new rows by status.

    A killed shard loses the part that it was making; the same call goes on there.
    retry: make parts again that have a video with an error: a file may be there by now.
    Raises as `Recognizer` and `Scorer`; ValueError if `out` has the rows of another list, network
    or options.
    """
    recognizer = as_begun(work, out).recognizer()
    say(f"{work.checkpoint}: {recognizer.about}; {len(paths):,} videos are listed")
    note(out, recognizer, work.options, paths, {"part_size": part_size})
    parts = Parts(out, len(paths), part_size)
    missing = parts.to_make(shard, retry=retry)
    counts: Counter[str] = Counter()
    total = sum(len(parts.rows(part)) for part in missing)
    if not total:
        return counts
    with (
        Scorer(recognizer, work) as scorer,
        progress_bar() as progress,
    ):
        task = progress.add_task(f"Shard {shard.number}/{shard.count}", total=total)
        videos = ((row, paths[row].as_py()) for part in missing for row in parts.rows(part))
        with closing(scorer.rows(videos)) as rows:
            for part in missing:
                with (
                    durable_file(parts.file(part)) as file,
                    pa.parquet.ParquetWriter(file, work.options.schema) as written,
                ):
                    own = islice(rows, len(parts.rows(part)))
                    while some := list(islice(own, AT_ONCE)):  # features may be large
                        written.write_table(pa.Table.from_pylist(some, work.options.schema))
                        counts.update(row["status"] for row in some)
                        progress.advance(task, len(some))
    return counts


def has_errors(file: Path) -> bool:
    """Whether a part has a video with an error, or is damaged itself."""
    try:
        with pa.parquet.ParquetFile(file) as stored:
            return "error" in stored.read(columns=["status"])["status"].to_pylist()
    except (pa.ArrowException, OSError, KeyError):
        return True


def as_begun(work: Work, out: Path) -> Work:
    """`work` with the precision, backend and micro-batch of the rows that a folder has.

    What is the default may have changed since (`video-gc benchmark predict --choose`), or differ on
    another machine. What is given stays, and int8 cannot be had elsewhere.
    """
    kept = read_about(out)
    given = (work.precision, work.backend) != ("auto", "auto") or is_exported(work.checkpoint)
    if kept is None or given:
        return work
    _, precision, backend, micro_batch = kept["network"]
    if precision not in PRECISIONS:  # int8 is as it was chosen here; `note` compares
        return work
    return replace(work, precision=precision, backend=backend, micro_batch=micro_batch)


def note(
    out: Path,
    recognizer: Recognizer,
    options: ScoreOptions,
    paths: pa.ChunkedArray,
    way: Mapping[str, Any],
) -> None:
    """Note in a folder what its rows are made of, and remove what killed processes left there.

    way: how they are made, as far as that must not change.
    Raises ValueError, naming the difference, if the folder has the rows of something else.
    """
    computed_by(recognizer, options)  # before a folder is taken
    about = {
        "format": FORMAT,
        "list": list_hash(paths),
        "videos": len(paths),
        **recognizer.identity,
        "options": options.identity,
        **way,
    }
    about = json.loads(json.dumps(about))  # tuples become lists
    kept = read_about(out)
    if kept is None:
        if next(out.glob("[!.]*.parquet"), None):
            raise ValueError(f"{out}: has Parquet files, but no {ABOUT}; give another --out")
        try:
            with atomic_path(out / ABOUT, replace=False) as file:
                file.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            kept = about
        except FileExistsError:  # of another shard, by now
            kept = read_about(out)
    if kept is not None and kept != about:
        every = sorted({*about, *kept})
        differ = ", ".join(name for name in every if kept.get(name) != about.get(name))
        int8 = "int8" in kept.get("network", ()) and "network" in differ
        raise ValueError(
            f"{out}: its rows were made with another {differ}; give another --out, or "
            + ("go on where it was begun, with the int8 that was chosen then" if int8 else
               "the same list, checkpoint, precision and options")
        )  # fmt: skip
    remove_stale_parts(out)


def read_about(folder: Path) -> dict[str, Any] | None:
    """What a folder's rows are made of; None if it has no note.

    Raises ValueError for a foreign note.
    """
    try:
        kept = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if kept["format"] == FORMAT:
            return dict(kept)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{folder / ABOUT}: not of this version of video-gc score; give another --out")
