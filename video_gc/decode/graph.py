"""Rotation, crop, scale and conversion of decoded frames in one of FFmpeg's filter graphs.

Every decoder on the CPU sends its frames through here, in training and in testing, so that a
picture is scaled in one way only: bilinear over the area that a pixel covers, in the planes in
which it is coded, and then converted to RGB. Against a scale to RGB in one go, swscale takes a
quarter of the time for that, and comes closer to scaling the full RGB picture (mean difference 0.6
grey levels rather than 1.3).
"""

from fractions import Fraction
from typing import Any

import av
import numpy as np

from video_gc.decode.reader import FORMS, Box

TURN = {  # degrees counter-clockwise, as the display matrix says → filters
    90: [("transpose", "cclock")],
    180: [("hflip", ""), ("vflip", "")],
    270: [("transpose", "clock")],
}
PLANES = "yuv420p|yuvj420p"
FORMATS = {"rgb": "rgb24", "yuv": PLANES}


class FilterGraph:
    """Frames of the size and format of `frame` → arrays.

    rotation: degrees counter-clockwise, a multiple of 90.
    crop, size: see Request.
    form: rgb or yuv; see reader.FORMS.
    shown: (height, width) that frames of another size are brought to before anything else.

    Raises ValueError for an unknown form, or for odd sizes in yuv.
    """

    def __init__(
        self,
        frame: Any,
        time_base: Fraction,
        rotation: int = 0,
        crop: Box | None = None,
        size: tuple[int, int] | None = None,
        form: str = "rgb",
        shown: tuple[int, int] | None = None,
    ) -> None:
        if form not in FORMS:
            raise ValueError(f"form ({form!r}) must be one of {', '.join(FORMS)}")
        filters = list(TURN.get(rotation, []))
        own = shown_size(frame, rotation)
        now = own
        if shown and shown != own:  # a file may change its size on the way; players scale it
            now = shown
            filters.append(("scale", f"{shown[1]}:{shown[0]}:{_scaling(frame)}"))
        if crop:
            now = crop.height, crop.width
            filters.append(("crop", f"{crop.width}:{crop.height}:{crop.left}:{crop.top}:exact=1"))
        height, width = size or now
        if form == "yuv" and (height % 2 or width % 2):
            raise ValueError(f"4:2:0 planes need even sizes, not {width}×{height}")
        filters.append(("scale", f"{width}:{height}:{_scaling(frame, size)}"))
        if size and frame.format.name in PLANES.split("|"):
            filters.append(("format", PLANES))
            filters.append(("scale", _scaling(frame)))
        filters.append(("format", FORMATS[form]))
        self._form, self._height, self._width = form, height, width
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        nodes = [
            self._graph.add("buffer", _source(frame, time_base)),
            *(self._graph.add(name, arguments) for name, arguments in filters),
            self._graph.add("buffersink"),
        ]
        self._graph.link_nodes(*nodes).configure()

    def convert(self, frame: Any) -> np.ndarray:
        """The frame as uint8 (H, W, 3), or (3 H / 2, W) in yuv; read-only, without a copy."""
        self._graph.push(frame)
        done: Any = self._graph.pull()
        height, width = self._height, self._width
        if self._form == "rgb":
            return _rows(done.planes[0], height, 3 * width).reshape(height, width, 3)
        chroma = [_rows(plane, height // 2, width // 2) for plane in done.planes[1:]]
        planes = [_rows(done.planes[0], height, width)]
        planes += [plane.reshape(height // 4, width) for plane in chroma if not height % 4]
        if height % 4:  # half a row is left over in each plane of colour
            planes.append(np.concatenate([c.ravel() for c in chroma]).reshape(height // 2, width))
        return np.concatenate(planes)


def turn_of(frame: Any) -> int:
    """How far a frame is turned to be shown: degrees counter-clockwise, 0, 90, 180 or 270."""
    return round(frame.rotation / 90) * 90 % 360


def shown_size(frame: Any, rotation: int) -> tuple[int, int]:
    """(height, width) of a frame after it was turned."""
    turned = rotation in (90, 270)
    return (frame.width, frame.height) if turned else (frame.height, frame.width)


def _source(frame: Any, time_base: Fraction) -> str:
    """What comes in. Without the matrix and the range, planes would be recoded to BT.601."""
    return (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
        f":time_base={time_base.numerator}/{time_base.denominator}"
        f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    )


def _scaling(frame: Any, size: tuple[int, int] | None = (0, 0)) -> str:
    """Options of the scale filter: with those, an unscaled frame equals PyAV's own conversion."""
    deep = frame.format.components[0].bits > 8
    left = ":in_chroma_loc=left" if deep and size is None else ""
    return f"flags=bilinear:interl=-1{left}"


def _rows(plane: Any, height: int, width: int) -> np.ndarray:
    """The plane's bytes without the padding at the end of its rows: a view (height, width)."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]
