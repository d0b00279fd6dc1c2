"""MPEG-PS: packs and packets that follow each other without a gap (ISO 13818-1, 2.5)."""

import re
from collections.abc import Iterator

from video_gc.decode.frame_table.content import Bytes
from video_gc.decode.losses.loss import Loss

PACK, END = 0xBA, 0xB9
START = re.compile(rb"\x00\x00\x01[\xba-\xff]")
PADDING = 64
"""zeros that may lie between two packs (sectors of a Video CD)"""
BROKEN = "packets of the file are broken before or in it"


def losses(file: Bytes) -> Iterator[Loss]:
    """Breaks in the chain of packs."""
    place = pack = 0
    while place + 4 <= file.size:
        head = file.at(place, 14)
        if not START.match(head) and not head.startswith(b"\0\0\1\xb9"):
            following = file.find(START, place)
            zeros = following is not None and not any(
                file.at(place, min(following - place, PADDING + 1))
            )
            if following is None:
                if any(any(chunk) for chunk in file.chunks(place, file.size)):
                    yield Loss(pack, file.size, BROKEN)
                return
            if not zeros or following - place > PADDING:
                yield Loss(pack, following, BROKEN)
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
