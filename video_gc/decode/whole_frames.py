"""A base for decoders that give whole pictures, and a reader of frames in memory.

They are cropped, scaled and converted in the same filter graph as the pyav decoder's frames, so
training and tests see the same pixels with every decoder.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

from video_gc.decode.ffmpeg.graph import FilterGraph, look_of
from video_gc.decode.ffmpeg.presentation import Presentation, orientation_of
from video_gc.decode.reader import (
    FORMS,
    Colour,
    CorruptError,
    Request,
    VideoReader,
    check_requests,
)

PORTION = 8
"""Pictures decoded at a time: few enough to hold, many enough to keep a decoder busy."""
TIME_BASE = Fraction(1, 25)  # the graph ignores times


class PictureReader(VideoReader):
    """A reader that only needs to implement `_pictures`; see VideoReader."""

    colour = Colour()
    damage: str = "raise"
    portion: int = PORTION

    @property
    def times(self) -> np.ndarray:
        """See VideoReader.times: evenly spaced if nothing else is known."""
        return np.arange(len(self)) / self.rate

    @abstractmethod
    def _pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Yield (index, av.VideoFrame, or uint8 (H, W, 3) as shown) for rising, distinct indices.

        Raises CorruptError if one of them cannot be decoded.
        """

    def stream(
        self, requests: Sequence[Request], form: str = "rgb"
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """See VideoReader.stream."""
        if form not in FORMS:
            raise ValueError(f"form ({form!r}) must be one of {', '.join(FORMS)}")
        wanted = check_requests(self, requests)
        sets = [{int(index) for index in request.indices} for request in requests]
        graphs: dict[tuple[Any, ...], FilterGraph] = {}
        for portion in batched_rising(wanted, self.portion):
            for index, picture in self._sound_pictures(portion):
                frame = _frame(picture)
                orientation = orientation_of(frame)
                shown = Presentation(orientation, self.size, self.colour)
                for number, request in enumerate(requests):
                    if index not in sets[number]:
                        continue
                    key = (number, orientation, *look_of(frame))
                    if key not in graphs:
                        graphs[key] = FilterGraph(
                            frame, TIME_BASE, shown, request.crop, request.size, form
                        )
                    yield number, index, graphs[key].convert(frame)

    def _sound_pictures(self, portion: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """The pictures; with damage="report" the nearest one in place of a missing one."""
        if self.damage == "raise":
            yield from self._pictures(portion)
            return
        try:
            yield from list(self._pictures(portion))
            return
        except CorruptError as error:
            cause = error
        found: dict[int, Any] = {}
        for index in portion:  # one by one, to find the damaged one
            try:
                found.update(self._pictures([index]))
            except CorruptError as error:
                self.damaged[index] = "missing"
                cause = error
        if not found:
            raise cause
        for index in portion:
            yield index, found[min(found, key=lambda other: abs(other - index))]


def batched_rising(indices: Sequence[int], size: int) -> Iterator[list[int]]:
    """The indices in portions of `size`."""
    for start in range(0, len(indices), size):
        yield list(indices[start : start + size])


def _frame(picture: Any) -> Any:
    if isinstance(picture, np.ndarray):
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return picture


def as_frames(frames: Any) -> np.ndarray:
    """Frames of a camera or decoder as uint8 (T, H, W, 3).

    frames: an array or a torch tensor (T, H, W, 3), on any device, or a list or tuple of frames
        (H, W, 3), each an array, a tensor or a PIL image. A tensor (T, 3, H, W), as in torchcodec
        and torchvision, is permuted.

    Raises ValueError for another shape or dtype, frames of several sizes, or no frames.
    """
    if isinstance(frames, list | tuple):
        parts = [_array(frame) for frame in frames]
        for number, part in enumerate(parts):
            if part.shape != parts[0].shape or part.dtype != parts[0].dtype:
                raise ValueError(
                    f"frames must be of one size and type, but frame {number} is {_about(part)} "
                    f"and the first is {_about(parts[0])}"
                )
        array = np.stack(parts) if parts else np.empty((0, 0, 0, 3), np.uint8)
    else:
        array = _array(frames)
    if array.ndim == 4 and array.shape[-1] != 3 and array.shape[1] == 3:
        array = array.transpose(0, 2, 3, 1)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or not array.size:
        raise ValueError(f"frames must be uint8 (T, H, W, 3), not {_about(array)}")
    return array


class FrameReader(PictureReader):
    """Frames in memory at `rate` Hz; see VideoReader, and `as_frames` for valid types.

    Raises ValueError for invalid frames, or a rate that is not above 0.
    """

    decoder, path, codec = "memory", "<frames>", "rawvideo"

    def __init__(self, frames: Any, rate: float = 25.0) -> None:
        frames = as_frames(frames)
        if not 0 < rate < float("inf"):
            raise ValueError(f"the rate of the frames ({rate} Hz) must be above 0")
        self.rate, self.size, self.damaged = rate, (frames.shape[1], frames.shape[2]), {}
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def _pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        for index in indices:
            yield index, self._frames[index]


def _array(frames: Any) -> np.ndarray:
    """An array, without importing torch or PIL."""
    if hasattr(frames, "detach"):  # a tensor may be on a GPU
        frames = frames.detach().cpu().numpy()
    return np.asarray(frames)


def _about(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
