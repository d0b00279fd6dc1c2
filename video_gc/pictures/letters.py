"""Lines of text on pictures that are no figures; names in them may be in any script."""

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
    mask, top = _letters(text, size, bold)
    mask = np.pad(mask, rim)
    x = round(at[0] - align * (mask.shape[1] - 2 * rim)) - rim
    place = x, round(at[1] + top) - rim
    letters = Image.fromarray(mask)
    if rim:
        picture.paste((0, 0, 0), place, letters.filter(ImageFilter.MaxFilter(2 * rim + 1)))
    picture.paste(colour, place, letters)


def text_width(text: str, size: float, *, bold: bool = False) -> int:
    """Pixels of the line that `write` makes."""
    return int(_letters(text, size, bold)[0].shape[1])


def _letters(text: str, size: float, bold: bool) -> tuple[np.ndarray, float]:
    """How much of each pixel the letters cover, uint8 (H, W), and its top below the line's."""
    shown = legible(text)
    font = get_font(font_files(shown.fonts, bold=bold))
    font.set_size(size, 72)  # at 72 dots an inch a point is a pixel
    font.set_text(shown.text)
    font.draw_glyphs_to_bitmap()
    mask = font.get_image()
    above = mask.shape[0] - 1 - font.get_descent() / 64  # matplotlib leaves a row at either end
    return mask, size * font.ascender / font.units_per_EM - above
