"""Written labels → class numbers, and the message for an unknown label."""

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from video_gc.data.index import DataError, VideoIndex
from video_gc.escape import nearest_name

NONE = ("", "-1")
"""Labels that mean "no label" in lists."""
SEVERAL = "[;|]"
"""Separators of several labels in one text."""
LARGEST = 10_000
"""Class numbers from this on, or from the number of videos if that is larger, are mistakes."""

Line = Callable[[int], str]
"""Name of a row in messages."""


def number_labels(
    rows: pa.Table,
    file: Path,
    names: Sequence[str] | None,
    *,
    multi_label: bool = False,
    line: Line,
) -> VideoIndex:
    """Columns path and label as text (or lists of text) → an index; other columns are kept.

    names: class names in order. Without them, integer labels are class numbers (and their own
        names), and other labels are names, sorted. Mostly integers with some other labels, or an
        integer far above the number of videos, is a mistake. With names, a label that is not a name
        may be a number.
    line: name of a row in messages, such as "line 12".

    Raises DataError with the first unknown label.
    """
    labels = rows["label"].combine_chunks()
    flat = labels.flatten() if multi_label else labels
    encoded = flat.dictionary_encode()
    found: list[str] = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)

    def place(code: int) -> str:
        """The first line with a label."""
        first = int(np.flatnonzero(codes == code)[0])
        return f"{file}, {line(_row_of(labels, first) if multi_label else first)}"

    if names is None:
        names = _names(found, np.bincount(codes, minlength=len(found)), len(labels), place)
    numbers = np.full(len(found) + 1, -1, np.int32)
    known = {nfc(name): number for number, name in enumerate(names)}
    for code, label in enumerate(found):
        if nfc(label) in known:
            numbers[code] = known[nfc(label)]
        elif label.isdecimal() and int(label) < len(names):
            numbers[code] = int(label)
        elif label not in NONE:
            raise DataError(f"{place(code)}: unknown label {label!r}{nearest(label, names)}")
    columns = {name: rows[name] for name in rows.column_names if name not in ("label", "line")}
    if multi_label:
        columns |= _lists(labels, numbers[codes])
    else:
        columns["label"] = pa.array(numbers[codes])
    return VideoIndex(pa.table(columns), names, multi_label=multi_label)


def nearest(wrong: str, names: Sequence[str]) -> str:
    """The end of a message about an unknown name: the nearest valid name, and some others."""
    close = nearest_name(wrong, names)
    hint = f"; did you mean {close!r}?" if close else ";"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{hint} known: {shown}"


def nfc(name: str) -> str:
    """A name in Unicode's composed form, so that names from a Mac and other lists compare equal."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def is_number(text: str) -> bool:
    """Whether the text is an integer, perhaps negative."""
    return text.removeprefix("-").isdecimal()


def _names(
    found: list[str], counts: np.ndarray, videos: int, place: Callable[[int], str]
) -> list[str]:
    """The classes found in the labels themselves; counts: number of each label."""
    real = [(code, label) for code, label in enumerate(found) if label not in NONE]
    given = sum(int(counts[code]) for code, _ in real)
    integers = sum(int(counts[code]) for code, label in real if is_number(label))
    if 2 * integers <= given:
        return sorted({nfc(label) for _, label in real})
    way_out = "data.names=FILE for names that are numbers"
    for code, label in real:
        if not label.isdecimal():
            raise DataError(
                f"{place(code)}: label {label!r} is not a class number like the others; correct "
                f"it, or give {way_out}"
            )
    largest = max(int(label) for _, label in real)
    if largest >= max(LARGEST, videos):
        code = next(code for code, label in real if int(label) == largest)
        raise DataError(
            f"{place(code)}: label {largest} in a list of {videos} videos; correct it, or give "
            f"{way_out}"
        )
    return [str(number) for number in range(largest + 1)]


def _lists(labels: pa.Array, numbers: np.ndarray) -> dict[str, pa.Array]:
    """The columns of a multi-label index, without entries that mean "no label"."""
    lengths = labels.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(labels)), lengths)
    kept = numbers >= 0
    counts = np.bincount(owner[kept], minlength=len(labels))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = numbers[kept]
    first = np.full(len(labels), -1, np.int32)
    first[counts > 0] = values[offsets[:-1][counts > 0]]
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, pa.int32()))
    return {"label": pa.array(first), "labels": lists}


def _row_of(lists: pa.Array, place: int) -> int:
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return int(np.searchsorted(np.cumsum(lengths), place, side="right"))
