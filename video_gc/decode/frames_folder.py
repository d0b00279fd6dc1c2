"""Read a folder of extracted frames, such as img_00001.jpg … img_00250.jpg, as a video.

The number in a file's name is its place; it may begin anywhere. The frame rate is 25 Hz, or the
number in a file `rate.txt` in the folder.
"""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from video_gc.decode.ffmpeg.container import error_text, opened
from video_gc.decode.ffmpeg.presentation import presentation_of
from video_gc.decode.ffmpeg.source import Held
from video_gc.decode.reader import (
    CorruptError,
    DecodeError,
    OpenError,
    OpenOptions,
    Source,
    TooLargeError,
    VideoReader,
)
from video_gc.decode.whole_frames import PictureReader

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
JPEG_END = b"\xff\xd9"
RATE = 25.0
RATE_FILE = "rate.txt"
NUMBERED = re.compile(r"(.*?)(\d+)")


def open_reader(source: Source, options: OpenOptions) -> VideoReader:
    """See open_video; `threads` and `time_limit` are ignored here."""
    if options.device != "cpu":
        raise ValueError(f"device ({options.device!r}) must be cpu for a folder of frames")
    if not isinstance(source, str | os.PathLike) or not Path(source).is_dir():
        raise ValueError("decoder (frames) reads a folder of images; choose auto for a file")
    return FolderReader(source, options)


class FolderReader(PictureReader):
    """The images of a folder in the order of their numbers; see VideoReader.

    Raises OpenError for a folder without images, with a gap in the numbers, with a repeated number
    or with several series of names; reading raises CorruptError for an image that cannot be decoded
    or differs in size from the first.
    """

    decoder = "frames"

    def __init__(self, folder: str | os.PathLike[str], options: OpenOptions) -> None:
        self.path, self.damage, self.damaged = os.fspath(folder), options.damage, {}
        self.max_pixels = options.max_pixels
        self._files = _series(Path(folder))
        self.rate = _rate(Path(folder))
        try:
            first, self.codec = self._decode(self._files[0])
        except (DecodeError, av.FFmpegError, ValueError, OSError) as error:
            kind = TooLargeError if isinstance(error, TooLargeError) else OpenError
            reason = f"{self._files[0].name} cannot be decoded ({_why(error)})"
            raise kind(self.path, reason, decoder="frames") from error
        _, self.size, self.colour = presentation_of(first)

    def __len__(self) -> int:
        return len(self._files)

    def _pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Any]]:
        for index in indices:
            file = self._files[index]
            try:
                frame, _ = self._decode(file)
            except (DecodeError, av.FFmpegError, ValueError, OSError) as error:
                reason = f"{file.name} cannot be decoded ({_why(error)})"
                raise CorruptError(self.path, reason, decoder="frames", frame=index) from error
            if _shown(frame) != self.size:
                sizes = [f"{width}×{height}" for height, width in (_shown(frame), self.size)]
                reason = f"{file.name} is {sizes[0]}, but the first frame is {sizes[1]}"
                raise CorruptError(self.path, reason, decoder="frames", frame=index)
            yield index, frame

    def _decode(self, file: Path) -> tuple[Any, str]:
        """The picture and its codec's name."""
        with opened(file, max_pixels=self.max_pixels) as (container, stream):
            stream.codec_context.thread_count = 1
            try:
                frame = next(container.decode(stream), None)
            except (av.ArgumentError, av.InvalidDataError) as error:
                most = f"{self.max_pixels:,} (max_pixels)"
                raise ValueError(f"it is no picture, or has more pixels than {most}") from error
            if frame is None:
                raise ValueError("no picture in it")
            codec: str = stream.codec_context.name
        if frame.is_corrupt or (codec == "mjpeg" and JPEG_END not in file.read_bytes()[-64:]):
            raise ValueError("it is cut short")
        return frame, codec


def _series(folder: Path) -> list[Path]:
    """The images by number. Raises OpenError; see FolderReader."""
    files: dict[int, Path] = {}
    prefixes = set()
    for file in folder.iterdir():
        if file.suffix.lower() not in IMAGES or file.name.startswith("."):
            continue
        match = NUMBERED.fullmatch(file.stem)
        if match is None:
            raise OpenError(folder, f"{file.name} has no number at the end of its name")
        number = int(match[2])
        if match[1] in prefixes and number in files:
            raise OpenError(folder, f"{file.name} and {files[number].name} have the same number")
        prefixes.add(match[1])
        files[number] = file
        if len(prefixes) > 1:
            names = " and ".join(f"{prefix}…" for prefix in sorted(prefixes))
            raise OpenError(folder, f"holds several series ({names}); give each its own folder")
    if not files:
        raise OpenError(folder, f"holds no frames ({', '.join(IMAGES)})")
    numbers = sorted(files)
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    if missing:
        before = next(a for a, b in pairwise(numbers) if b > a + 1)
        more = f" and {missing - 1} more" if missing > 1 else ""
        name = files[before].name
        raise OpenError(folder, f"frame {before + 1} is missing after {name}{more}")
    return [files[number] for number in numbers]


def _rate(folder: Path) -> float:
    try:
        with Held(folder / RATE_FILE) as file:
            rate = float(os.read(file.number, 64))
    except FileNotFoundError:
        return RATE
    except (OpenError, ValueError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise OpenError(folder, f"{RATE_FILE} must hold a number of frames per second")
    return rate


def _shown(frame: Any) -> tuple[int, int]:
    """(height, width) as shown: with the camera's orientation, in square pixels."""
    return presentation_of(frame).size


def _why(error: BaseException) -> str:
    return error.reason if isinstance(error, DecodeError) else error_text(error)
