"""What the columns of an index hold, and whether those of a file do."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = {
    "path": pa.large_string(),
    "label": pa.int32(),
    "labels": pa.list_(pa.int32()),
    "start": pa.float64(),
    "end": pa.float64(),
    "source_id": pa.large_string(),
}
"""Column → type; path and label are always there and hold no nulls."""


def check_content(table: pa.Table, kept: dict[str, Any]) -> None:
    """Raise ValueError, TypeError or KeyError for what no index holds."""
    names, texts = kept["names"], [kept["root"], *kept["names"]]
    if not all(isinstance(text, str) for text in texts) or not isinstance(names, list):
        raise TypeError("names and root must be text")
    if not isinstance(kept["multi_label"], bool) or not isinstance(kept["about"], dict):
        raise TypeError("multi_label or about is of another type")
    if kept["multi_label"] and "labels" not in table.column_names:
        raise KeyError("labels")
    for column in table.column_names:
        if table[column].type != COLUMNS[column]:
            raise TypeError(f"{column} is {table[column].type}")
    if table["path"].null_count or table["label"].null_count:
        raise ValueError("a path or label is null")
    numbers = [(table["label"], -1)]
    if "labels" in table.column_names:
        numbers.append((pc.list_flatten(table["labels"]), 0))
    for column, least in numbers:
        span = pc.min_max(column).as_py()
        known = not len(column) or least <= span["min"] <= span["max"] < len(names)
        if column.null_count or not known:
            raise ValueError("a class number has no name")
