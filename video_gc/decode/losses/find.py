"""Losses of an open file."""

from collections.abc import Iterable
from typing import Any

from video_gc.decode.ffmpeg.source import Bytes, Held, content
from video_gc.decode.frame_table.h264_picture import reorder_depth
from video_gc.decode.losses import asf, matroska, transport
from video_gc.decode.losses.chunks import avi_losses, flv_losses, program_losses
from video_gc.decode.losses.loss import Loss, Losses
from video_gc.decode.reader import Source


def find_losses(source: Source | Held, container: Any, stream: Any) -> Losses:
    """Losses of a stream, found in the container's structure.

    Reads the whole file, or only its heads. Finds nothing in containers without such a structure.
    """
    with content(source) as file:
        form = container.format.name.split(",")[0]
        found = _walk(file, form, stream)
        counted = form == "mpegts" and found is not None
        depth = max(reorder_depth(stream.codec_context), 1)  # it is 0 for MPEG-4 in Matroska
        return Losses(list(found or ()), counted=counted, depth=depth)


def _walk(file: Bytes, form: str, stream: Any) -> Iterable[Loss] | None:
    if form == "mpegts":
        return transport.losses(file, stream.id, stream.codec_context.name)
    if form == "matroska":
        return matroska.losses(file, stream.index)
    if form == "avi":
        return avi_losses(file, stream.index)
    if form == "mpeg":
        return program_losses(file)
    if form == "asf":
        return asf.losses(file, stream.id)
    if form == "flv":
        return flv_losses(file)
    return None
