"""AVI: chunks that follow each other without a gap, and an index of them at the end."""

import re
from collections.abc import Iterator

from video_gc.decode.frame_table.content import Bytes
from video_gc.decode.losses.loss import Loss

DATA = re.compile(rb"\d\d(?:dc|db|wb|tx|pc|sb)|ix\d\d|JUNK|idx1|LIST|RIFF")
"""names of chunks inside a list of data"""
NAME = re.compile(rb"[ -~]{4}")
"""names elsewhere"""
BROKEN = "chunks of the file are broken before or in it"
INDEXED = "the index of the file has other chunks here"


def losses(file: Bytes, stream: int) -> Iterator[Loss]:
    """Breaks in the chain of chunks. stream: number of the video stream in the file."""
    names = (b"%02ddc" % stream, b"%02ddb" % stream)
    found: list[tuple[int, int]] = []
    place = last = end = 0
    while place + 8 <= file.size:
        head = file.at(place, 12)
        name, size, kind = head[:4], int.from_bytes(head[4:8], "little"), head[8:]
        if not (DATA if place < end else NAME).fullmatch(name):
            following = _next(file, place + 1)
            if following is not None:
                yield Loss(last, following, BROKEN)
            elif any(any(chunk) for chunk in file.chunks(place, end)):
                yield Loss(last, file.size, BROKEN)
            place = file.size if following is None else following
            continue
        last = place
        if name in names and size:
            found.append((place, size))
        elif name == b"idx1" and (other := _differs(file, place + 8, size, found, names)):
            yield other
        if kind == b"movi":
            end = place + 8 + size if size else file.size
        place += 12 if _opens(name, kind) else 8 + size + size % 2


def _opens(name: bytes, kind: bytes) -> bool:
    """Whether it is a list whose inside is looked at."""
    return name == b"RIFF" or (name == b"LIST" and kind in (b"movi", b"rec "))


def _next(file: Bytes, place: int) -> int | None:
    """Where the next chunk begins that another one, or the end of the file, follows."""
    found = file.find(DATA, place)
    while found is not None:
        head = file.at(found, 12)
        size = int.from_bytes(head[4:8], "little")
        after = found + (12 if _opens(head[:4], head[8:]) else 8 + size + size % 2)
        if after == file.size or DATA.fullmatch(file.at(after, 4)):
            return found
        found = file.find(DATA, found + 1)
    return None


def _differs(
    file: Bytes, place: int, size: int, found: list[tuple[int, int]], names: tuple[bytes, ...]
) -> Loss | None:
    """The first chunk that the index does not list as it was found; offsets have several bases."""
    index = b"".join(file.chunks(place, min(place + size, file.size)))
    rows = (index[at : at + 16] for at in range(0, len(index) - 15, 16))
    sizes = [int.from_bytes(row[12:], "little") for row in rows if row[:4] in names]
    sizes = [size for size in sizes if size]
    for number, listed in enumerate(sizes):
        if number >= len(found):
            return Loss(found[-1][0] if found else 0, place, INDEXED)
        if found[number][1] != listed:
            return Loss(found[max(number - 1, 0)][0], found[number][0] + 1, INDEXED)
    return None
