"""Checksums of FFV1's slices, which FFmpeg's decoder compares and says nothing of (RFC 9043, 4.9).

A picture ends with its last slice, each slice with its size, and in version 3 usually with a byte
of status and a CRC over all of it, which leaves 0.
"""

import zlib

SIZE, BEHIND = 3, 8
"""bytes behind a slice: its size, and with it status and CRC"""
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""zlib counts bits from the right, FFV1 from the left"""
CLEAN = 0xFFFFFFFF
"""what zlib makes of a remainder of 0, begun with 0"""


class Slices:
    """Notices damaged pictures of one stream.

    Nothing is damaged before one slice was right: a stream need not have checksums, and those of
    version 4 are others.
    """

    def __init__(self) -> None:
        self._checked = False

    def are_damaged(self, picture: bytes) -> bool:
        """Whether the picture cannot be what was written."""
        right = [zlib.crc32(part.translate(MIRRORED), CLEAN) == CLEAN for part in _parts(picture)]
        self._checked |= any(right)
        return self._checked and not (right and all(right))


def _parts(picture: bytes) -> list[bytes]:
    """Its slices, each with what is behind it; none where they do not fill it."""
    found, end = list[bytes](), len(picture)
    while end > 0:
        place = end - BEHIND
        start = place - int.from_bytes(picture[max(place, 0) : place + SIZE], "big")
        if not 0 <= start < place:
            return []
        found.append(picture[start:end])
        end = start
    return found
