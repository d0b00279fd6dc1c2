"""Where the context blocks of a network look, as a picture in a page."""

from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from video_gc.analysis.animation import write_animation
from video_gc.analysis.attention.drawing import Drawing, draw
from video_gc.analysis.attention.maps import has_captum
from video_gc.analysis.attention.panels import activation_panel, block_panels, drawn_blocks
from video_gc.analysis.clips import View
from video_gc.analysis.html import data_uri
from video_gc.data.index import DataError
from video_gc.escape import readable
from video_gc.predict.recognizer import Recognizer

CENTRE = (0.5, 0.5, 0.5)
"""The query whose maps are drawn, of blocks that have queries: fractions of T, H and W."""


def attention_picture(recognizer: Recognizer, view: np.ndarray, start: float, end: float) -> str:
    """HTML: an animated picture of a view (T, H, W, 3) under the maps of the blocks.

    With captum, class activation too, or alone if no block has a map; else that raises DataError.
    """
    if recognizer.model is None:
        raise DataError("an exported file does not show its blocks; open the checkpoint")
    try:
        names = drawn_blocks(recognizer.model)
    except DataError:
        if not has_captum():
            raise
        names = []
    model, clip = recognizer.model.to(recognizer.device), recognizer.prepare(view[None])
    with torch.inference_mode():
        panels = block_panels(model, clip, names, [CENTRE]) if names else []
    if has_captum():
        multi_label = recognizer.contract.multi_label
        panels.append(activation_panel(model, clip, recognizer.names, multi_label=multi_label))
    times = np.linspace(start, end, len(view), endpoint=False)
    title = f"Where the {'blocks look' if names else 'network looks'}, {start:.2f} to {end:.2f} s"
    queries = [CENTRE] if any(len(panel.maps) > 1 for panel in panels) else []
    drawing = Drawing(title, View(view, times), queries, panels)
    with TemporaryDirectory(prefix="video_gc-") as folder:
        content = write_animation(Path(folder) / "a.webp", draw(drawing), rate=4).read_bytes()
    picture = f'<img src="{data_uri(content, "webp")}" alt="{title}">'
    said = escape(readable(drawing.activation))
    return picture + (f'<p class="vg-note">{said}</p>' if said else "")
