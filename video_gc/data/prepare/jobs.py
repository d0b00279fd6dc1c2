"""The work of tools/prepare.py's processes on one file; light, because each process imports it."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from video_gc.atomic import atomic_path
from video_gc.data.prepare.copies import Copy
from video_gc.decode.reader import DecodeError
from video_gc.decode.video_facts import VideoFacts, examine, hash_file, stamp
from video_gc.decode.write import transcode
from video_gc.subprocess_call import ProcessDied, ProcessStuck

SLOWEST = 500_000
"""Bytes of a video that any machine decodes in a second."""
CHANGED = (
    "other pictures than at the first check, with the same size: a copy or the disk may have "
    "failed; restore the file, or delete the manifest to accept it"
)


@dataclass(frozen=True, kw_only=True)
class ResizeConfig:
    """Settings of the copies; see `transcode`."""

    short_side: int = 256
    """pixels; smaller videos keep their size"""
    keyframe_interval: int = 32
    """frames; a clip of 8×8 spans 57, and decoding begins 16 earlier on average. On three clips the
    files were 7 to 34 % larger than with x264's 250, with which decoding begins much earlier; with
    12, decoding begins 6 earlier, and the files were 15 to 72 % larger"""
    crf: int = 20
    """quality, 0 (best) … 51"""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("short_side", 2, 1 << 14),
            ("keyframe_interval", 1, 1 << 14),
            ("crf", 0, 51),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} ({getattr(self, name)}) must be in {low}…{high}")


@dataclass(frozen=True)
class CheckJob:
    """A file to examine."""

    path: Path
    time_limit: float
    known: VideoFacts | None = None
    """result of an earlier check"""


@dataclass(frozen=True)
class ResizeJob:
    """A file, its copy and the settings."""

    copy: Copy
    config: ResizeConfig
    time_limit: float


def check_file(job: CheckJob) -> VideoFacts:
    """The present contents of the file; it is decoded only if its bytes changed.

    Many decoders hide damage (docs/decoders.md); the hash from the first check reveals it. A file
    of the same size with other pictures is damaged, and keeps the first hashes.
    """
    known = job.known
    if known and known.content and _is_same(job.path, known):
        return known
    found = examine(job.path, time_limit=job.time_limit)
    if known and found.status == "ok" and _shows_something_else(known, found):
        return replace(known, mtime=found.mtime, status="damaged", cause=CHANGED)
    return found


def resize_file(job: ResizeJob) -> str:
    """Write the copy; the cause if the file cannot be read, else an empty text."""
    try:
        with atomic_path(job.copy.target, replace=job.copy.replaces) as part:
            transcode(job.copy.source, part, **asdict(job.config), time_limit=job.time_limit)
    except DecodeError as error:
        return error.reason
    return ""


def patience(file: Path, time_limit: float) -> float:
    """Seconds that a process may spend on `file` without a heartbeat.

    For decoders that hang despite their own time limit per frame. It grows with the size of the
    file, because opening an AVI file may require decoding it.
    """
    try:
        return 2 * time_limit + file.stat().st_size / SLOWEST
    except OSError:
        return 2 * time_limit


def cause_of(error: Exception) -> str:
    """The reason for a missing result, for a list of failures."""
    match error:
        case ProcessDied():
            return f"decoder crashed ({error})"
        case ProcessStuck():
            return f"decoder stuck ({error})"
    return f"{type(error).__name__}: {error}"


def _is_same(path: Path, known: VideoFacts) -> bool:
    try:
        return stamp(path) == (known.bytes, known.mtime) and hash_file(path) == known.content
    except OSError:
        return False


def _shows_something_else(known: VideoFacts, found: VideoFacts) -> bool:
    """Whether a file that was sound now shows other pictures with the same number of bytes."""
    was_sound = known.status in ("ok", "short") or known.cause == CHANGED
    other = found.content != known.content and found.pictures != known.pictures
    return was_sound and bool(known.pictures) and found.bytes == known.bytes and other
