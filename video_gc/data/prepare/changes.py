"""Files that have changed since they were first checked.

Many codecs decode damage in silence (docs/decoders.md). The hash of a file at first sight shows it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from video_gc.decode.probe import VideoFacts, examine, hash_file, stamp

CHANGED = (
    "other pictures than at the first check, in as many bytes: a copy or the disk may have failed; "
    "restore the file, or delete the manifest to take it as it is"
)


def examine_again(
    path: Path, known: VideoFacts | None, *, time_limit: float, beat: Callable[[], None]
) -> VideoFacts:
    """What is in the file now; it is decoded only where it is not the one that is known.

    A file of the same size that shows other pictures is damaged, and keeps the hashes of first
    sight. known: of an earlier check. See `examine` for the rest.
    """
    if known and known.content and _is_same(path, known, beat):
        return known
    found = examine(path, time_limit=time_limit, beat=beat)
    if known and found.status == "ok" and _rots(known, found):
        return replace(known, mtime=found.mtime, status="damaged", cause=CHANGED)
    return found


def _is_same(path: Path, known: VideoFacts, beat: Callable[[], None]) -> bool:
    try:
        return stamp(path) == (known.bytes, known.mtime) and hash_file(path, beat) == known.content
    except OSError:
        return False


def _rots(known: VideoFacts, found: VideoFacts) -> bool:
    """Whether a file that was sound shows something else in as many bytes."""
    was_sound = known.status in ("ok", "short") or known.cause == CHANGED
    other = found.content != known.content and found.pictures != known.pictures
    return was_sound and bool(known.pictures) and found.bytes == known.bytes and other
