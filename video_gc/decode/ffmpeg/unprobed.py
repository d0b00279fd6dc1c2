"""Open an MP4 with H.264 without FFmpeg's probing, which takes a millisecond or two.

To find the facts of its streams, FFmpeg opens their decoders and decodes the first pictures. The
head of an MP4 and the stream's parameter set say all that we use of these facts, and the same. Any
other file, or a head that leaves a question open, is probed.
"""

from collections.abc import Mapping
from typing import Any

from av.stream import Discard

from video_gc.decode.frame_table.h264_picture import picture_of

CODING = b"avc1"
"""coding of H.264 whose parameter sets are in the head (ISO 14496-15)"""
UNPROBED: Mapping[str, str] = {"codec_whitelist": "none"}
"""Options with which FFmpeg may open no decoder, so it does not look for what only they know."""
LISTED = 3_000
"""Samples of another stream whose places are looked at. 60 s of AAC at 48 kHz have fewer; a longer
file is opened by its index (packets.py), without passing over its sound."""


def is_known(container: Any) -> bool:
    """Whether an unprobed container says of its video what a probed one says: its size, its frame
    rate and its decoder, and whether the depth of reordering is in the parameter set.

    A fragmented file is probed: FFmpeg reads on in it to find its length.
    """
    streams = container.streams
    if len(streams.video) != 1 or "mp4" not in container.format.name.split(","):
        return False
    stream = streams.video[0]
    context = stream.codec_context
    if context is None or context.name != "h264" or not stream.average_rate:
        return False
    if not stream.frames or stream.frames != len(stream.index_entries) or not stream.duration:
        return False
    picture = picture_of(context.extradata)
    if picture is None or picture[:2] != (context.height, context.width):
        return False
    # the file's is from its index; if it is larger, FFmpeg decodes more pictures to decide
    return picture.depth >= int(context.reorder_depth)


def is_probed(container: Any) -> bool:
    """Whether FFmpeg has looked for facts in the pictures."""
    return not UNPROBED.items() <= container.options.items()


def leave_out_others(container: Any) -> None:
    """Let FFmpeg pass over streams other than the video, unless some of their samples are missing:
    at one of those, reading may end."""
    for stream in container.streams:
        if stream.type != "video" and _is_whole(stream.index_entries, container.size):
            stream.discard = Discard.all


def _is_whole(entries: Any, size: int) -> bool:
    return len(entries) <= LISTED and all(entry.pos + entry.size <= size for entry in entries)
