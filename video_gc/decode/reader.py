"""The interface of every decoder, and the errors; `open_video` (decode/open.py) picks one."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Self

import numpy as np

MAX_PIXELS = 8192 * 4320
"""Most pixels of a decoded or scaled picture: the largest size in common use."""
CLIP_PICTURES = 16
"""A clip in memory may have as many pixels as this many of the largest pictures."""

Source = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the content of a file, or an open file."""

FORMS = ("rgb", "yuv")
"""Forms of a frame: rgb (H, W, 3), or yuv: 4:2:0 planes one below the other, (3 H / 2, W)."""
DEVICES, DAMAGE = ("cpu", "cuda"), ("raise", "report")


@dataclass(frozen=True, kw_only=True)
class OpenOptions:
    """How to open a video; see `open_video`. Raises ValueError for an unknown choice."""

    device: str = "cpu"
    threads: int = 1
    damage: str = "raise"
    time_limit: float = 60.0
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        for name, known in (("device", DEVICES), ("damage", DAMAGE)):
            if (found := getattr(self, name)) not in known:
                raise ValueError(f"{name} ({found!r}) must be one of {', '.join(known)}")
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels ({self.max_pixels}) must be at least 1")


class DecodeError(Exception):
    """A file cannot be read as a video: its path, the cause, the decoder and the frame."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        reason: str,
        *,
        decoder: str | None = None,
        frame: int | None = None,
    ) -> None:
        self.path, self.reason, self.decoder, self.frame = os.fspath(path), reason, decoder, frame
        super().__init__(f"{self.path}: {reason}" + (f" [{decoder}]" if decoder else ""))

    def __reduce__(self) -> tuple[Any, ...]:  # survives a worker's pipe
        kind = partial(type(self), decoder=self.decoder, frame=self.frame)
        return kind, (self.path, self.reason)


class OpenError(DecodeError):
    """No decoder can read the file."""


class NoVideoError(DecodeError):
    """A sound file without a video in it."""


class CorruptError(DecodeError):
    """A requested frame is damaged or missing."""


class StuckError(DecodeError):
    """A decoder gave nothing within its time limit."""


class TooLargeError(DecodeError):
    """A picture or a clip would have more pixels than `max_pixels` allows."""


def decode_error(path: str | os.PathLike[str], error: Exception) -> DecodeError:
    """Any exception while reading a file, as an error with the file's name.

    Code that reads many videos catches every Exception for each, and reports it in this form.
    """
    if isinstance(error, DecodeError):
        return error
    if isinstance(error, OSError):
        reason = error.strerror or str(error).removeprefix(f"{os.fspath(path)}: ")
    else:
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
    found = DecodeError(path, reason or type(error).__name__)
    found.__cause__ = error
    return found


@dataclass(frozen=True)
class Box:
    """A rectangle of the shown picture, in whole pixels from the upper left corner."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Request:
    """Requested frames of a video, and their crop and size."""

    indices: Sequence[int]
    """frames from 0, in any order, repeated or not"""
    crop: Box | None = None
    """the part of the picture to keep; the whole by default"""
    size: tuple[int, int] | None = None
    """(height, width) to scale to; unscaled by default"""


@dataclass(frozen=True)
class Colour:
    """How a video's planes become RGB."""

    matrix: str = "bt601"
    """bt601, bt709, bt2020 or smpte240m"""
    full_range: bool = False
    """0…255 instead of 16…235"""


class VideoReader(ABC):
    """A video as a sequence of frames, the ones that a player shows, in their order."""

    decoder: str
    """its name, such as pyav"""
    path: str
    """its path; <bytes> or <file> without one"""
    rate: float
    """mean frame rate, Hz"""
    size: tuple[int, int]
    """(height, width) as shown: upright, in square pixels"""
    codec: str
    """such as h264"""
    colour: Colour
    """how yuv frames become RGB"""
    fell_back: bool = False
    """CUDA was requested, but the CPU decodes"""
    max_pixels: int = MAX_PIXELS
    """of one picture, before and after scaling; a clip may have CLIP_PICTURES times as many"""
    damaged: dict[int, str]
    """frames read so far that are not as recorded → "concealed", "missing" or "displaced" (right,
    but others before it are lost); filled only if the video was opened with damage="report" """

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def times(self) -> np.ndarray:
        """Start of each frame: float64 (frames,), seconds from the first frame."""

    @abstractmethod
    def stream(
        self, requests: Sequence[Request], form: str = "rgb"
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield (number of the request, frame index, uint8 frame), all requests in one decode.

        Frame indices rise; a frame in several requests comes once for each, a frame repeated in one
        request comes once. The frame is (H, W, 3), or for form "yuv" (3 H / 2, W) with even H and
        W.

        Raises IndexError for an index outside 0…len-1, DecodeError if the file is damaged,
        TooLargeError for pictures of more than `max_pixels`.
        """

    def read(
        self,
        indices: Sequence[int],
        *,
        crop: Box | None = None,
        size: tuple[int, int] | None = None,
        form: str = "rgb",
    ) -> np.ndarray:
        """The frames at `indices`, in their order and with repetitions: uint8 (T, H, W, 3).

        crop: the part of the picture to keep, size: (height, width) to scale it to.
        Raises IndexError, DecodeError; see `stream`.
        """
        return self.read_clips([Request(indices, crop, size)], form)[0]

    def read_clips(self, requests: Sequence[Request], form: str = "rgb") -> list[np.ndarray]:
        """Each request as uint8 (T, H, W, 3), all from one decode. Raises: see `stream`."""
        clips: list[np.ndarray | None] = [None] * len(requests)
        places = [_places(request.indices) for request in requests]
        for request in requests:
            self.check_clip(len(request.indices), output_size(request, self.size))
        for number, index, frame in self.stream(requests, form):
            clip = clips[number]
            if clip is None:
                shape = (len(requests[number].indices), *frame.shape)
                clip = clips[number] = np.empty(shape, np.uint8)
            clip[places[number][index]] = frame
        return [np.empty((0, 0, 0, 3), np.uint8) if clip is None else clip for clip in clips]

    def frames(
        self,
        indices: Sequence[int],
        *,
        crop: Box | None = None,
        size: tuple[int, int] | None = None,
        form: str = "rgb",
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, frame) for each of the distinct `indices`, in rising order, one by one.

        Holds a few frames at a time, so a long video can be read from end to end.
        """
        for _, index, frame in self.stream([Request(indices, crop, size)], form):
            yield index, frame

    def check_clip(self, frames: int, size: tuple[int, int]) -> None:
        """Raise TooLargeError if this many frames of (height, width) are too large to hold."""
        height, width = size
        pixels, most = frames * height * width, CLIP_PICTURES * self.max_pixels
        if pixels > most:
            raise TooLargeError(
                self.path,
                f"a clip of {frames} frames of {width}×{height} has {pixels:,} pixels, and at most "
                f"{most:,} are allowed ({CLIP_PICTURES} × max_pixels); read fewer frames at a time "
                "or smaller ones",
                decoder=self.decoder,
            )

    def close(self) -> None:  # noqa: B027 - some readers hold nothing
        """Release the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_requests(reader: VideoReader, requests: Sequence[Request]) -> list[int]:
    """The distinct wanted frames, rising.

    Raises IndexError for a frame that does not exist, ValueError for a crop outside the picture or
    an empty size, TooLargeError for a size of more than `reader.max_pixels`.
    """
    path, length, (height, width) = reader.path, len(reader), reader.size
    for request in requests:
        box = request.crop
        if box and not (
            0 <= box.left < box.left + box.width <= width
            and 0 <= box.top < box.top + box.height <= height
        ):
            raise ValueError(f"{path}: {box} lies outside the picture ({width}×{height})")
        if request.size and min(request.size) < 1:
            raise ValueError(f"{path}: size {request.size} must be at least 1×1")
        check_picture(path, output_size(request, reader.size), reader.max_pixels)
    wanted = sorted({int(index) for request in requests for index in request.indices})
    if wanted and not 0 <= wanted[0] <= wanted[-1] < length:
        outside = wanted[0] if wanted[0] < 0 else wanted[-1]
        raise IndexError(f"{path}: there is no frame {outside}; frames are 0…{length - 1}")
    return wanted


def output_size(request: Request, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the frames that a request asks of a video of `size`."""
    if request.size is not None:
        return request.size
    return (request.crop.height, request.crop.width) if request.crop else size


def check_picture(path: str, size: tuple[int, int], max_pixels: int) -> None:
    """Raise TooLargeError for (height, width) of more than `max_pixels`."""
    height, width = size
    if height * width > max_pixels:
        raise TooLargeError(
            path,
            f"a picture of {width}×{height} has {height * width:,} pixels, and at most "
            f"{max_pixels:,} are allowed (max_pixels; data.max_pixels in training)",
        )


def source_name(source: Any) -> str:
    """The source's name in messages."""
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "<file>"))


def _places(indices: Sequence[int]) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(int(index), []).append(place)
    return places
