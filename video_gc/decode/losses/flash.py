"""FLV: tags that follow each other, each with its length behind it.

A tag is believed where its head or the length behind it is as it should be: FFmpeg reads a tag of
any kind and stream, and not every writer is right about the length.
"""

from collections.abc import Iterator

from video_gc.decode.frame_table.content import Bytes
from video_gc.decode.losses.loss import Loss

HEAD = b"FLV\x01"
TAGS = (8, 9, 18)
BROKEN = "tags of the file are broken before or in it"


def losses(file: Bytes) -> Iterator[Loss]:
    """Breaks in the chain of tags."""
    place = last = 0
    while place + 11 < file.size:
        if file.at(place, 4) == HEAD:
            place += int.from_bytes(file.at(place + 5, 4), "big") + 4
        elif _is_tag(file, place) or _is_measured(file, place):
            last, place = place, _end(file, place)
        else:
            found = place + 1
            while found < file.size and not _is_followed(file, found):
                found += 1
            if found < file.size or any(any(chunk) for chunk in file.chunks(place, file.size)):
                yield Loss(last, found, BROKEN)
            place = found


def _is_tag(file: Bytes, place: int) -> bool:
    head = file.at(place, 11)
    return len(head) == 11 and head[0] & 31 in TAGS and head[8:] == bytes(3)


def _is_measured(file: Bytes, place: int) -> bool:
    """Whether the length behind a tag is that which its head says."""
    size, behind = file.at(place + 1, 3), file.at(_end(file, place) - 4, 4)
    return any(size) and int.from_bytes(behind, "big") == 11 + int.from_bytes(size, "big")


def _end(file: Bytes, place: int) -> int:
    """Where the next tag begins."""
    return place + 15 + int.from_bytes(file.at(place + 1, 3), "big")


def _is_followed(file: Bytes, place: int) -> bool:
    """Whether a tag is here, and another one or the end of the file behind it."""
    return _is_tag(file, place) and (
        _end(file, place) == file.size or _is_tag(file, _end(file, place))
    )
