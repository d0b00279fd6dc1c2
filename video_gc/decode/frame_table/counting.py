"""Frames by decoding from the start and counting, where packets do not tell them apart."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from video_gc.decode.ffmpeg.codec import Codec
from video_gc.decode.frame_table.starts import Starts
from video_gc.decode.losses.loss import DISPLACED

HELD = 16
"""Frames that wait for what may be wrong with earlier packets: as many as a codec may reorder."""


def count_through(
    packets: Iterable[Any], codec: Codec, beat: Callable[[bool], None]
) -> Iterator[tuple[int, Any, str | None]]:
    """Every frame from the start: (index, frame, what is wrong with it).

    A hit concerns its own frame and all that were stored after it and are shown before the next key
    frame.
    beat: called after each packet, with whether a frame came.
    """
    codec.restart()
    kinds = Starts(codec.context)
    keys, hits, came = {0}, dict[int, str](), set[int]()
    held: deque[tuple[int, Any, range]] = deque()
    index = start = 0
    loss, place = codec.losses.moving, 0
    moved: int | None = None

    def trouble(index: int, stored: range) -> str | None:
        cause = next((why for hit, why in hits.items() if hit in stored), None)
        if cause:
            return f"concealed ({cause})"
        after = moved is not None and (stored.stop > moved or index >= moved - codec.losses.depth)
        gone = any(hit < stored.stop and hit not in came for hit in hits)
        return DISPLACED if after or gone else None

    for number, packet in enumerate(chain(packets, (None,))):
        if packet is not None:
            packet.opaque = number  # comes back with the frame
            if packet.is_keyframe:
                keys.add(number)
            place = place if packet.pos is None else packet.pos  # several packets may share one
            if moved is None and loss is not None and place >= loss.start:
                moved = number
            if kinds.read(packet)[0] is None:
                hits[number] = "its beginning cannot be read"
        frames, cause = codec.decode(packet)
        if cause:
            hits[number] = cause
        for frame in frames:
            own = number if frame.opaque is None else frame.opaque
            start = own if own in keys else start
            came.add(own)
            if frame.is_corrupt:
                hits.setdefault(own, "it refers to damaged data")
            held.append((index, frame, range(start, own + 1)))
            index += 1
        while len(held) > HELD:
            first, frame, stored = held.popleft()
            yield first, frame, trouble(first, stored)
        beat(bool(frames))
    for first, frame, stored in held:
        yield first, frame, trouble(first, stored)
