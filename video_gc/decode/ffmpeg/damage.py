"""Mark damaged frames, and decide when a frame may be handed out.

A decoder hides damage: it paints over unreadable parts and continues. It flags the damaged picture,
but not the pictures that refer to it. So every frame from a flagged picture to the end of its group
of pictures counts as "concealed". If bytes are lost, pictures may be lost too, and the index of
each later frame is wrong: these frames count as "displaced".

A frame is handed out when every picture before it in the file has been decoded, because a picture
stored earlier and shown later may be flagged. docs/decoders.md says what share of wrong frames is
found for each codec.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from video_gc.decode.ffmpeg.packet_decoder import PacketDecoder
from video_gc.decode.frame_table.packet_heads import PacketHeads
from video_gc.decode.frame_table.packets import Window
from video_gc.decode.losses.loss import DISPLACED, Losses

Shown = tuple[int, list[np.ndarray], str | None]
"""frame index, its pictures, and its damage"""


@dataclass
class _Waiting:
    index: int
    position: int
    pictures: list[np.ndarray]


class OrderedFrames:
    """Collects decoded frames and hands them out in order, each with its damage.

    wanted: frame indices, rising. convert: (frame, index) → its requested pictures.
    losses: of the file.
    A missing frame is replaced by the nearest decoded one.
    """

    def __init__(
        self,
        wanted: list[int],
        convert: Callable[[Any, int], list[np.ndarray]],
        losses: Losses,
    ) -> None:
        self._wanted, self._convert, self._losses = wanted, convert, losses
        self._done, self._seen = 0, set[int]()
        self._waiting: list[_Waiting] = []
        self._nearest: Any = None

    def begin(self, window: Window) -> None:
        """Begin a stretch of the window's packets."""
        self._window, self._hits = window, dict[int, str]()
        self._displaced = self._first_displaced()

    def damage(self, position: int, cause: str) -> None:
        """Mark the picture at this position as hit."""
        self._hits.setdefault(position, cause)

    def shown(self, position: int, frame: Any, index: int | None) -> Iterator[Shown]:
        """Add a decoded frame, with its `index` if wanted; yields the frames that may leave."""
        if index is not None and index not in self._seen:  # damage can repeat a frame
            self._seen.add(index)
            self._waiting.append(_Waiting(index, position, self._convert(frame, index)))
            self._waiting.sort(key=lambda waiting: waiting.index)
        while self._waiting and self._window.latest[self._waiting[0].position] <= frame.pts:
            yield from self._go(self._waiting.pop(0), frame)
        self._nearest = frame

    def end(self) -> Iterator[Shown]:
        """End the stretch: all waiting frames leave."""
        for waiting in self._waiting:
            yield from self._go(waiting, None)
        self._waiting = []

    def counted(self, index: int, frame: Any, problem: str | None) -> Generator[Shown, None, bool]:
        """Add a frame of a sequential decode. Returns whether it was the last one."""
        if self._done < len(self._wanted) and index == self._wanted[self._done]:
            yield index, self._convert(frame, index), problem
            self._done += 1
        self._nearest = frame
        return self._done == len(self._wanted)

    def rest(self) -> Iterator[Shown]:
        """End of decoding: the remaining wanted frames are missing."""
        for index in self._wanted[self._done :]:
            yield self._missing(index, None)
        self._done = len(self._wanted)

    def _go(self, waiting: _Waiting, later: Any) -> Iterator[Shown]:
        if self._done == len(self._wanted) or waiting.index < self._wanted[self._done]:
            return  # it came after it was given up
        while self._wanted[self._done] < waiting.index:
            yield self._missing(self._wanted[self._done], later)
            self._done += 1
        self._done += 1
        yield waiting.index, waiting.pictures, self._problem(waiting.index, waiting.position)

    def _missing(self, index: int, later: Any) -> Shown:
        nearest = later if self._nearest is None else self._nearest
        pictures = [] if nearest is None else self._convert(nearest, index)
        return index, pictures, "missing (the decoder does not give it)"

    def _problem(self, index: int, position: int) -> str | None:
        start = self._window.start_of(position) or 0
        cause = next((why for hit, why in self._hits.items() if start <= hit <= position), None)
        if cause:
            return f"concealed ({cause})"
        return DISPLACED if self._displaced is not None and index >= self._displaced else None

    def _first_displaced(self) -> int | None:
        """Index of the first frame before which others may be lost.

        A picture stored before a lost one may be shown after it.
        """
        table, loss = self._window.table, self._losses.moving
        if loss is None or table.places is None:
            return None
        places = np.maximum.accumulate(table.places)  # several packets may share one
        before = int(table.shown[: np.searchsorted(places, loss.start)].sum())
        return before - self._losses.depth


HELD = 16
"""Frames that wait for damage of earlier packets: as many as a codec may reorder."""


def count_through(
    packets: Iterable[Any], codec: PacketDecoder, beat: Callable[[bool], None]
) -> Iterator[tuple[int, Any, str | None]]:
    """Every frame from the start: (index, frame, its damage).

    A hit affects its own frame and all frames stored after it and shown before the next key frame.
    beat: called after each packet, with whether a frame came.
    """
    codec.restart()
    kinds = PacketHeads(codec.context)
    keys, hits, came = {0}, dict[int, str](), set[int]()
    held: deque[tuple[int, Any, range]] = deque()
    index = start = 0
    loss, place = codec.losses.moving, 0
    moved: int | None = None

    def problem(index: int, stored: range) -> str | None:
        cause = next((why for hit, why in hits.items() if hit in stored), None)
        if cause:
            return f"concealed ({cause})"
        after = moved is not None and (stored.stop > moved or index >= moved - codec.losses.depth)
        gone = any(hit < stored.stop and hit not in came for hit in hits)
        return DISPLACED if after or gone else None

    for number, packet in enumerate(chain(packets, (None,))):
        if packet is not None:
            packet.opaque = number  # returned with the frame
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
            yield first, frame, problem(first, stored)
        beat(bool(frames))
    for first, frame, stored in held:
        yield first, frame, problem(first, stored)
