"""Figures as pictures and in pages; names in them may be in any script.

A picture needs fonts of this system (`fonts`); in a page the reader's browser has them, so text
stays text.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from video_gc.pictures.fonts import families, legible


def save_picture(figure: Figure, file: Path, dpi: int = 110) -> None:
    """Write the figure; characters that no font of this system has become ASCII."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_locator(), FixedLocator):  # our own labels, not numbers
            labels = [label.get_text() for label in axis.get_ticklabels()]
            axis.set_ticklabels([legible(label).text for label in labels])
    for text in figure.findobj(Text):
        if not text.get_text().isascii():
            shown = legible(text.get_text())
            text.set(text=shown.text, family=[*text.get_fontfamily(), *families(shown.fonts)])
    figure.savefig(file, dpi=dpi)


@contextmanager
def reader_fonts() -> Iterator[None]:
    """Lay out text for a page: a missing glyph is nothing to warn of, the browser draws it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def svg(figure: Figure, salt: str) -> str:
    """The figure as an <svg> element, its text as text; salt: makes its ids unique in a page."""
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}), reader_fonts():
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=none)
    text = stream.getvalue()
    return text[text.index("<svg") :]
