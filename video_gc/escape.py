"""Safe text from names of files, classes and options, and the valid name nearest to a wrong one.

Names come from strangers. `readable` is for a terminal and for pictures, `csv_cell` for CSV files;
`csv_text` undoes it. HTML, Markdown and LaTeX are escaped where they are written, in analysis/.
"""

import difflib
import re
import unicodedata
from collections.abc import Sequence

HIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f"  # control characters: they move the cursor, ring, or start an escape
    r"\xad\u200b\u2060\ufeff"  # without width
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # end a line, or reverse the reading order
    r"\ud800-\udfff]"  # bytes of a file name that are not UTF-8
)
LEFT_TO_RIGHT = "\u200e"
FORMULA = ("=", "+", "-", "@", "'")
"""First characters of a formula in a spreadsheet, and the sign that marks text."""
MARKED = f"^'([{re.escape(''.join(FORMULA))}])"
"""A text that `csv_cell` marked; the group is its first character."""


def readable(text: str) -> str:
    """One line of plain text; invisible characters become escapes, such as \\x1b."""
    return HIDDEN.sub(_escaped, text)


def readable_lines(text: str) -> str:
    """As `readable`, for a text with our own line ends."""
    return "\n".join(map(readable, text.split("\n")))


def short_name(name: str, longest: int = 40) -> str:
    """A readable name for a picture, shortened in the middle: names often start alike.

    A mark without width ends one in Arabic or Hebrew, so that a number after it stays after it.
    """
    name, half = readable(name), longest // 2
    name = name if len(name) <= longest else f"{name[:half]}…{name[1 - half :]}"
    return f"{name}{LEFT_TO_RIGHT}" if runs_left(name) else name


def runs_left(text: str) -> bool:
    """Whether it has letters that run from right to left."""
    return any(unicodedata.bidirectional(one) in ("R", "AL") for one in text)


def nearest_name(wrong: str, names: Sequence[str], cutoff: float = 0.6) -> str | None:
    """The valid name most similar to a wrong one; None if none is similar.

    cutoff: required similarity in 0…1, as in difflib.
    """
    return next(iter(difflib.get_close_matches(wrong, names, 1, cutoff)), None)


def csv_cell(value: object) -> object:
    """A value as the cell of a CSV file: text is never a formula, numbers are unchanged."""
    if value is None or isinstance(value, int | float) or _is_number(str(value)):
        return value
    text = readable(str(value))
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_text(cell: str) -> str:
    """The inverse of `csv_cell`, except for escaped characters."""
    return re.sub(MARKED, r"\1", cell)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # Python's form of a byte in a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
