"""decord 0.6, for comparison. It runs in its own process, because it can hang holding the GIL.

decord counts packets as frames and seeks by the container's key frames. known_faults.py lists the
files that it reads wrongly.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from video_gc.decode.ffmpeg.container import checked_source, packet_times
from video_gc.decode.isolated import IsolatedReader
from video_gc.decode.known_faults import kind_of
from video_gc.decode.reader import (
    CorruptError,
    OpenError,
    OpenOptions,
    Source,
    VideoReader,
    source_name,
)
from video_gc.decode.whole_frames import PictureReader
from video_gc.extras import need


def open_reader(source: Source, options: OpenOptions) -> VideoReader:
    """See open_video. Raises ImportError if decord is not installed."""
    if options.device != "cpu":
        what = f"device ({options.device!r})"
        raise ValueError(f"{what} must be cpu with decord; its packages have no CUDA")
    need("decord", "decord", by="decoder (decord)")
    return IsolatedReader(__name__, "decord", source, options)


def open_here(source: str | bytes, options: OpenOptions) -> PictureReader:
    """The reader itself, in the calling process."""
    return DecordReader(source, options)


class DecordReader(PictureReader):
    """A file through decord.VideoReader; see VideoReader."""

    decoder = "decord"

    def __init__(self, source: str | bytes, options: OpenOptions) -> None:
        import decord

        self.path, self.damage, self.damaged = source_name(source), options.damage, {}
        self._source, self.max_pixels = source, options.max_pixels
        self._errors = (decord.DECORDError, RuntimeError, AssertionError)
        with checked_source(source, "decord", max_pixels=options.max_pixels) as file:
            file = io.BytesIO(file) if isinstance(file, bytes) else file
            try:
                threads = options.threads
                self._decord: Any = decord.VideoReader(file, decord.cpu(0), num_threads=threads)
                self.rate = float(self._decord.get_avg_fps())
                first = self._decord[0].shape
            except self._errors as error:
                reason = f"cannot be read as a video ({_cause(error)})"
                raise OpenError(self.path, reason, decoder="decord") from error
        kind = kind_of(source, options.max_pixels)
        self.size, self.codec = (first[0], first[1]), kind.codec if kind else "unknown"

    def __len__(self) -> int:
        return len(self._decord)

    @property
    def times(self) -> np.ndarray:
        """See VideoReader.times."""
        return packet_times(self._source, len(self), self.rate, self.max_pixels)

    def _pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        try:
            yield from zip(indices, self._decord.get_batch(indices).asnumpy(), strict=True)
        except (*self._errors, IndexError) as error:
            raise CorruptError(
                self.path,
                f"cannot decode frames {indices[0]}…{indices[-1]} of {len(self)} ({_cause(error)})",
                decoder="decord",
                frame=indices[0],
            ) from error

    def close(self) -> None:
        """See VideoReader.close."""
        self._decord = None


def _cause(error: BaseException) -> str:
    """The last informative line of decord's message, without its stack."""
    lines = str(error).split("Stack trace")[0].strip().splitlines()
    return lines[0].split("] ")[-1] if lines else type(error).__name__
