"""ASF (WMV): packets of equal size that contain numbered pieces of objects (ASF 1.20, 5.2).

An object is a picture. A number that jumps at a key frame is no loss: the recording was edited.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from video_gc.decode.ffmpeg.source import Bytes
from video_gc.decode.losses.loss import Loss

HEADER = bytes.fromhex("3026B2758E66CF11A6D900AA0062CE6C")
PROPERTIES = bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365")
DATA = bytes.fromhex("3626B2758E66CF11A6D900AA0062CE6C")
SIZES = 92
"""places of the least and largest packet size in the properties"""
BELIEVED = range(64, 65_537)
"""bytes of a packet"""
BROKEN = "packets of the file are broken before or in it"
LOST = "pieces of the stream are missing before or in it"
WIDTHS = (0, 1, 2, 4)


@dataclass
class _Piece:
    stream: int
    key: bool
    number: int
    span: int
    """number of values"""
    offset: int
    size: int
    """of the whole object, bytes"""
    length: int


class _Reader:
    """Values of a packet, one after another. Raises IndexError at its end."""

    def __init__(self, packet: bytes) -> None:
        self.packet, self.at = packet, 0

    def take(self, width: int) -> int:
        self.at += width
        if self.at > len(self.packet):
            raise IndexError
        return int.from_bytes(self.packet[self.at - width : self.at], "little")


def losses(file: Bytes, stream: int) -> Iterator[Loss]:
    """Broken packets and incomplete objects. stream: its number in the file."""
    size, place, end = _packets(file)
    begun, done = place, 0
    """start of the last object, and the number of its bytes read"""
    last: _Piece | None = None
    while size and place + size <= end:
        try:
            pieces = _pieces(file.at(place, size))
        except IndexError:
            yield Loss(begun, place + size, BROKEN)
            place, last = place + size, None
            begun = place
            continue
        if pieces is None:
            return
        for piece in pieces:
            if piece.stream != stream:
                continue
            if last and _is_lost(last, done, piece):
                yield Loss(begun, place + 1, LOST)
            if last is None or piece.number != last.number:
                begun = place
            last, done = piece, piece.offset + piece.length
        place += size
    if size and place < end:
        yield Loss(begun, file.size, "the file is cut off in it", moves=False)


def _is_lost(last: _Piece, done: int, piece: _Piece) -> bool:
    """Whether something is missing between two pieces. done: bytes of the first object."""
    if piece.number == last.number:
        return piece.offset != done
    follows = piece.key or piece.number == (last.number + 1) % piece.span
    return done != last.size or piece.offset > 0 or not follows


def _packets(file: Bytes) -> tuple[int, int, int]:
    """Packet size, start of the first and end of the last packet; 0 if unknown."""
    place, size = 0, 0
    while place + 50 <= file.size:
        kind, length = file.at(place, 16), int.from_bytes(file.at(place + 16, 8), "little")
        if kind == HEADER:
            inside, stop = place + 30, place + length
            while inside + 24 <= min(stop, file.size):
                part = int.from_bytes(file.at(inside + 16, 8), "little")
                if file.at(inside, 16) == PROPERTIES:
                    least, most = struct.unpack("<II", file.at(inside + SIZES, 8))
                    size = least if least == most and least in BELIEVED else 0
                inside += max(part, 24)
        elif kind == DATA:
            end = place + length if length > 50 else file.size
            return size, place + 50, min(end, file.size)
        place += max(length, 24)
    return 0, 0, 0


def _pieces(packet: bytes) -> list[_Piece] | None:
    """None for a kind of packet that is not examined. Raises IndexError for a broken packet."""
    reader = _Reader(packet)
    flags = reader.take(1)
    if flags & 0x80:  # error correction
        if flags & 0x70 or reader.take(flags & 15):
            raise IndexError
        flags = reader.take(1)
    several = flags & 1
    fields = reader.take(1)
    if fields >> 6 != 1:
        raise IndexError
    length = reader.take(WIDTHS[flags >> 5 & 3]) or len(packet)
    reader.take(WIDTHS[flags >> 1 & 3])
    padding = reader.take(WIDTHS[flags >> 3 & 3])
    reader.take(6)
    end = min(length, len(packet)) - padding
    count, width = 1, 0
    if several:
        head = reader.take(1)
        count, width = head & 63, WIDTHS[head >> 6]
    pieces = []
    for _ in range(count):
        stream = reader.take(1)
        bits = WIDTHS[fields >> 4 & 3]
        number = reader.take(bits)
        offset = reader.take(WIDTHS[fields >> 2 & 3])
        extra = reader.take(WIDTHS[fields & 3])
        if extra < 8 or not bits:
            return None
        size = reader.take(4)
        reader.take(extra - 4)
        held = reader.take(width) if several else end - reader.at
        if held <= 0 or offset + held > size or reader.at + held > end:
            raise IndexError
        reader.at += held
        pieces.append(_Piece(stream & 127, stream > 127, number, 1 << 8 * bits, offset, size, held))
    return pieces
