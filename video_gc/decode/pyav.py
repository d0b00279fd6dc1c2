"""Sequential decoding with PyAV: simple, and exact by construction.

Every read starts at the first frame, counts the frames as they come and stops after the last one
that is wanted. Rotation, crop, scale and conversion to RGB run in FFmpeg's filter graph.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import numpy as np

from video_gc.decode.reader import Box, DecodeError

ROTATE = {  # degrees counter-clockwise, as the display matrix says → filters
    90: [("transpose", "cclock")],
    180: [("hflip", ""), ("vflip", "")],
    270: [("transpose", "clock")],
}


class Reader:
    """A video file; see VideoReader."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._container: Any = None
        if not self.path.stat().st_size:
            raise DecodeError(path, "the file is empty (0 bytes)")
        with _decode_errors(path, lambda: "cannot be read as a video"):
            with av.open(os.fspath(path)) as container:
                stream = _video_stream(path, container)
                self.fps = float(stream.average_rate or stream.guessed_rate or 25)
                count, first = _count_packets(container, stream)
            self._count = self._count_frames() if count is None else count
        if first is None:
            raise DecodeError(path, "no frame can be decoded")
        self._rotation = round(first.rotation / 90) * 90 % 360
        turned = self._rotation in (90, 270)
        self.size = (first.width, first.height) if turned else (first.height, first.width)

    def __len__(self) -> int:
        return self._count

    def frames(
        self, indices: Sequence[int], *, box: Box | None = None, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """See VideoReader.frames."""
        wanted = sorted(set(indices))
        if not wanted:
            return
        if not 0 <= wanted[0] <= wanted[-1] < len(self):
            raise IndexError(f"{self.path}: frames {wanted[0]}…{wanted[-1]} of {len(self)}")
        graphs: dict[tuple[int, int, str], FilterGraph] = {}
        index, found = -1, 0
        self.close()
        with _decode_errors(self.path, lambda: f"cannot decode frame {index + 1} of {len(self)}"):
            self._container = av.open(os.fspath(self.path))
            stream = _video_stream(self.path, self._container)
            for index, frame in enumerate(self._container.decode(stream)):
                if index != wanted[found]:
                    continue
                key = (frame.width, frame.height, frame.format.name)  # may change on the way
                if key not in graphs:
                    graphs[key] = FilterGraph(frame, stream.time_base, self._rotation, box, size)
                yield index, graphs[key].convert(frame)
                found += 1
                if found == len(wanted):
                    break
        self.close()
        if found < len(wanted):
            raise DecodeError(self.path, f"ends after {index + 1} frames, not {len(self)}")

    def _count_frames(self) -> int:
        """How many frames a sequential decode shows."""
        with av.open(os.fspath(self.path)) as container:
            return sum(1 for _ in container.decode(_video_stream(self.path, container)))

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FilterGraph:
    """Rotation, crop, scale and RGB for frames of the size and format of `frame`."""

    def __init__(
        self,
        frame: Any,
        time_base: Fraction,
        rotation: int,
        box: Box | None,
        size: tuple[int, int] | None,
    ) -> None:
        filters = list(ROTATE.get(rotation, []))
        if box:
            filters.append(("crop", f"{box.width}:{box.height}:{box.left}:{box.top}:exact=1"))
        if size:
            filters.append(("scale", f"{size[1]}:{size[0]}:flags=bilinear"))
        filters.append(("format", "rgb24"))
        self.graph = av.filter.Graph()
        self.graph.threads = 1
        nodes = [
            self.graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=time_base,
            ),
            *(self.graph.add(name, arguments) for name, arguments in filters),
            self.graph.add("buffersink"),
        ]
        self.graph.link_nodes(*nodes).configure()

    def convert(self, frame: Any) -> np.ndarray:
        """The frame as uint8 (H, W, 3)."""
        self.graph.push(frame)
        return self.graph.pull().to_ndarray()


def _video_stream(path: str | os.PathLike[str], container: Any) -> Any:
    stream = container.streams.best("video")
    if stream is None:
        raise DecodeError(path, "there is no video in the file, only other streams")
    # more threads hang when a decode loop is left early in a loader's worker (PyAV #1861)
    stream.codec_context.thread_count = 1
    return stream


def _count_packets(container: Any, stream: Any) -> tuple[int | None, Any]:
    """The number of packets that are shown, and the first frame (None without any).

    Where every packet has a time stamp and the first one is a key frame that is shown first, one
    packet is one frame, and counting them is quick. Elsewhere a packet may hold no frame or two
    (AVI, MPEG-PS), or lack the frames that it refers to (a recording that starts in the middle):
    then the number is None.
    """
    count, timed, first = 0, True, None
    start: int | None = None
    for packet in container.demux(stream):
        if first is None:
            first = next(iter(stream.codec_context.decode(packet)), None)
        if packet.size:  # the last packet is empty
            if start is None:
                start, timed = packet.pts, packet.is_keyframe
            timed = timed and packet.pts is not None and packet.pts >= start
            count += not packet.is_discard
    return count if timed else None, first


@contextmanager
def _decode_errors(path: str | os.PathLike[str], what: Callable[[], str]) -> Iterator[None]:
    """Turn FFmpeg's errors into a DecodeError that says what could not be done."""
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise DecodeError(path, f"{what()} ({cause})") from error
