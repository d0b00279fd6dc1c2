"""A base for decoders that hand out whole pictures.

Crop, scale and colour run in the filter graph that the pyav decoder uses too, so that every decoder
shares one path, in training and in testing.
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
"""Pictures that are decoded at a time: few enough to hold, many enough to keep a decoder busy."""
TIME_BASE = Fraction(1, 25)  # nothing in the graph looks at times


class PictureReader(VideoReader):
    """A reader that has to write `_pictures` only; see VideoReader."""

    colour = Colour()
    damage: str = "raise"
    portion: int = PORTION

    @property
    def times(self) -> np.ndarray:
        """See VideoReader.times: even ones, where nothing else is known."""
        return np.arange(len(self)) / self.rate

    @abstractmethod
    def _pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Yield (index, av.VideoFrame, or uint8 (H, W, 3) as shown) of rising, distinct indices.

        Raises CorruptError where one of them cannot be decoded.
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
        """The pictures; with damage="report" the nearest one where there is none."""
        if self.damage == "raise":
            yield from self._pictures(portion)
            return
        try:
            yield from list(self._pictures(portion))
            return
        except CorruptError as error:
            cause = error
        found: dict[int, Any] = {}
        for index in portion:  # one by one: which of them is it?
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
