"""The part of a prediction that runs in another process, which a hostile file may kill."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError, decode_error
from video_gc.deploy.contract import Contract
from video_gc.predict.views import window_frames, window_times, window_views


@dataclass(frozen=True)
class Reading:
    """The limits of one video."""

    max_pixels: int
    """of a picture"""
    max_seconds: float
    """of the video"""
    time_limit: float
    """seconds for a frame"""


def read_windows(
    file: str,
    contract: Contract,
    limits: Reading,
    overlap: float = 0.0,
    only: int | None = None,
) -> Iterator[list[tuple[float, float]] | np.ndarray | int]:
    """Yield (start, end) of all windows, then each view, then the number of damaged frames.

    overlap: share of a window that the next one sees too.
    only: the number of the one window to yield.
    Raises DecodeError, also for a video that lasts longer than `max_seconds`.
    """
    most = limits.max_seconds
    try:
        with open_video(
            file,
            damage="report",
            max_pixels=limits.max_pixels,
            time_limit=limits.time_limit,
        ) as reader:
            length = float(reader.times[-1]) + 1 / reader.rate
            if length > most:
                raise DecodeError(
                    file,
                    f"the video lasts {length:,.0f} s, and at most {most:g} s are accepted "
                    "(--max-seconds); send a part of it",
                )
            windows = window_frames(contract, reader, overlap)
            yield window_times(reader, windows)
            wanted = windows if only is None else windows[only : only + 1]
            yield from window_views(contract, reader, wanted)
            yield len(reader.damaged)
    except Exception as error:  # a file can make decoders raise anything
        raise decode_error(file, error) from error


def ready() -> None:
    """Do nothing: a process that has answered has imported this file, which takes seconds."""
