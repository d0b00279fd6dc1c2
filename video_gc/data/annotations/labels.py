"""Labels as they are written → class numbers, and what is said about one that is unknown."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from video_gc.data.index import DataError, VideoIndex

NONE = ("", "-1")
"""How lists write that a video has no label."""


def number_labels(
    rows: pa.Table,
    file: Path,
    names: Sequence[str] | None,
    *,
    multi_label: bool = False,
    line: Callable[[int], str],
) -> VideoIndex:
    """Columns path and label as text (or lists of text) → an index; other columns are kept.

    names: class names, in order. Without them labels that are all integers are class numbers (and
        their own names), and other labels are names, sorted. With them a label that is no name may
        be a number.
    line: what to call a row in a message, such as "line 12".

    Raises DataError naming the first unknown label.
    """
    labels = _one_array(rows["label"])
    flat = labels.flatten() if multi_label else labels
    encoded = flat.dictionary_encode()
    found: list[str] = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    if names is None:
        names = _names(found)
    numbers = np.full(len(found) + 1, -1, np.int32)
    known = {name: number for number, name in enumerate(names)}
    for code, label in enumerate(found):
        if label in known:
            numbers[code] = known[label]
        elif label.isdigit() and int(label) < len(names):
            numbers[code] = int(label)
        elif label not in NONE:
            place = int(np.flatnonzero(codes == code)[0])
            row = _row_of(labels, place) if multi_label else place
            raise DataError(f"{file}, {line(row)}: unknown label {label!r}{nearest(label, names)}")
    columns = {name: rows[name] for name in rows.column_names if name not in ("label", "line")}
    if multi_label:
        columns |= _lists(labels, numbers[codes])
    else:
        columns["label"] = pa.array(numbers[codes])
    return VideoIndex(pa.table(columns), names, multi_label=multi_label)


def nearest(wrong: str, names: Sequence[str]) -> str:
    """The end of a message about an unknown name: the nearest valid one, and some others."""
    close = difflib.get_close_matches(wrong, names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{hint} known: {shown}"


def _names(found: list[str]) -> list[str]:
    real = [label for label in found if label not in NONE]
    if real and all(label.isdigit() for label in real):
        return [str(number) for number in range(max(map(int, real)) + 1)]
    return sorted(real)


def _lists(labels: pa.Array, numbers: np.ndarray) -> dict[str, pa.Array]:
    """The columns of a multi-label index; entries that mean "no label" are dropped."""
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


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()
