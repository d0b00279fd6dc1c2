"""Which decoders give wrong frames for which kinds of files.

The conformance suite found these faults (table in docs/decoders.md). pyav has none: the suite
requires it to be exact on every file.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import av

from video_gc.decode.ffmpeg.container import coded_pixels, opened, stream_packets
from video_gc.decode.ffmpeg.presentation import UPRIGHT, is_wide, orientation_of, pixel_shape
from video_gc.decode.frame_table.packet_heads import PacketHeads
from video_gc.decode.reader import MAX_PIXELS, DecodeError, Source

PACKETS = 3000  # packets examined per file; more would make opening a long file slow


@dataclass(frozen=True)
class Kind:
    """The properties of a file that make decoders fail."""

    container: str
    """FFmpeg's name of the format, such as "avi" or "mov,mp4,m4a,3gp,3g2,mj2" """
    codec: str
    """such as h264"""
    reorders: bool
    """frames are not stored in display order"""
    open_gop: bool
    """some frames before a key frame are stored after it (open groups of pictures)"""
    intra_refresh: bool
    """some key frame is complete only after further frames (intra-refresh)"""
    edit_list: bool
    """an edit list hides frames"""
    mirrored: bool = False
    """a display matrix mirrors the picture"""
    turned_by_codec: bool = False
    """the codec, not the container, turns the picture"""
    stretched: bool = False
    """pixels are not square"""
    wide_gamut: bool = False
    """high dynamic range, or the primaries of BT.2020"""


def kind_of(source: Source, max_pixels: int = MAX_PIXELS) -> Kind | None:
    """The kind of a file, from its packets and its first frame; None if it cannot be read."""
    try:
        with opened(source, max_pixels=max_pixels) as (container, stream):
            return _kind(container, stream)
    except (DecodeError, av.FFmpegError, ValueError, OSError):
        return None


def known_wrong(decoder: str, kind: Kind | None) -> str | None:
    """Why this decoder reads such files wrongly; None if no fault is known."""
    if kind is None:
        return None
    for reason, applies in WRONG.get(decoder, {}).items():
        if applies(kind):
            return reason
    return None


SHOWN: dict[str, Callable[[Kind], bool]] = {
    "a mirrored display matrix": lambda kind: kind.mirrored,
    "an orientation that the codec says": lambda kind: kind.turned_by_codec,
    "pixels that are not square": lambda kind: kind.stretched,
    "HDR or BT.2020": lambda kind: kind.wide_gamut,
}
WRONG: dict[str, dict[str, Callable[[Kind], bool]]] = {
    "decord": {
        "HEVC": lambda kind: kind.codec == "hevc",
        "AV1": lambda kind: kind.codec == "av1",
        "MPEG-TS": lambda kind: kind.container == "mpegts",
        "MPEG-PS": lambda kind: kind.container == "mpeg",
        "ASF (WMV)": lambda kind: kind.container == "asf",
        "AVI with B-frames": lambda kind: kind.container == "avi" and kind.reorders,
        "MPEG-4 part 2 with B-frames": lambda kind: kind.codec == "mpeg4" and kind.reorders,
        "H.264 in AVI": lambda kind: kind.container == "avi" and kind.codec == "h264",
        "open groups of pictures": lambda kind: kind.open_gop,
        "intra-refresh": lambda kind: kind.intra_refresh,
        "an edit list that hides frames": lambda kind: kind.edit_list,
        **SHOWN,
    },
    "torchcodec": {
        "AVI with B-frames": lambda kind: kind.container == "avi" and kind.reorders,
        "MPEG-TS": lambda kind: kind.container == "mpegts",
        "MPEG-PS": lambda kind: kind.container == "mpeg",
        "intra-refresh": lambda kind: kind.intra_refresh,
        **SHOWN,
    },
}


def _kind(container: Any, stream: Any) -> Kind:
    context = stream.codec_context
    context.thread_count = 1
    starts = PacketHeads(context)
    codec = context.codec.canonical_name  # av1 for all of its libraries
    reorders, open_gop, intra_refresh, edit_list = bool(context.has_b_frames), False, False, False
    latest = key = frame = None
    begun: list[Any] = []
    for number, packet in enumerate(stream_packets(container, stream)):
        if number == PACKETS:
            break
        start = starts.read(packet)[0]
        edit_list |= packet.is_discard
        if packet.is_keyframe:
            key = packet.pts
            intra_refresh |= number > 0 and starts.known and not start
        if packet.pts is not None:
            open_gop |= key is not None and packet.pts < key
            reorders |= latest is not None and packet.pts < latest
            latest = packet.pts if latest is None else max(latest, packet.pts)
        if frame is None:
            begun.append(packet)
            frame = _first(context, [packet])
    frame = frame or _first(context, [None])
    kind = Kind(container.format.name, codec, reorders, open_gop, intra_refresh, edit_list)
    if frame is None:
        return kind
    orientation = orientation_of(frame)
    return replace(
        kind,
        mirrored=orientation.mirrors,
        turned_by_codec=orientation != UPRIGHT and _told(context, [*begun, None]),
        stretched=pixel_shape(stream) != 1,
        wide_gamut=is_wide(frame),
    )


def _told(context: Any, packets: Sequence[Any]) -> bool:
    """Whether the codec, not the container, turns the pictures."""
    alone: Any = av.CodecContext.create(context.name, "r")
    alone.extradata = context.extradata
    alone.options = {"max_pixels": coded_pixels(context.width * context.height)}
    frame = _first(alone, packets)
    return frame is not None and orientation_of(frame) != UPRIGHT


def _first(context: Any, packets: Sequence[Any]) -> Any:
    """The first frame, if one can be decoded; others report damage."""
    for packet in packets:
        with suppress(av.FFmpegError):
            if frames := context.decode(packet):
                return frames[0]
    return None
