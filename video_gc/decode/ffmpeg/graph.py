"""Orientation, crop, scale and conversion of decoded frames in one FFmpeg filter graph.

Every decoder on the CPU uses it, in training and tests, so all pictures are scaled in one way:
bilinear over the area of a pixel, in the coded planes, then converted to RGB. Compared with a scale
to RGB in one step, this takes swscale a quarter of the time, and is closer to scaling the full RGB
picture (mean difference 0.6 grey levels, not 1.3).

High dynamic range and BT.2020 are converted for a BT.709 screen: light of 203 cd/m² (white paper,
ITU-R BT.2408) becomes white, and brighter light is clipped; so mid-tones are as bright as in other
videos. Curves: BT.2100 (PQ; HLG at 1000 cd/m²), BT.1886 for the screen; primaries: BT.2087.
"""

from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np

from video_gc.decode.ffmpeg.presentation import (
    BT2020_PRIMARIES,
    HLG,
    PQ,
    SUBSTITUTES,
    UPRIGHT,
    Orientation,
    Presentation,
    is_wide,
    source_arguments,
)
from video_gc.decode.reader import FORMS, Box

TURNS = {
    (False, False): "cclock_flip",  # transposed only
    (True, False): "clock",
    (False, True): "cclock",
    (True, True): "clock_flip",
}
"""(mirrored, flipped) → direction of the filter `transpose`."""
PLANES = "yuv420p|yuvj420p"


class FilterGraph:
    """Frames of the size and format of `frame` → arrays.

    shown: how the video is shown; frames of another size are scaled to the shown size.
    crop, size: see Request; if both are given, the crop is cut out of the coded frame (from whole
        pixels, the nearest ones if pixels are not square), so it is scaled once.
    form: rgb or yuv; see reader.FORMS. Planes have the matrix and range of shown.colour.

    Raises ValueError for an unknown form, or for odd sizes in yuv.
    """

    def __init__(
        self,
        frame: Any,
        time_base: Fraction,
        shown: Presentation,
        crop: Box | None = None,
        size: tuple[int, int] | None = None,
        form: str = "rgb",
    ) -> None:
        if form not in FORMS:
            raise ValueError(f"form ({form!r}) must be one of {', '.join(FORMS)}")
        wide = is_wide(frame)
        deep = "rgb48le" if wide else "rgb24"
        odd = shown.orientation != UPRIGHT and (frame.height % 2 or frame.width % 2)
        # a crop at an odd edge would shift the chroma samples
        first = [("scale", _scaling(frame, None)), ("format", deep)] if odd else []
        placing, (height, width), size = _placing(frame, shown, crop, size)
        if form == "yuv" and (height % 2 or width % 2):
            raise ValueError(f"4:2:0 planes need even sizes, not {width}×{height}")
        self._form, self._height, self._width = form, height, width
        self._wide = (int(frame.color_trc), int(frame.color_primaries)) if wide else None
        self._planes: FilterGraph | None = None
        last, colour = deep, ""
        if wide and form == "yuv":
            picture = av.VideoFrame(width, height, "rgb24")
            upright = Presentation(UPRIGHT, (height, width), shown.colour)
            self._planes = FilterGraph(picture, time_base, upright, form="yuv")
        elif form == "yuv":
            full = shown.colour.full_range
            last = "yuvj420p" if full else "yuv420p"
            colour = f":out_color_matrix={shown.colour.matrix}:out_range={'pc' if full else 'tv'}"
        scaling = [("scale", f"{width}:{height}:{_scaling(frame, size)}")]
        if size and not odd and frame.format.name in PLANES.split("|"):
            scaling += [("format", PLANES), ("scale", _scaling(frame))]
        scaling[-1] = "scale", scaling[-1][1] + colour
        filters = [*first, *placing, *scaling, ("format", last)]
        self._matrix = SUBSTITUTES.get(int(frame.colorspace), int(frame.colorspace))
        frame.colorspace = self._matrix
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        nodes = [
            self._graph.add("buffer", source_arguments(frame, time_base)),
            *(self._graph.add(name, arguments) for name, arguments in filters),
            self._graph.add("buffersink"),
        ]
        self._graph.link_nodes(*nodes).configure()

    def convert(self, frame: Any) -> np.ndarray:
        """The frame as uint8 (H, W, 3), or (3 H / 2, W) in yuv; read-only, without a copy."""
        frame.colorspace = self._matrix
        self._graph.push(frame)
        done: Any = self._graph.pull()
        height, width = self._height, self._width
        if self._wide:
            deep = _rows(done.planes[0], height, 6 * width).view(np.uint16)
            rgb = standard_range(deep.reshape(height, width, 3), *self._wide)
            if self._planes is None:
                return rgb
            return self._planes.convert(av.VideoFrame.from_ndarray(rgb, format="rgb24"))
        if self._form == "rgb":
            return _rows(done.planes[0], height, 3 * width).reshape(height, width, 3)
        chroma = [_rows(plane, height // 2, width // 2) for plane in done.planes[1:]]
        planes = [_rows(done.planes[0], height, width)]
        planes += [plane.reshape(height // 4, width) for plane in chroma if not height % 4]
        if height % 4:  # each chroma plane ends with half a row
            planes.append(np.concatenate([c.ravel() for c in chroma]).reshape(height // 2, width))
        return np.concatenate(planes)


def look_of(frame: Any) -> tuple[Any, ...]:
    """The properties of a frame that must be equal for one graph."""
    tags = (frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries)
    return (frame.width, frame.height, frame.format.name, *map(int, tags))


def _placing(
    frame: Any, shown: Presentation, crop: Box | None, size: tuple[int, int] | None
) -> tuple[list[tuple[str, str]], tuple[int, int], tuple[int, int] | None]:
    """Filters that turn and crop; (height, width) of the result; the size to scale to, or None."""
    filters = _turn(shown.orientation)
    now = shown.orientation.size(frame.height, frame.width)
    if now != shown.size and not (crop and size):
        if crop:
            filters.append(("scale", f"{shown.size[1]}:{shown.size[0]}:{_scaling(frame)}"))
        else:
            size = size or shown.size
    elif crop and now != shown.size:
        crop = _mapped(crop, shown.size, now)
    if crop:
        filters.append(("crop", f"{crop.width}:{crop.height}:{crop.left}:{crop.top}:exact=1"))
        now = crop.height, crop.width
    return filters, size or now, size


def _turn(orientation: Orientation) -> list[tuple[str, str]]:
    """The filters; the last one writes its rows from top to bottom."""
    transposed, mirrored, flipped = orientation
    if transposed:
        return [("transpose", TURNS[mirrored, flipped])]
    filters = [("vflip", "")] if flipped else []
    if mirrored:
        filters.append(("hflip", ""))
    elif flipped:
        filters.append(("copy", ""))
    return filters


def _mapped(box: Box, size: tuple[int, int], own: tuple[int, int]) -> Box:
    """A box of a picture of `size`, in whole pixels of the picture of size `own`, at least one."""
    (top, bottom), (left, right) = (
        _interval(start, start + length, mine / whole, mine)
        for start, length, mine, whole in (
            (box.top, box.height, own[0], size[0]),
            (box.left, box.width, own[1], size[1]),
        )
    )
    return Box(left, top, right - left, bottom - top)


def _interval(start: int, end: int, factor: float, most: int) -> tuple[int, int]:
    first = min(round(start * factor), most - 1)
    return first, max(round(end * factor), first + 1)


def _scaling(frame: Any, size: tuple[int, int] | None = (0, 0)) -> str:
    """Options of the scale filter; with them, an unscaled frame equals PyAV's own conversion."""
    deep = frame.format.components[0].bits > 8
    left = ":in_chroma_loc=left" if deep and size is None else ""
    return f"flags=bilinear:interl=-1{left}"


def _rows(plane: Any, height: int, width: int) -> np.ndarray:
    """The plane's bytes without the padding of its rows: a view (height, width)."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]


WHITE, PEAK = 203.0, 1000.0  # cd/m²
GAMMA = 2.4
TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)


def standard_range(rgb: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Coded uint16 (H, W, 3), 0…65535 → uint8 (H, W, 3) of BT.709.

    transfer, primaries: numbers of ISO/IEC 23091-2; transfers other than PQ and HLG are a screen's.
    """
    light = _curve(transfer)[rgb]
    if transfer == HLG:
        light *= np.maximum(light @ LUMA, 1e-9)[..., None] ** np.float32(0.2) * (PEAK / WHITE)
    if primaries == BT2020_PRIMARIES:
        light = light @ TO_BT709.T
    shown: np.ndarray = light.clip(0, 1) ** np.float32(1 / GAMMA)
    return np.rint(255 * shown).astype(np.uint8)


@cache
def _curve(transfer: int) -> np.ndarray:
    """Code → light: float32 (65536,), 1 is white; in HLG scene light, 1 is the brightest."""
    code = np.arange(1 << 16) / 65535
    if transfer == PQ:
        root = code ** (32 / 2523)
        light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (16384 / 2610)
        light *= 10_000 / WHITE
    elif transfer == HLG:
        bright = (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = np.where(code <= 0.5, code**2 / 3, bright)
    else:
        light = code**GAMMA
    return light.astype(np.float32)
