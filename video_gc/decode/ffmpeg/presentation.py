"""How a coded picture is shown: turned or mirrored, in which size, from which colours.

A file says it in four ways: a display matrix (ISO/IEC 14496-12, 6.2.2; also Matroska's projection,
an orientation in H.264 and HEVC, EXIF in images), the shape of a pixel, the matrix and range of its
planes (ISO/IEC 23091-2) and its transfer function. All of them are settled here, once for a file.
"""

import struct
from fractions import Fraction
from typing import Any, NamedTuple

import av

from video_gc.decode.reader import Colour

FLATTEST = 10
"""A pixel is at most so many times as wide as high, or as high as wide; more is an error."""
SQUARE = Fraction(2, 100)
"""Pixels that are so little off are square: scaling to whole pixels leaves 2048:2043 and the like,
and what is meant is 16:15 or further off."""
MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
"""Number of a matrix → name; others that FFmpeg converts are near to bt601."""
UNKNOWN = {8: "YCgCo", 11: "SMPTE ST 2085", 12: "primaries", 13: "primaries", 14: "ICtCp"}
"""Matrices that FFmpeg does not convert; any above too."""
SUBSTITUTES = {3: 2, 10: 9}  # reserved: as if none were given; BT.2020 with constant luminance
PQ, HLG, BT2020_PRIMARIES = 16, 18, 9
EXIF_AND_NEWER = range(28, 40)
"""Kinds of side data that PyAV 18 has no name for."""


class Orientation(NamedTuple):
    """One of eight: first transposed (rows become columns), then mirrored, then upside down."""

    transposed: bool = False
    mirrored: bool = False
    """left and right are exchanged"""
    flipped: bool = False
    """top and bottom are exchanged"""

    @property
    def mirrors(self) -> bool:
        """Whether letters can be read in a mirror only: no turn could do it."""
        return self.transposed == (self.mirrored == self.flipped)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture after it was turned."""
        return (width, height) if self.transposed else (height, width)


class Presentation(NamedTuple):
    """How the frames of a video are shown."""

    orientation: Orientation
    size: tuple[int, int]
    """(height, width) of what is shown, in square pixels"""
    colour: Colour
    """of planes that are handed out"""


UPRIGHT = Orientation()


def presentation_of(frame: Any, pixel: Fraction | None = None) -> Presentation:
    """How a file is shown that begins with `frame`.

    pixel: width of a pixel over its height, as it is coded; 1 where that is not known, absurd or
        nearly 1.

    A player stretches the width, not the height: 720×480 with pixels of 8:9 is 640×480.
    Raises ValueError where FFmpeg cannot convert its colours.
    """
    matrix = int(frame.colorspace)
    if not frame.format.is_rgb and (matrix in UNKNOWN or matrix > max(UNKNOWN)):
        name = UNKNOWN.get(matrix, "something newer")
        raise ValueError(f"FFmpeg cannot convert its colours ({name}, matrix {matrix}); recode it")
    orientation = orientation_of(frame)
    width = max(round(frame.width * _sensible(pixel)), 1)
    return Presentation(orientation, orientation.size(frame.height, width), colour_of(frame))


def orientation_of(frame: Any) -> Orientation:
    """The one of eight that comes nearest to the frame's display matrix.

    Of x' = a x + c y, y' = b x + d y those two numbers count that are larger together. A matrix
    that leaves nothing of the picture is passed over, as are its shift and its perspective.
    """
    try:
        data = frame.side_data
    except ValueError:  # a kind that PyAV does not know, such as EXIF
        data = _without_newer(frame).side_data
    matrix = data.get("DISPLAYMATRIX")
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    if a * d == b * c:
        return UPRIGHT
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def colour_of(frame: Any) -> Colour:
    """Matrix and range of the planes that are handed out; the frame's own where it has any.

    FFmpeg takes grey pictures and those of JPEG as full range, whatever their tag says. What is
    coded in RGB or a palette becomes BT.601, what has a wide gamut BT.709.
    """
    shape = frame.format
    if is_wide(frame):
        return Colour("bt709")
    if shape.is_rgb or shape.has_palette:
        return Colour()
    full = int(frame.color_range) == 2 or shape.name.startswith("yuvj") or is_grey(frame)
    return Colour(MATRICES.get(int(frame.colorspace), "bt601"), full)


def is_grey(frame: Any) -> bool:
    """Whether it has luma only."""
    shape = frame.format
    return not shape.is_rgb and not shape.has_palette and len(shape.components) < 3


def is_wide(frame: Any) -> bool:
    """Whether it has a high dynamic range (PQ, HLG) or the primaries of BT.2020."""
    return int(frame.color_trc) in (PQ, HLG) or int(frame.color_primaries) == BT2020_PRIMARIES


def pixel_shape(stream: Any) -> Fraction:
    """Width of a pixel over its height: the container's word counts before the codec's, as in
    FFmpeg's av_guess_sample_aspect_ratio; 1 where neither says a sensible one, or nearly 1."""
    return _sensible(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio)


def _sensible(pixel: Fraction | None) -> Fraction:
    if pixel and Fraction(1, FLATTEST) <= pixel <= FLATTEST and abs(pixel - 1) > SQUARE:
        return pixel
    return Fraction(1)


def _without_newer(frame: Any) -> Any:
    """The frame without side data of a kind that PyAV has no name for: it then lists none."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add("buffer", source_arguments(frame, Fraction(1, 25))),
        *(graph.add("sidedata", f"mode=delete:type={kind}") for kind in EXIF_AND_NEWER),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame)
    return graph.pull()


def source_arguments(frame: Any, time_base: Fraction) -> str:
    """Arguments of FFmpeg's `buffer`. Without matrix and range, planes would become BT.601."""
    return (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
        f":time_base={time_base.numerator}/{time_base.denominator}"
        f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    )
