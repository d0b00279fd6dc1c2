"""Matroska and WebM: elements without gaps between them, with checksums (RFC 9559, 8794)."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from video_gc.decode.ffmpeg.source import Bytes
from video_gc.decode.losses.loss import Loss

HEADER, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
TRACKS, ENTRY, NUMBER = 0x1654AE6B, 0xAE, 0xD7
TOP = {HEADER, SEGMENT, CLUSTER, TRACKS, 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1941A469,
       0x1043A770, 0x1254C367, 0xEC, 0xBF}  # fmt: skip
"""elements of a segment, including Void and CRC-32"""
TRACKS, ENTRY, NUMBER = 0x1654AE6B, 0xAE, 0xD7
TIME, SIMPLE, GROUP, BLOCK, CRC = 0xE7, 0xA3, 0xA0, 0xA1, 0xBF
INSIDE = {TIME, SIMPLE, GROUP, CRC, 0xA7, 0xAB, 0x5854, 0xAF, 0xEC}
"""elements of a cluster"""
RESTART = re.compile(rb"\x1f\x43\xb6\x75")
BROKEN = "elements of the file are broken before or in it"
CHECKSUM = "the checksum of its cluster is wrong"


@dataclass
class _Cluster:
    start: int
    inside: int
    end: int
    wrong: bool = False


def losses(file: Bytes, stream: int) -> Iterator[Loss]:
    """Breaks in the chain of elements, and clusters with a wrong checksum.

    stream: number of the video stream in the file.
    """
    clusters: list[_Cluster] = []
    tracks: list[int] = []
    place = last = 0
    while place < file.size:
        kind, size, length = _head(file, place)
        if kind not in TOP or (kind == CLUSTER and not length):
            following = file.find(RESTART, place + 1)
            if following is None and not clusters:
                return
            end = file.size if following is None else following
            if following is not None or not file.are_zero(place, file.size):
                yield Loss(last, end, BROKEN)
            place = end
            continue
        inside = place + length
        end = file.size if size is None else inside + size
        if kind == SEGMENT:
            place = inside
        elif kind == CLUSTER:
            cluster = _Cluster(place, inside, end)
            clusters.append(cluster)
            place, last, broken = _read_cluster(file, cluster, endless=size is None)
            if broken:
                following = file.find(RESTART, place)
                upto = file.size if following is None else following
                if place < file.size:
                    yield Loss(last, upto, BROKEN)
                place = upto
            elif cluster.wrong:
                track = tracks[stream] if stream < len(tracks) else 0
                sound = _regular(file, clusters[-2:], track)
                yield Loss(cluster.start, end, CHECKSUM, moves=not sound)
        else:
            if kind == TRACKS:
                tracks = _track_numbers(file, inside, end)
            last, place = place, end


def _track_numbers(file: Bytes, place: int, end: int) -> list[int]:
    """The number of each track, in the order of the file."""
    numbers = []
    while place < min(end, file.size):
        kind, size, length = _head(file, place)
        if not length or size is None:
            break
        if kind == NUMBER:
            numbers.append(int.from_bytes(file.at(place + length, size), "big"))
        place += length if kind == ENTRY else length + size
    return numbers


def _read_cluster(file: Bytes, cluster: _Cluster, *, endless: bool) -> tuple[int, int, bool]:
    """End of the cluster or of its valid part, start of its last element, and whether it breaks."""
    place, last, end = cluster.inside, cluster.start, cluster.end
    while place < min(end, file.size):
        kind, size, length = _head(file, place)
        if endless and kind in TOP - INSIDE:
            cluster.end = place
            return place, last, False
        if kind not in INSIDE or size is None or place + length + size > end:
            cluster.end = place
            return place, last, True
        last, inside = place, place + length
        place = inside + size
        if kind == CRC and size == 4:
            checksum = int.from_bytes(file.at(inside, 4), "little")
            cluster.wrong = checksum != _checksum(file, place, end)
    return place, last, place > file.size


def _stamps(file: Bytes, cluster: _Cluster, track: int) -> Iterator[int]:
    """Times of the track's blocks in a cluster without breaks."""
    place, begin = cluster.inside, 0
    while place < min(cluster.end, file.size):
        kind, size, length = _head(file, place)
        if size is None or not length:
            return
        inside = place + length
        place = inside + size
        if kind == TIME:
            begin = int.from_bytes(file.at(inside, size), "big")
        elif kind in (SIMPLE, GROUP):
            found = _block(file, inside, place) if kind == GROUP else inside
            number, width = _number(file.at(found or 0, 8), keep=False)
            if found is not None and number == track:
                yield begin + int.from_bytes(file.at(found + width, 2), "big", signed=True)


def _block(file: Bytes, place: int, end: int) -> int | None:
    """Start of the content of a group's block."""
    while place < end:
        kind, size, length = _head(file, place)
        if size is None:
            break
        if kind == BLOCK:
            return place + length
        place += length + size
    return None


def _regular(file: Bytes, clusters: list[_Cluster], track: int) -> bool:
    """Whether no picture is missing in the last cluster, as far as even time stamps show."""
    stamps = sorted(stamp for cluster in clusters for stamp in _stamps(file, cluster, track))
    steps = [after - before for before, after in pairwise(stamps)]
    return bool(steps) and min(steps) > 0 and max(steps) <= min(steps) + 1


def _checksum(file: Bytes, place: int, end: int) -> int:
    total = 0
    for chunk in file.chunks(place, end):
        total = zlib.crc32(chunk, total)
    return total


def _head(file: Bytes, place: int) -> tuple[int, int | None, int]:
    """Identifier, size (None: to the end of the parent) and length of an element's head.

    The length is 0 if no element can begin there.
    """
    head = file.at(place, 12)
    if head[:1] == b"\xa3" and len(head) > 2 and head[1] >= 64:  # nearly all elements
        if head[1] >= 128:
            return SIMPLE, None if head[1] == 255 else head[1] & 127, 2
        size = (head[1] & 63) << 8 | head[2]
        return SIMPLE, None if size == 0x3FFF else size, 3
    kind, first = _number(head[:4], keep=True)
    value, second = _number(head[first : first + 8], keep=False)
    if not first or not second:
        return 0, None, 0
    return kind, None if value == (1 << 7 * second) - 1 else value, first + second


def _number(coded: bytes, *, keep: bool) -> tuple[int, int]:
    """A number of variable length, with or without its marker, and its length; 0 if invalid."""
    if not coded or not coded[0]:
        return 0, 0
    width = 9 - coded[0].bit_length()
    if width > len(coded):
        return 0, 0
    value = int.from_bytes(coded[:width], "big")
    return value if keep else value & ((1 << 7 * width) - 1), width
