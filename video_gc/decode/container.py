"""Opening a file with FFmpeg, and finding the video in it: one way for every decoder."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from video_gc.decode.demux import stream_packets
from video_gc.decode.reader import DecodeError, NoVideoError, OpenError, Source, source_name

FOREIGN = frozenset({"concat", "hls", "dash"})
"""Formats that name other files: a text file of a stranger must not open them."""


def open_container(source: Source, *, time_limit: float = 60.0) -> Any:
    """FFmpeg's container, to be closed; a file object is read from its start.

    time_limit: seconds that one read of the file may take.
    Raises FileNotFoundError and the like, OpenError where it cannot be read.
    """
    name = source_name(source)
    file: Any = source
    if isinstance(source, bytes):
        file = io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        if not os.path.getsize(source):
            raise OpenError(name, "the file is empty (0 bytes)")
        file = f"file:{os.fspath(source)}"  # a colon in a name is no protocol
    else:
        source.seek(0)
    try:
        container = av.open(file, timeout=time_limit, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, OSError) and isinstance(file, str) and not os.access(name, os.R_OK):
            raise
        cause = error_text(error)
        # FFmpeg says no more of an MP4 without its index
        if isinstance(error, av.InvalidDataError):
            cause += "; perhaps it was cut off, or is no video"
        raise OpenError(name, f"cannot be read as a video ({cause})") from error
    if FOREIGN & set(container.format.name.split(",")):
        container.close()
        raise OpenError(name, f"is a list of other files ({container.format.name}), not a video")
    return container


def video_stream(container: Any, name: str) -> Any:
    """The stream that a player shows; the cover picture of a sound file is none.

    Raises NoVideoError where there is none, OpenError where its codec is not known.
    """
    videos = [
        stream
        for stream in container.streams.video
        if not Disposition(stream.disposition) & Disposition.attached_pic
    ]
    if not videos:
        raise NoVideoError(name, "there is no video in the file, only other streams")
    try:
        best = container.streams.best("video")
    except IndexError:  # seen in damaged MPEG-TS
        best = None
    if best not in videos:
        best = videos[0]
    if best.codec_context is None:
        raise OpenError(name, "its codec is not known")
    return best


@contextmanager
def opened(source: Source) -> Iterator[tuple[Any, Any]]:
    """(container, video stream) for as long as it takes; a file object is left where it was.

    Raises: see `open_container` and `video_stream`.
    """
    place = None if isinstance(source, str | bytes | os.PathLike) else source.tell()
    container = open_container(source)
    try:
        yield container, video_stream(container, source_name(source))
    finally:
        container.close()
        if place is not None:
            source.seek(place)  # type: ignore[union-attr]


def packet_times(source: Source, count: int, rate: float) -> np.ndarray:
    """When each of `count` frames is shown: float64, seconds from the first.

    From the time stamps of the packets; from the rate where those are missing or others in number.
    """
    try:
        with opened(source) as (container, stream):
            stamps = [p.pts for p in stream_packets(container, stream) if not p.is_discard]
            if len(stamps) == count and None not in stamps:
                seconds = np.sort(np.array(stamps, np.float64)) * float(stream.time_base)
                return seconds - seconds[0]
    except (DecodeError, av.FFmpegError, ValueError):
        pass
    return np.arange(count) / rate


def open_error(source: Source, decoder: str, cause: str) -> DecodeError:
    """The error for a file that another decoder could not open: is there a video in it at all?"""
    try:
        with opened(source):
            pass
    except DecodeError as error:
        return type(error)(error.path, error.reason, decoder=decoder)
    except OSError:
        pass
    return OpenError(source_name(source), f"cannot be read as a video ({cause})", decoder=decoder)


def error_text(error: BaseException) -> str:
    """FFmpeg's words for an error, without its number and file."""
    return getattr(error, "strerror", None) or str(error)
