"""How a coded picture is shown: its orientation, size and colours.

A file gives it in four ways: a display matrix (ISO/IEC 14496-12, 6.2.2; also Matroska's projection,
an orientation in H.264 and HEVC, EXIF in images), the shape of a pixel, the matrix and range of its
planes (ISO/IEC 23091-2) and its transfer function. This module reads all of them, once per file.
"""

import struct
from fractions import Fraction
from typing import Any, NamedTuple

import av

from video_gc.decode.reader import Colour

FLATTEST = 10
"""Largest ratio of a pixel's width to its height, or the reverse; larger ones are errors."""
SQUARE = Fraction(2, 100)
"""Largest deviation of pixels that count as square: scaling to whole pixels leaves 2048:2043 and
the like, and real ratios start at 16:15."""
MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
"""Number of a matrix → name; other convertible matrices are close to bt601."""
UNKNOWN = {8: "YCgCo", 11: "SMPTE ST 2085", 12: "primaries", 13: "primaries", 14: "ICtCp"}
"""Matrices that FFmpeg does not convert, and all above them."""
SUBSTITUTES = {3: 2, 10: 9}  # reserved: unspecified; BT.2020 with constant luminance
PQ, HLG, BT2020_PRIMARIES = 16, 18, 9
EXIF_AND_NEWER = range(28, 40)
"""Kinds of side data without a name in PyAV 18."""


class Orientation(NamedTuple):
    """One of eight: first transposed (rows become columns), then mirrored, then upside down."""

    transposed: bool = False
    mirrored: bool = False
    """left and right are swapped"""
    flipped: bool = False
    """top and bottom are swapped"""

    @property
    def mirrors(self) -> bool:
        """Whether text is mirrored, so that no rotation could be the reason."""
        return self.transposed == (self.mirrored == self.flipped)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture after turning."""
        return (width, height) if self.transposed else (height, width)


class Presentation(NamedTuple):
    """How the frames of a video are shown."""

    orientation: Orientation
    size: tuple[int, int]
    """(height, width) of the shown picture, in square pixels"""
    colour: Colour
    """of the planes in yuv form"""


UPRIGHT = Orientation()


def presentation_of(frame: Any, pixel: Fraction | None = None) -> Presentation:
    """How a file that begins with `frame` is shown.

    pixel: width of a coded pixel over its height; 1 if unknown, absurd or nearly 1.

    A player stretches the width, not the height: 720×480 with pixels of 8:9 is 640×480.
    Raises ValueError if FFmpeg cannot convert its colours.
    """
    matrix = int(frame.colorspace)
    if not frame.format.is_rgb and (matrix in UNKNOWN or matrix > max(UNKNOWN)):
        name = UNKNOWN.get(matrix, "something newer")
        raise ValueError(f"FFmpeg cannot convert its colours ({name}, matrix {matrix}); recode it")
    orientation = orientation_of(frame)
    width = max(round(frame.width * _sensible(pixel)), 1)
    return Presentation(orientation, orientation.size(frame.height, width), colour_of(frame))


def orientation_of(frame: Any) -> Orientation:
    """The nearest of the eight orientations to the frame's display matrix.

    Of x' = a x + c y, y' = b x + d y, the pair (a, d) or (b, c) with the larger values decides.
    Singular matrices, shifts and perspective are ignored.
    """
    try:
        data = frame.side_data
    except ValueError:  # a kind unknown to PyAV, such as EXIF
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
    """Matrix and range of the planes in yuv form; the frame's own if it has any.

    FFmpeg treats grey and JPEG pictures as full range, whatever their tag says. RGB and palettes
    become BT.601, wide gamuts BT.709.
    """
    shape = frame.format
    if is_wide(frame):
        return Colour("bt709")
    if shape.is_rgb or shape.has_palette:
        return Colour()
    full = int(frame.color_range) == 2 or shape.name.startswith("yuvj") or is_grey(frame)
    return Colour(MATRICES.get(int(frame.colorspace), "bt601"), full)


def is_grey(frame: Any) -> bool:
    """Whether it has only luma."""
    shape = frame.format
    return not shape.is_rgb and not shape.has_palette and len(shape.components) < 3


def is_wide(frame: Any) -> bool:
    """Whether it has a high dynamic range (PQ, HLG) or the primaries of BT.2020."""
    return int(frame.color_trc) in (PQ, HLG) or int(frame.color_primaries) == BT2020_PRIMARIES


def pixel_shape(stream: Any) -> Fraction:
    """Width of a pixel over its height: the container's value before the codec's, as in FFmpeg's
    av_guess_sample_aspect_ratio; 1 if neither has a sensible one, or if it is nearly 1."""
    return _sensible(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio)


def _sensible(pixel: Fraction | None) -> Fraction:
    if pixel and Fraction(1, FLATTEST) <= pixel <= FLATTEST and abs(pixel - 1) > SQUARE:
        return pixel
    return Fraction(1)


def _without_newer(frame: Any) -> Any:
    """The frame without side data of kinds unknown to PyAV, which would list none at all."""
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
