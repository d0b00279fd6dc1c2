"""Frames that are in memory already, read as if they were a video file."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np

from video_gc.decode.pyav import FilterGraph
from video_gc.decode.reader import Box


class FrameReader:
    """An array uint8 (T, H, W, 3); see VideoReader.

    Raises ValueError for another shape or dtype, or for no frames.
    """

    def __init__(self, frames: np.ndarray, fps: float = 25.0) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
            raise ValueError(
                f"frames must be uint8 (T, H, W, 3), not {frames.dtype} {frames.shape}"
            )
        self.path, self.fps = Path("<frames>"), fps
        self.size = frames.shape[1], frames.shape[2]
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def frames(
        self, indices: Sequence[int], *, box: Box | None = None, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """See VideoReader.frames."""
        graph: FilterGraph | None = None
        for index in sorted(set(indices)):
            if not 0 <= index < len(self):
                raise IndexError(f"frame {index} of {len(self)}")
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(self._frames[index]), format="rgb24"
            )
            graph = graph or FilterGraph(frame, Fraction(1, 25), 0, box, size)
            yield index, graph.convert(frame)

    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None
