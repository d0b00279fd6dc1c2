"""Lines of text on pictures that are no figures; names in them may be in any script."""

from functools import lru_cache

import numpy as np
from matplotlib.font_manager import get_font
from PIL import Image, ImageFilter

from video_gc.pictures.fonts import font_files, legible


def write(
    picture: Image.Image,
    at: tuple[float, float],
    text: str,
    size: float,
    colour: tuple[int, int, int],
    *,
    bold: bool = False,
    align: float = 0.0,
    rim: int = 0,
) -> None:
    """Write one line on an RGB picture, by the same fonts as `save_picture`.

    at: x of its left end (align 0), middle (0.5) or right end (1), and y of the top of a line.
    size: pixels. rim: width of a black rim around the letters, in pixels.
    """
    letters, around, top = _letters(text, size, bold, rim)
    x = at[0] - align * (letters.width - 2 * rim)
    place = round(x) - rim, round(at[1] + top) - rim
    if rim:
        picture.paste((0, 0, 0), place, around)
    picture.paste(colour, place, letters)


def text_width(text: str, size: float, *, bold: bool = False) -> int:
    """Pixels of the line that `write` makes."""
    return _letters(text, size, bold, 0)[0].width


@lru_cache(64)  # a stream writes the same lines on frame after frame
def _letters(
    text: str, size: float, bold: bool, rim: int
) -> tuple[Image.Image, Image.Image, float]:
    """How much of each pixel the letters cover, and the rim with them; their top below the line's.

    Both have a margin of `rim` pixels, above which the top is.
    """
    shown = legible(text)
    font = get_font(font_files(shown.fonts, bold=bold))
    font.set_size(size, 72)  # at 72 dots an inch a point is a pixel
    font.set_text(shown.text)
    font.draw_glyphs_to_bitmap()
    mask = font.get_image()
    above = mask.shape[0] - 1 - font.get_descent() / 64  # matplotlib leaves a row at either end
    letters = Image.fromarray(np.pad(mask, rim))
    # Pillow 12.3 dies of a filter of one pixel
    around = letters.filter(ImageFilter.MaxFilter(2 * rim + 1)) if rim else letters
    return letters, around, size * font.ascender / font.units_per_EM - above
