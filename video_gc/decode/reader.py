"""What every decoder offers, and its one error. `open_video` picks the decoder."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

DECODERS = {"pyav": "video_gc.decode.pyav"}
"""Name → module with a class `Reader`; imported when it is asked for."""


class DecodeError(Exception):
    """A file cannot be read as a video: its path and the cause."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path, self.reason = os.fspath(path), reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # survives a worker's pipe
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class Box:
    """A rectangle of the picture as it is shown, in whole pixels from the upper left corner."""

    left: int
    top: int
    width: int
    height: int


class VideoReader(Protocol):
    """A video file as a sequence of frames: those, and in that order, that a player shows."""

    path: Path
    fps: float
    """mean frame rate, Hz"""
    size: tuple[int, int]
    """(height, width) in pixels, after rotation"""

    def __len__(self) -> int: ...

    def frames(
        self, indices: Sequence[int], *, box: Box | None = None, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, uint8 (H, W, 3)) for each of the distinct `indices`, in rising order.

        box: the part of the picture to keep; the whole by default.
        size: (height, width) to scale it to; as it is by default.

        Raises IndexError for an index outside 0…len-1, DecodeError where the file is damaged.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def read_frames(
    reader: VideoReader,
    indices: Sequence[int],
    *,
    box: Box | None = None,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """The frames at `indices`, in their order and with repetitions: uint8 (T, H, W, 3)."""
    found = dict(reader.frames(indices, box=box, size=size))
    return np.stack([found[index] for index in indices])


def open_video(path: str | os.PathLike[str], decoder: str = "pyav") -> VideoReader:
    """Open a video file; use it in a `with` block.

    Raises FileNotFoundError, DecodeError where there is no readable video in the file, ValueError
    for an unknown decoder.
    """
    if decoder not in DECODERS:
        raise ValueError(f"decoder ({decoder!r}) must be one of {', '.join(DECODERS)}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{os.fspath(path)}: no such file")
    reader: VideoReader = import_module(DECODERS[decoder]).Reader(path)
    return reader
