"""The size of an H.264 stream's pictures and their reordering, from its only parameter set.

FFmpeg otherwise decodes some pictures to find them. Sections are those of ITU-T H.264.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from video_gc.decode.frame_table.h264 import Parameters, only_set, parse_parameters
from video_gc.decode.frame_table.nal import Bits

OWN_SHAPE = 255
"""aspect_ratio_idc of a shape written out (E.2.1)"""
MOST = 16
"""pictures that a decoder may hold (A.3.1)"""
MOST_BUFFERS = 32
"""descriptions of a buffer (cpb_cnt_minus1 + 1, E.2.2)"""


class Picture(NamedTuple):
    """Facts of all pictures of a stream."""

    height: int
    width: int
    depth: int
    """pictures that a decoder holds back for reordering (max_num_reorder_frames)"""


@lru_cache(4)  # an opening asks several times
def picture_of(extradata: bytes | None) -> Picture | None:
    """From an avcC record (ISO 14496-15) with one parameter set.

    None if there are several, if it says nothing of reordering, or if it does not end where it
    should: FFmpeg then takes a broken set in its own way.
    """
    unit = only_set(extradata)
    if unit is None:
        return None
    try:
        reader = Bits(unit[1:])
        known = parse_parameters(reader)
        return _parse(reader, known) if known else None
    except IndexError:
        return None


def reorder_depth(context: Any) -> int:
    """Pictures that the decoder of a stream holds back for reordering. context: of PyAV's stream.

    FFmpeg's H.264 decoder takes the larger of the file's and the parameter set's when it begins, so
    a context says it only if FFmpeg has decoded some pictures.
    """
    depth = int(context.reorder_depth)
    picture = picture_of(context.extradata) if context.codec.canonical_name == "h264" else None
    return max(depth, picture.depth) if picture else depth


def _parse(reader: Bits, known: Parameters) -> Picture | None:
    """7.3.2.1.1 from direct_8x8_inference_flag on, and E.1.1."""
    fields = 1 if known.frames_only else 2
    reader.take(1 if known.frames_only else 2)
    left = right = top = bottom = 0
    if reader.take(1):
        left, right, top, bottom = (reader.exponential() for _ in range(4))
    if not reader.take(1):
        return None
    depth = _depth(reader)
    if depth is None or known.chroma > 3 or not reader.at_stop():
        return None
    across, down = (2 if known.chroma in kinds else 1 for kinds in ((1, 2), (1,)))
    height = 16 * fields * known.blocks[0] - down * fields * (top + bottom)
    width = 16 * known.blocks[1] - across * (left + right)
    return Picture(height, width, depth) if height > 0 and width > 0 else None


def _depth(reader: Bits) -> int | None:
    """max_num_reorder_frames; the reader is left at the end of the set (E.1.1)."""
    if reader.take(1) and reader.take(8) == OWN_SHAPE:
        reader.take(32)
    if reader.take(1):  # overscan_info_present_flag
        reader.take(1)
    if reader.take(1):  # video_signal_type_present_flag
        reader.take(4)
        if reader.take(1):
            reader.take(24)
    if reader.take(1):  # chroma_loc_info_present_flag
        reader.pass_exponential(2)
    if reader.take(1):  # timing_info_present_flag
        reader.take(65)
    buffers = 0
    for _ in ("nal", "vcl"):
        if reader.take(1):
            if not _pass_buffer(reader):
                return None
            buffers += 1
    reader.take(2 if buffers else 1)
    if not reader.take(1):  # bitstream_restriction_flag
        return None
    reader.take(1)
    reader.pass_exponential(4)
    depth, most = reader.exponential(), reader.exponential()
    return depth if depth <= most <= MOST else None


def _pass_buffer(reader: Bits) -> bool:
    """Skip hrd_parameters (E.1.2); False if they claim too much."""
    count = reader.exponential() + 1
    if count > MOST_BUFFERS:
        return False
    reader.take(8)
    for _ in range(count):
        reader.pass_exponential(2)
        reader.take(1)
    reader.take(20)
    return True
