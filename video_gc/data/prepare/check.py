"""Decode every frame of every video once, and store the findings in a manifest."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from video_gc.atomic import fitting_name, journal, read_journal, remove_stale_parts
from video_gc.data.index import DataError
from video_gc.data.manifest import (
    COLUMNS,
    FACTS,
    Listed,
    Manifest,
    absolute,
    read_manifest,
    relative_path,
    write_manifest,
)
from video_gc.data.prepare.jobs import CheckJob, cause_of, check_file, patience
from video_gc.data.prepare.leaks import Pair, find_duplicates, find_leaks, source_id
from video_gc.decode.video_facts import STATUSES, VideoFacts, stamp
from video_gc.outputs import Outputs, write_csv
from video_gc.progress import progress_bar, say
from video_gc.subprocess_call import call_each

LISTS = ("damaged", "missing", "duplicates", "leaks")
"""Lists of problems beside the manifest: NAME-damaged.csv and so on."""


@dataclass(frozen=True)
class CheckResult:
    """The result of a check."""

    manifest: Manifest
    decoded: int
    """files decoded now; the others were known and unchanged"""
    carried: int
    """rows kept from an earlier check of other lists"""
    statuses: dict[str, int]
    """status → files"""
    duplicates: list[Pair]
    leaks: list[Pair]
    files: list[Path]
    """the lists of problems beside the manifest"""

    @property
    def sound(self) -> bool:
        """Whether every file is readable and no split leaks into another."""
        return not self.leaks and sum(self.statuses.values()) == self.statuses["ok"]


def check_videos(
    listed: Sequence[Listed],
    root: Path,
    out: Path,
    *,
    workers: int = 1,
    time_limit: float = 60.0,
    min_frames: int = 2,
    work: Callable[[CheckJob], VideoFacts] = check_file,
) -> CheckResult:
    """Examine all videos and write the manifest `out`, with lists of problems beside it.

    Each result is written at once to a journal beside `out`. A file is not read again if its size
    and time are in the journal, and not decoded again if its bytes are those in the manifest.
    Files of an earlier check stay in `out` if they still exist, so lists may be checked one after
    another. Of a split in the present lists, only the listed files stay.
    workers: processes. time_limit: most seconds for one frame.
    min_frames: videos with fewer frames are called short.

    Raises ValueError for an unusable option, DataError if `out` is not a manifest, FileExistsError
    if a list would replace a file of other origin, BlockingIOError if another check is writing
    there.
    """
    if min_frames < 1:
        raise ValueError(f"min_frames ({min_frames}) must be at least 1")
    if time_limit <= 0:
        raise ValueError(f"time_limit ({time_limit}) must be above 0")
    outputs = Outputs(out.parent)
    outputs.check(_list_name(out, kind) for kind in LISTS)
    kept_so_far = outputs.claim(fitting_name(f".{out.stem}", ".journal.jsonl"))
    remove_stale_parts(out.parent)
    noted = outputs.is_ours(out.name)
    earlier, known, done_before = _earlier(out, kept_so_far, root, noted=noted)
    carried = _carried(earlier, listed)
    listed = [*listed, *carried]
    facts: dict[str, VideoFacts] = {}
    jobs: list[CheckJob] = []
    decoded = 0
    for path in dict.fromkeys(video.path for video in listed):
        name = relative_path(path, root)
        kept = _unchanged(path, done_before.get(absolute(path)))
        if kept is None:
            jobs.append(CheckJob(path, time_limit, known.get(absolute(path))))
        else:
            facts[name] = kept
    with (
        journal(kept_so_far, what="check", way="another --out") as keep,
        progress_bar() as progress,
    ):
        task = progress.add_task("Checking", total=len(facts) + len(jobs), completed=len(facts))
        done = call_each(
            work, jobs, workers=workers, patience=lambda job: patience(job.path, time_limit)
        )
        for job, found in done:
            if isinstance(found, Exception):
                size, mtime = _stamp_or_zero(job.path)
                cause = cause_of(found)
                found = VideoFacts(status="damaged", cause=cause, bytes=size, mtime=mtime)
            name = relative_path(job.path, root)
            facts[name] = found
            decoded += found != job.known or not found.content
            keep({"path": name} | asdict(found))
            progress.advance(task)
    judged = {name: _judge(found, min_frames) for name, found in facts.items()}
    rows = [(_with_source(video), judged[relative_path(video.path, root)]) for video in listed]
    if not os.path.lexists(out):
        outputs.claim(out.name)
    manifest = write_manifest(rows, root, out)
    outputs.remove(kept_so_far.name)
    return _result(manifest, judged, decoded, len(carried), out)


def _result(
    manifest: Manifest, judged: dict[str, VideoFacts], decoded: int, carried: int, out: Path
) -> CheckResult:
    rows = [row for row in manifest.rows() if row["status"] != "missing"]
    counts = Counter(found.status for found in judged.values())
    duplicates, leaks = find_duplicates(rows), find_leaks(rows)
    wrong = [(name, f.status, f.cause) for name, f in sorted(judged.items()) if f.status != "ok"]
    lists: dict[str, tuple[list[str], Sequence[tuple[str, ...]]]] = {
        "damaged": (["path", "status", "cause"], [row for row in wrong if row[1] != "missing"]),
        "missing": (["path"], [row[:1] for row in wrong if row[1] == "missing"]),
        "duplicates": (["first", "second", "splits", "how"], [astuple(p) for p in duplicates]),
        "leaks": (["first", "second", "splits", "how"], [astuple(p) for p in leaks]),
    }
    files = []
    for name, (header, found) in lists.items():
        file = out.with_name(_list_name(out, name))
        if found:
            files.append(write_csv(file, header, found))
        else:
            Outputs(out.parent).remove(file.name)  # of an earlier check
    statuses = {status: counts[status] for status in STATUSES}
    return CheckResult(manifest, decoded, carried, statuses, duplicates, leaks, files)


def _list_name(out: Path, kind: str) -> str:
    return fitting_name(f"{out.stem}-{kind}", ".csv")


def _earlier(
    out: Path, kept: Path, root: Path, *, noted: bool
) -> tuple[list[Listed], dict[str, VideoFacts], dict[str, VideoFacts]]:
    """The files of an earlier check, also of an interrupted one: absolute path → facts."""
    listed: list[Listed] = []
    facts: dict[str, VideoFacts] = {}
    broken_off: dict[str, VideoFacts] = {}
    row: Any
    manifest = _read_earlier(out, noted) if out.exists() else None
    if manifest is not None:
        for row in manifest.rows():
            path = absolute(manifest.root / row["path"])
            listed.append(Listed(Path(path), row["label"], row["split"], row["source"]))
            facts[path] = VideoFacts(**{name: row[name] for name in FACTS})
    for row in read_journal(kept):
        if _is_result(row):
            found = VideoFacts(**{name: row[name] for name in FACTS})
            broken_off[absolute(root / row["path"])] = found
    return listed, facts, broken_off


def _is_result(row: Any) -> bool:
    """Whether a line of the journal is valid; it may be of another version or foreign."""
    if not isinstance(row, dict) or not isinstance(row.get("path"), str):
        return False
    return all(isinstance(row.get(field.name), field.type) for field in fields(VideoFacts))  # type: ignore[arg-type]


def _read_earlier(out: Path, noted: bool) -> Manifest | None:
    """The manifest; None for a damaged one. Raises DataError if `out` is not a manifest.

    noted: this program wrote a file of that name, even if it is damaged now.
    """
    try:
        return read_manifest(out)
    except DataError as error:
        if out.suffix != ".parquet" or not (noted or _begins_like_one(out)) or _is_table(out):
            raise DataError(f"{out}: is not a manifest; give --out another name") from error
        say(f"{out}: damaged; it is made anew, so every file is decoded", style="yellow")
        return None


def _begins_like_one(file: Path) -> bool:
    """Whether it may be a truncated manifest."""
    with file.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def _is_table(file: Path) -> bool:
    """Whether it is a Parquet file of another program."""
    try:
        return len({*COLUMNS} & {*pq.read_schema(file).names}) < len(COLUMNS) / 2
    except (pa.ArrowException, OSError):
        return False


def _carried(earlier: Sequence[Listed], listed: Sequence[Listed]) -> list[Listed]:
    """The rows of an earlier check to keep.

    A list is complete for its split: videos no longer in it leave the manifest. A video now listed
    without a split loses its split.
    """
    splits: dict[Path, set[str]] = {}
    for video in listed:
        splits.setdefault(Path(absolute(video.path)), set()).add(video.split)
    now = set().union(*splits.values()) - {""}
    return [
        video
        for video in earlier
        if video.split not in now
        and (video.path not in splits or (video.split and "" not in splits[video.path]))
        and os.path.exists(video.path)
    ]


def _unchanged(path: Path, known: VideoFacts | None) -> VideoFacts | None:
    """The known facts of the file in its present state; None if it must be examined."""
    try:
        now = stamp(path)
    except (FileNotFoundError, NotADirectoryError):
        return VideoFacts(status="missing", cause="no such file")
    except ValueError as error:  # a list may contain anything
        return VideoFacts(status="missing", cause=f"not a file name ({error})")
    except OSError:  # the examination reports the error
        return None
    return known if known and now == (known.bytes, known.mtime) else None


def _judge(facts: VideoFacts, min_frames: int) -> VideoFacts:
    if facts.status == "short":  # of an earlier check, perhaps with another limit
        facts = replace(facts, status="ok", cause="")
    if facts.status == "ok" and facts.frames < min_frames:
        cause = f"{facts.frames} of at least {min_frames} frames"
        return replace(facts, status="short", cause=cause)
    return facts


def _stamp_or_zero(path: Path) -> tuple[int, int]:
    try:
        return stamp(path)
    except OSError:
        return 0, 0


def _with_source(video: Listed) -> Listed:
    return replace(video, source=source_id(video.path.name, video.source))
