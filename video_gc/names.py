"""Names of files: as text, and as short as a file system wants them."""

import codecs
import hashlib
import os

LONGEST = 255
"""Bytes of a file's name, on most file systems."""
ESCAPE = "video_gc.escape"
"""For `errors` of `open`: bytes of a name that are not UTF-8 are written as in caf\\xe9.mp4."""


def readable(text: str) -> str:
    """The text with escapes for what UTF-8 cannot hold: bytes of a file's name that are none."""
    return text.encode("utf-8", ESCAPE).decode()


def fitting_name(stem: str, suffix: str = "") -> str:
    """`stem` + `suffix` as the name of a file; one that is too long ends in a hash of the whole.

    The hash tells names apart that begin alike.
    """
    whole = os.fsencode(stem + suffix)
    if len(whole) <= LONGEST:
        return stem + suffix
    end = f"~{hashlib.blake2b(whole, digest_size=6).hexdigest()}{suffix}"
    room = LONGEST - len(os.fsencode(end))
    return os.fsencode(stem)[:room].decode("utf-8", "ignore") + end


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    numbers = map(ord, error.object[error.start : error.end])
    signs = (f"\\x{n - 0xDC00:02x}" if 0xDC80 <= n <= 0xDCFF else f"\\u{n:04x}" for n in numbers)
    return "".join(signs), error.end


codecs.register_error(ESCAPE, _escaped)
