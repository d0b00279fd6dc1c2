"""Tables for a terminal: no cell is cut; columns that do not fit go to a table below."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from video_gc.escape import readable

KEY_SHARE = 3
"""Largest share of the width for the first column; longer names are wrapped."""


def fitting(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    title: str | None = None,
    sections: Sequence[int] = (),
) -> Iterator[Table]:
    """One table, or several that begin with the first column, none wider than `width`.

    sections: rows after which a line is drawn. A column too wide alone has its own table, which the
    terminal cuts.
    """
    sizes = [_size(heading, cells) for heading, *cells in zip(headings, *rows, strict=True)]
    key = min(sizes[0], max(width // KEY_SHARE, _word(headings[0])))
    for places in _packed(sizes, key, width):
        table = Table(title=title)
        table.add_column(Text(readable(headings[0])), overflow="fold", min_width=key, max_width=key)
        for place in places:
            heading = "\n".join(wrap(headings[place], sizes[place]))
            table.add_column(Text(heading), justify="right", no_wrap=True)
        for number, row in enumerate(rows, start=1):
            shown = [row[0], *(row[place] for place in places)]
            table.add_row(*(Text(readable(cell)) for cell in shown), end_section=number in sections)
        yield table
        title = None


def _packed(sizes: Sequence[int], key: int, width: int) -> list[list[int]]:
    """Groups of the columns after the first, in order, each as large as the width allows."""
    tables: list[list[int]] = []
    taken = width
    for place, size in enumerate(sizes[1:], start=1):
        if taken + size + 3 > width:  # each cell has two spaces and a line
            tables.append([])
            taken = key + 4
        tables[-1].append(place)
        taken += size + 3
    return tables


def _size(heading: str, cells: Sequence[str]) -> int:
    return max(_word(heading), *map(cell_len, cells), 1)


def _word(text: str) -> int:
    """The length of the longest word."""
    return max(map(cell_len, text.split()), default=1)
