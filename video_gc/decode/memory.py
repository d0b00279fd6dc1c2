"""Frames that are in memory already, read as if they were a video file."""

from collections.abc import Iterator, Sequence

import numpy as np

from video_gc.decode.pictures import PictureReader


class FrameReader(PictureReader):
    """An array uint8 (T, H, W, 3) at `rate` Hz; see VideoReader.

    Raises ValueError for another shape or dtype, or for no frames.
    """

    decoder, path, codec = "memory", "<frames>", "rawvideo"

    def __init__(self, frames: np.ndarray, rate: float = 25.0) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
            raise ValueError(
                f"frames must be uint8 (T, H, W, 3), not {frames.dtype} {frames.shape}"
            )
        self.rate, self.size, self.damaged = rate, (frames.shape[1], frames.shape[2]), {}
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def _pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        for index in indices:
            yield index, self._frames[index]
