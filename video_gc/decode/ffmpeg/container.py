"""Open a file with FFmpeg and find its video, in the same way for every decoder.

A file is untrusted. FFmpeg gets an open file descriptor, no name and no right to open anything else
(protocol_whitelist), and may use only formats that contain their pictures themselves. Some of its
formats only name other files, addresses or devices (SDP, HLS, DASH, concat, IMF, image sequences,
Magic Lantern's parts). It chooses the format by content, so a stranger's "video" could open those.
Hence a list of allowed formats, not a list of forbidden ones.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import av
import numpy as np
from av.stream import Disposition

from video_gc.decode.ffmpeg.source import Bytes, Held, content, limited_file
from video_gc.decode.ffmpeg.unprobed import CODING, UNPROBED, is_known, leave_out_others
from video_gc.decode.frame_table.mp4_claims import check_claims
from video_gc.decode.reader import (
    MAX_PIXELS,
    DecodeError,
    NoVideoError,
    OpenError,
    Source,
    StuckError,
    check_picture,
    source_name,
)

CONTAINERS = (
    "asf asf_o avi cine dhav flv gif gxf ivf ivr kux lmlm4 matroska mov mpeg mpegts mpjpeg mtv mxf "
    "mxg nsv nut nuv ogg pmp pva rm swf thp ty vivo webm wtv yuv4mpegpipe"
)
STREAMS = (
    "apng av1 avs2 avs3 cavsvideo dirac dnxhd dv evc flic h261 h263 h264 hevc jpegxl_anim m4v "
    "mjpeg mjpeg_2000 mpegvideo obu roq smk vc1 vc1test vvc"
)
PICTURES = "bmp_pipe jpeg_pipe png_pipe webp_pipe"
SOUND = "aac ac3 aiff amr ape au caf dts eac3 flac mp3 w64 wav wv"  # to report: no video in it
ALLOWED = ",".join(f"{CONTAINERS} {STREAMS} {PICTURES} {SOUND}".split())
"""FFmpeg's names of demuxers, for its option format_whitelist."""

START_CODE = re.compile(rb"\x00\x00\x00?\x01")
SIGNATURES: Mapping[str, re.Pattern[bytes]] = {
    "mov": re.compile(rb"(?s)....(ftyp|styp|moov|mdat|wide|free|skip|pnot)"),
    "matroska": re.compile(rb"\x1a\x45\xdf\xa3"),
    "avi": re.compile(rb"(?s)RIFF....AVI |ON2 .{4}ON2f"),
    "flv": re.compile(rb"FLV"),
    "mpegts": re.compile(rb"(?s)(.{4})?\x47"),
    "mpeg": re.compile(rb"\x00\x00\x01\xba"),
    "asf": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    "ogg": re.compile(rb"OggS"),
    "gif": re.compile(rb"GIF8[79]a"),
    "ivf": re.compile(rb"DKIF"),
    "mxf": re.compile(rb"\x06\x0e\x2b\x34"),
    "h264": START_CODE,
    "hevc": START_CODE,
    "mpegvideo": START_CODE,
    "m4v": START_CODE,
}
"""Format → the first bytes of its files. Decoders with their own FFmpeg take no such list, and an
older FFmpeg may find another format in the same bytes; these beginnings are unambiguous."""
HEAD = 64  # bytes


def has_signature(format_name: str, head: bytes) -> bool:
    """Whether every FFmpeg finds this format in a file with this beginning.

    format_name: FFmpeg's, such as "mov,mp4,m4a,3gp,3g2,mj2". head: the first HEAD bytes; a zero
    byte ends the text that FFmpeg searches for playlists.
    """
    signature = SIGNATURES.get(format_name.split(",")[0])
    return bool(signature and signature.match(head)) and 0 in head


NOTHING = "none"  # no protocol has this name


def open_container(
    source: bytes | BinaryIO | Held,
    *,
    time_limit: float = 60.0,
    max_pixels: int = MAX_PIXELS,
    kept: list[Any] | None = None,
    probe: bool = True,
) -> Any:
    """FFmpeg's container, to be closed before a held file; a file object is read from its start.

    time_limit: seconds for each attempt to open it, and for each later read of the file. Without
        `probe` there is a second attempt, with probing, if the head does not say everything.
    max_pixels: most pixels of a picture while FFmpeg looks for the streams.
    kept: also receives the container, so that its owner can close it.
    probe: False if FFmpeg need not decode pictures to find the streams (unprobed.py). The container
        then says the same of the video's size, rate and packets, not of its colours; it may give
        no packets of other streams.
    Raises OpenError if it cannot be read or claims more than it can contain, StuckError.
    """
    name = source_name(source)
    options = {"format_whitelist": ALLOWED, "max_pixels": coded_pixels(max_pixels)}

    def attempt(more: Mapping[str, str]) -> Any:
        with _given(source, file) as (given, own):
            return _open(given, {**options, **own, **more}, time_limit)

    try:
        file = limited_file(source, time_limit)
        codings = check_claims(Bytes(file), name, time_limit)
        container = attempt({}) if probe or CODING not in codings else _unprobed(attempt)
    except av.error.ExitError:
        reason = f"could not be opened within {time_limit:g} s (time_limit)"
        raise StuckError(name, reason) from None
    except (av.FFmpegError, ValueError) as error:
        raise OpenError(name, f"cannot be read as a video ({_why(error)})") from error
    if kept is not None:
        kept.append(container)
    return container


def _unprobed(attempt: Callable[[Mapping[str, str]], Any]) -> Any:
    """The container without probing, or with it if the head does not say everything."""
    with ExitStack() as stack:
        container = stack.enter_context(attempt(UNPROBED))
        if is_known(container):
            leave_out_others(container)
            stack.pop_all()  # it stays open
            return container
    return attempt({})


@contextmanager
def _given(source: bytes | BinaryIO | Held, file: Any) -> Iterator[tuple[Any, dict[str, str]]]:
    """What FFmpeg opens, at its start, and its options for that. file: see `limited_file`."""
    if isinstance(source, Held) and os.name != "nt":
        with source.again() as number:
            yield "fd:", {"fd": str(number), "protocol_whitelist": "fd"}
    else:  # a library of Windows may count its descriptors by itself
        file.seek(0)
        yield file, {"protocol_whitelist": NOTHING}


def _open(file: Any, options: dict[str, str], time_limit: float) -> Any:
    return av.open(file, "r", options=options, timeout=time_limit, metadata_errors="replace")


def coded_pixels(max_pixels: int) -> str:
    """FFmpeg's own bound, which also applies if the size changes later. Codecs round sizes up, so
    it is wider."""
    return str(min(max_pixels + max_pixels // 16 + (1 << 16), 2**31 - 1))


def _why(error: Exception) -> str:
    """FFmpeg's words, and a hint."""
    if isinstance(error, av.InvalidDataError):  # FFmpeg says no more of an MP4 without its index
        return f"{error_text(error)}; perhaps it was cut off, or is no video"
    if isinstance(error, av.ArgumentError):
        return (
            "it is in no format that holds a video itself; playlists, addresses of streams and "
            "lists of other files are not opened"
        )
    return error_text(error)


def video_stream(container: Any, name: str, max_pixels: int = MAX_PIXELS) -> Any:
    """The stream that a player shows; the cover picture of a sound file does not count.

    Raises NoVideoError without a video, OpenError for an unknown codec, TooLargeError for pictures
    of more than `max_pixels`.
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
    context = best.codec_context
    if context is None:
        raise OpenError(name, "its codec is not known")
    check_picture(name, (context.height, context.width), max_pixels)
    context.options = {"max_pixels": coded_pixels(max_pixels)}
    return best


@contextmanager
def opened(
    source: Source | Held, *, time_limit: float = 60.0, max_pixels: int = MAX_PIXELS
) -> Iterator[tuple[Any, Any]]:
    """(container, video stream) for the block; a file object keeps its position.

    Raises: see `Held`, `open_container` and `video_stream`.
    """
    if isinstance(source, str | os.PathLike):
        with Held(source) as held, opened(held, time_limit=time_limit, max_pixels=max_pixels) as it:
            yield it
        return
    place = None if isinstance(source, bytes | Held) else source.tell()
    container = open_container(source, time_limit=time_limit, max_pixels=max_pixels)
    try:
        yield container, video_stream(container, source_name(source), max_pixels)
    finally:
        container.close()
        if place is not None:
            source.seek(place)  # type: ignore[union-attr]


def packet_times(
    source: Source, count: int, rate: float, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Start of each of `count` frames: float64, seconds from the first.

    From the packets' time stamps; from the frame rate if their number differs or some are missing.
    """
    try:
        with opened(source, max_pixels=max_pixels) as (container, stream):
            stamps = [p.pts for p in stream_packets(container, stream) if not p.is_discard]
            if len(stamps) == count and None not in stamps:
                seconds = np.sort(np.array(stamps, np.float64)) * float(stream.time_base)
                return seconds - seconds[0]
    except (DecodeError, av.FFmpegError, ValueError):
        pass
    return np.arange(count) / rate


@contextmanager
def checked_source(
    source: Source, decoder: str, *, time_limit: float = 60.0, max_pixels: int = MAX_PIXELS
) -> Iterator[Any]:
    """The source for a decoder with its own FFmpeg, for the duration of the block.

    A path becomes /dev/fd/NUMBER: the same file that was checked, under a name that means nothing
    to FFmpeg. A file object is given at its start.

    Raises what `opened` raises, with the decoder's name; OpenError for a file in which another
    FFmpeg might find another format.
    """
    with ExitStack() as stack:
        held: Source | Held = source
        try:
            if isinstance(source, str | os.PathLike):
                held = stack.enter_context(Held(source))
            found = _format(held, time_limit, max_pixels)
        except DecodeError as error:
            raise type(error)(error.path, error.reason, decoder=decoder) from error
        with content(held) as file:
            certain = has_signature(found, file.at(0, HEAD))
        if not certain:
            reason = f"{decoder} is not given files of this kind ({found}); use decoder=pyav"
            raise OpenError(source_name(source), reason, decoder=decoder)
        if isinstance(held, Held):
            os.lseek(held.number, 0, os.SEEK_SET)
            yield f"/dev/fd/{held.number}"
        else:
            if not isinstance(source, bytes | str | os.PathLike):
                source.seek(0)
            yield source


def _format(source: Source | Held, time_limit: float, max_pixels: int) -> str:
    with opened(source, time_limit=time_limit, max_pixels=max_pixels) as (container, _):
        return str(container.format.name)


def error_text(error: BaseException) -> str:
    """FFmpeg's message for an error, without its number and file."""
    return getattr(error, "strerror", None) or str(error)


def stream_packets(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of `stream` from the container's position, without empty ones.

    Raises what FFmpeg raises.
    """
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except IndexError:
        # At the end PyAV flushes each requested stream, and looks it up in an array made at the
        # beginning: for a stream found later, it reads beyond the array, and may ask for a stream
        # missing in its list. By then every packet has been given.
        return
