"""Text files of any common encoding: UTF-8 with or without BOM, and UTF-16 of Windows."""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from video_gc.data.annotations.labels import nfc
from video_gc.data.index import DataError
from video_gc.shipped import shipped

MARKS = {  # UTF-16's little-endian BOM begins UTF-32's, so longer ones come first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
HEAD = 256


def encoding_of(file: Path) -> str:
    """The encoding given by the first bytes of a file; utf-8 by default."""
    with file.open("rb") as stream:
        return _encoding(stream.read(HEAD))


def numbered_lines(stream: BinaryIO, file: Path, what: str) -> Iterator[tuple[int, str]]:
    r"""Number (from 1) and text of each line, without its end: \n, \r\n, or the old Mac's \r.

    what: expected content of the file, for messages, such as "a text file of class names".

    Raises DataError with the first line that is not text.
    """
    encoding = _encoding(stream.read(HEAD))
    stream.seek(0)
    eight_bits = encoding.startswith("utf-8")
    text = io.TextIOWrapper(stream, encoding, "surrogateescape" if eight_bits else "strict")
    number = 0
    try:
        for number, line in enumerate(text, start=1):
            if not line.isascii():
                line.encode()  # invalid UTF-8 was decoded to surrogates
            if "\0" in line:
                raise DataError(f"{file}: not {what}: there is a zero byte in line {number}")
            yield number, line.removesuffix("\n")
    except UnicodeEncodeError as error:
        byte = ord(error.object[error.start]) - 0xDC00
        before = error.object[max(error.start - 20, 0) : error.start]
        raise DataError(
            f"{file}, line {number}: not {what} in UTF-8 (byte 0x{byte:02x} after {before!r}); "
            "save it as UTF-8 (Windows calls its own encoding ANSI)"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: not {what}: {encoding.upper()} after its first bytes, but broken after line "
            f"{number}; save it as UTF-8"
        ) from error
    finally:
        text.detach()


def read_lines(file: Path, what: str) -> list[str]:
    """The lines of a small file, stripped. Raises as `numbered_lines`."""
    with file.open("rb") as stream:
        return [line.strip() for _, line in numbered_lines(stream, file, what)]


def read_names(file: str | Path) -> list[str]:
    """Class names, one per line. A file of our datasets/ need not be in the working directory.

    Raises FileNotFoundError, or DataError for a repeated name or a file that is not text.
    """
    own, parts = shipped("datasets"), Path(file).parts
    if not Path(file).is_file() and parts[:1] == (own.name,):
        file = own.joinpath(*parts[1:])
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: no such file of class names (data.names)")
    lines: dict[str, int] = {}
    read = read_lines(Path(file), "a text file of class names (data.names)")
    for number, name in enumerate(map(nfc, read), start=1):
        if name in lines:
            raise DataError(
                f"{file}, line {number}: class {name!r} is in line {lines[name]} too; each "
                "class has one line"
            )
        if name:
            lines[name] = number
    return list(lines)


def _encoding(head: bytes) -> str:
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    zeros = [head[start::2].count(0) for start in (0, 1)]
    if max(zeros) > len(head) // 4 > min(zeros):  # Latin letters in UTF-16 without BOM
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    return "utf-8"
