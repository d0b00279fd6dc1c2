"""A decoder that hangs with the interpreter's lock held, or dies, when its source says so."""

import ctypes
import os
from collections.abc import Iterator, Sequence

import numpy as np

from video_gc.decode.reader import CorruptError, OpenError, OpenOptions
from video_gc.decode.whole_frames import FrameReader, PictureReader


class Misbehaving(FrameReader):
    def __init__(self, source: bytes) -> None:
        frames = np.arange(100, dtype=np.uint8)[:, None, None, None]
        super().__init__(np.tile(frames, (1, 8, 8, 3)))
        self._source = source

    def _pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        if 50 in indices:
            if self._source.startswith(b"hang"):
                ctypes.PyDLL(None).sleep(600)  # unlike CDLL, keeps the lock
            if self._source.startswith(b"die"):
                os._exit(7)
            if self._source.startswith(b"corrupt"):
                raise CorruptError("file", "cannot decode frame 50", frame=50)
        if self._source.startswith(b"whose"):
            yield from ((i, np.full((8, 8, 3), os.getpid() % 251, np.uint8)) for i in indices)
            return
        print("a library that prints to standard output", flush=True)
        yield from super()._pictures(indices)


def open_here(source: str | bytes, _options: OpenOptions) -> PictureReader:
    if source == b"":
        raise OpenError("file", "the file is empty")
    assert isinstance(source, bytes)
    return Misbehaving(source)
