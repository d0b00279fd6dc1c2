"""The windows of a video and their views: all that a process needs that only decodes."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from video_gc.data.crops import crop_boxes, scaled_size
from video_gc.data.reading import stream_views
from video_gc.data.sampling import ClipConfig, FrameRange, frame_range, window_clips
from video_gc.decode.reader import DecodeError, VideoReader
from video_gc.deploy.contract import Contract

T = TypeVar("T")


def clip_for(contract: Contract, part: FrameRange) -> ClipConfig:
    """The frames of a window: by time if the rate is uneven or not the training's."""
    by_time = part.times is not None or contract.differs(part.rate)
    return ClipConfig(**contract.clip_options, target_fps=contract.fps if by_time else None)


def window_frames(
    contract: Contract,
    reader: VideoReader,
    overlap: float = 0.0,
    segment: tuple[float, float] | None = None,
) -> np.ndarray:
    """Frame indices (K, T) of the windows of a video, or of its part from start to end, s.

    Raises DecodeError for too many of them, or a part that lies outside the video.
    """
    try:
        part = frame_range(reader.times, reader.rate, segment)
        return window_clips(clip_for(contract, part), part, overlap)
    except ValueError as error:
        raise DecodeError(reader.path, str(error), decoder=reader.decoder) from error


def window_times(reader: VideoReader, windows: np.ndarray) -> list[tuple[float, float]]:
    """(start, end) in seconds of windows of frames (K, T)."""
    borders = np.append(reader.times, reader.times[-1] + 1 / reader.rate).round(6)
    return [(float(borders[one.min()]), float(borders[one.max() + 1])) for one in windows]


def window_views(
    contract: Contract, reader: VideoReader, windows: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the centre crop uint8 (T, H, W, 3) of each window of frames (K, T), in order.

    Frames are decoded once and held as long as needed. Raises DecodeError.
    """
    size = scaled_size(reader.size, contract.short_side)
    boxes = crop_boxes(size, contract.crop, 1)
    return (view for _, view in stream_views(reader, windows, boxes, size))


def ahead(items: Iterator[T]) -> Generator[T]:
    """The same items; one is made in a thread while the one before it is used.

    An error in `items` is raised where its item would have come. Close the iterator before what
    `items` reads from: then nothing is made any more.
    """
    none = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, none)
        while (item := coming.result()) is not none:
            coming = pool.submit(next, items, none)
            yield item  # type: ignore[misc]
