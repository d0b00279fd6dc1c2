"""The group of each video: what it was cut from or shows, such as a source video, person or match.

Clips of one group look alike, so a split that divides a group gives scores that are too high. A
table names groups in its column `group`; official files contain them; a pattern finds them in
paths. If there is a pattern, it alone counts.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import pyarrow as pa
import pyarrow.compute as pc

from video_gc.data.index import COLUMNS, DataError, VideoIndex

COLUMN = "group"
"""In a table with names in its first line, and in an index."""


def with_groups(
    index: VideoIndex, pattern: str | None, option: str = "data.group=PATTERN"
) -> VideoIndex:
    """The index with the groups that `pattern` finds; without a pattern, with those it has.

    pattern: a regular expression, searched in each path as the index has it: CLASS/…/video in a
        folder, the text of a list. Its first group that took part is the name of the video's group,
        else the whole match.
    option: the user's option for the pattern, for messages.

    Raises DataError with the first video without a group.
    """
    if pattern is None:
        _check_column(index, option)
        return index
    paths = index.table["path"].to_pylist()
    column = pa.array(found_groups(paths, pattern), COLUMNS[COLUMN])
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise DataError(
            f"{index.path(row)}: the pattern {pattern!r} ({option}) finds no group in "
            f"{paths[row]!r}, like {column.null_count:,} of {len(index):,} videos; correct the "
            f"pattern, rename the file, or give a table with a column {COLUMN!r}"
        )
    table = index.table
    if COLUMN in table.column_names:
        table = table.drop_columns(COLUMN)
    return VideoIndex(
        table.append_column(COLUMN, column),
        index.names,
        root=index.root,
        multi_label=index.multi_label,
    )


def found_groups(paths: Sequence[str], pattern: str) -> list[str | None]:
    """The group that the pattern finds in each path; None if it finds none, or an empty one."""
    matches = map(re.compile(pattern).search, paths)
    return [match and (_took_part(match) or None) for match in matches]


def _took_part(match: re.Match[str]) -> str:
    """The first group that took part, even if it is empty; the whole match if none did."""
    return str(next((text for text in match.groups() if text is not None), match[0]))


def group_in_two_splits(splits: Mapping[str, VideoIndex]) -> str | None:
    """A warning that names the first group with videos in two splits; None without such a group.

    splits: name in the message → its videos. One list given twice is meant so, and not told.
    """
    named = {
        split: index.table for split, index in splits.items() if COLUMN in index.table.column_names
    }
    first, divided = None, set()
    for (one, own), (other, others) in combinations(named.items(), 2):
        if own.equals(others):
            continue
        groups = pc.unique(own[COLUMN]).drop_null()
        both = groups.filter(pc.is_in(groups, value_set=pc.unique(others[COLUMN]))).to_pylist()
        if both and first is None:
            first = f"group {both[0]!r} has {one} and {other} videos"
        divided |= set(both)
    if first is None:
        return None
    return (
        f"{first} ({len(divided):,} groups lie in two splits): clips of one group look alike, so "
        "scores will be too high; put all videos of a group in one split"
    )


def group_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A table's column as text; null where it is empty."""
    text = pc.utf8_trim_whitespace(column.cast(COLUMNS[COLUMN]))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)


def _check_column(index: VideoIndex, option: str) -> None:
    if COLUMN not in index.table.column_names:
        return
    column = index.table[COLUMN]
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise DataError(
            f"{index.path(row)}: the column {COLUMN!r} is empty, like in {column.null_count:,} of "
            f"{len(index):,} videos; fill it in (a name of its own for a video alone), rename the "
            f"column, or give {option}"
        )
