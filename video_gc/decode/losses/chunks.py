"""AVI, FLV and MPEG-PS: pieces without gaps between them, each with its length."""

import re
from collections.abc import Iterator

from video_gc.decode.ffmpeg.source import Bytes
from video_gc.decode.losses.loss import Loss

BROKEN = "{} of the file are broken before or in it"
DATA = re.compile(rb"\d\d(?:dc|db|wb|tx|pc|sb)|ix\d\d|JUNK|idx1|LIST|RIFF")
"""names of AVI's chunks in a data list"""
NAME = re.compile(rb"[ -~]{4}")
"""names elsewhere"""
INDEXED = "the index of the file has other chunks here"


def avi_losses(file: Bytes, stream: int) -> Iterator[Loss]:
    """Breaks in the chain of AVI's chunks, and differences from the index at the end.

    stream: number of the video stream in the file.
    """
    names = (b"%02ddc" % stream, b"%02ddb" % stream)
    found: list[tuple[int, int]] = []
    place = last = end = 0
    while place + 8 <= file.size:
        head = file.at(place, 12)
        name, size, kind = head[:4], int.from_bytes(head[4:8], "little"), head[8:]
        if not (DATA if place < end else NAME).fullmatch(name):
            following = _next_chunk(file, place + 1)
            if following is not None:
                yield Loss(last, following, BROKEN.format("chunks"))
            elif not file.are_zero(place, end):
                yield Loss(last, file.size, BROKEN.format("chunks"))
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
    """Whether it is a list whose contents are examined."""
    return name == b"RIFF" or (name == b"LIST" and kind in (b"movi", b"rec "))


def _next_chunk(file: Bytes, place: int) -> int | None:
    """Start of the next chunk that is followed by another one or by the end of the file."""
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
    """The first chunk that differs from the index; offsets have several bases."""
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


FLV = b"FLV\x01"
TAGS = (8, 9, 18)


def flv_losses(file: Bytes) -> Iterator[Loss]:
    """Breaks in the chain of FLV's tags, each followed by its length.

    A tag is accepted if its head or the length after it is valid: FFmpeg reads tags of any kind and
    stream, and some writers get the length wrong.
    """
    place = last = 0
    while place + 11 < file.size:
        if file.at(place, 4) == FLV:
            place += int.from_bytes(file.at(place + 5, 4), "big") + 4
        elif _is_tag(file, place) or _is_measured(file, place):
            last, place = place, _end_of_tag(file, place)
        else:
            found = place + 1
            while found < file.size and not _is_followed(file, found):
                found += 1
            if found < file.size or not file.are_zero(place, file.size):
                yield Loss(last, found, BROKEN.format("tags"))
            place = found


def _is_tag(file: Bytes, place: int) -> bool:
    head = file.at(place, 11)
    return len(head) == 11 and head[0] & 31 in TAGS and head[8:] == bytes(3)


def _is_measured(file: Bytes, place: int) -> bool:
    """Whether the length after a tag matches its head."""
    size, behind = file.at(place + 1, 3), file.at(_end_of_tag(file, place) - 4, 4)
    return any(size) and int.from_bytes(behind, "big") == 11 + int.from_bytes(size, "big")


def _end_of_tag(file: Bytes, place: int) -> int:
    """Start of the next tag."""
    return place + 15 + int.from_bytes(file.at(place + 1, 3), "big")


def _is_followed(file: Bytes, place: int) -> bool:
    """Whether there is a tag here, followed by another one or by the end of the file."""
    return _is_tag(file, place) and (
        _end_of_tag(file, place) == file.size or _is_tag(file, _end_of_tag(file, place))
    )


PACK, END = 0xBA, 0xB9
START = re.compile(rb"\x00\x00\x01[\xba-\xff]")
PADDING = 64
"""most zeros between two packs (sectors of a Video CD)"""


def program_losses(file: Bytes) -> Iterator[Loss]:
    """Breaks in the chain of packs of MPEG-PS (ISO 13818-1, 2.5)."""
    place = pack = 0
    while place + 4 <= file.size:
        head = file.at(place, 14)
        if not START.match(head) and not head.startswith(b"\0\0\1\xb9"):
            following = file.find(START, place)
            zeros = following is not None and not any(
                file.at(place, min(following - place, PADDING + 1))
            )
            if following is None:
                if not file.are_zero(place, file.size):
                    yield Loss(pack, file.size, BROKEN.format("packets"))
                return
            if not zeros or following - place > PADDING:
                yield Loss(pack, following, BROKEN.format("packets"))
            place = following
            continue
        if head[3] == PACK:
            pack = place
            modern = len(head) == 14 and head[4] >> 6 == 1  # MPEG-2
            place += 14 + (head[13] & 7) if modern else 12
        elif head[3] == END:
            place += 4
        else:
            place += 6 + int.from_bytes(head[4:6], "big")
            if place > file.size:
                yield Loss(pack, file.size, "the file is cut off in it", moves=False)
