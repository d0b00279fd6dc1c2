"""The rows of an ablation with two axes as a matrix: the first axis across, the second down."""

from collections.abc import Sequence
from dataclasses import dataclass

from video_gc.analysis.table.predicted.outcome import PREDICTED
from video_gc.analysis.table.table import Row

MEANING = (
    "Top-1 of videos, %: mean over seeds [95 % interval of this mean, Student's t], what was "
    "predicted, and its outcome"
)
NONE = "–"
MARK = "✗"
"""Beside an outcome that was not predicted."""
WHITE, FULL = (255, 255, 255), (128, 160, 235)
"""Colours of 0 and 100 %: black text is readable on both."""


@dataclass(frozen=True)
class Matrix:
    """Every row once; a combination of values without a row is None."""

    columns: list[str]
    """values of the first axis"""
    lines: list[tuple[str, list[Row | None]]]
    """value of the second axis, and the row of each column"""
    others: list[Row]
    """rows by name"""

    @property
    def texts(self) -> tuple[list[str], list[list[str]]]:
        """Headings and lines as text; the other rows come last, in the first column."""
        lines = [[name, *(" ".join(cell_parts(row)) for row in rows)] for name, rows in self.lines]
        blank = [""] * (len(self.columns) - 1)
        lines += [[row.name, " ".join(cell_parts(row)), *blank] for row in self.others]
        return ["", *self.columns], lines


def matrix(rows: Sequence[Row]) -> Matrix | None:
    """None unless the rows come from two axes."""
    inside = [row for row in rows if row.values]
    axes = list(dict.fromkeys(axis for row in inside for axis in row.values))
    if len(axes) != 2:
        return None
    across, down = (list(dict.fromkeys(row.values[axis] for row in inside)) for axis in axes)
    places = {(row.values[axes[0]], row.values[axes[1]]): row for row in inside}
    return Matrix(
        columns=across,
        lines=[(name, [places.get((column, name)) for column in across]) for name in down],
        others=[row for row in rows if not row.values],
    )


def panels(rows: Sequence[Row]) -> dict[str, list[tuple[str, Row]]]:
    """Title → the tested rows of a panel and their short names: a panel for each column of the
    matrix and one for the other rows; without a matrix, one for all."""
    found = matrix(rows)
    named: dict[str, list[tuple[str, Row | None]]] = {"": [(row.name, row) for row in rows]}
    if found is not None:
        named = {
            column: [(name, line[at]) for name, line in found.lines]
            for at, column in enumerate(found.columns)
        }
        named["other rows"] = [(row.name, row) for row in found.others]
    tested = {
        title: [(name, row) for name, row in own if row is not None and PREDICTED in row.figures]
        for title, own in named.items()
    }
    return {title: own for title, own in tested.items() if own}


def cell_parts(row: Row | None) -> list[str]:
    """`97.31`, `[96.10, 98.40]` and `≥ 95: yes`; without what is unknown."""
    figure = row.figures.get(PREDICTED) if row else None
    parts = [NONE if figure is None else f"{figure.mean:.2f}"]
    if figure is not None and figure.over_seeds is not None:
        parts.append("[{:.2f}, {:.2f}]".format(*figure.over_seeds))
    if row is not None and row.predicted and row.outcome:
        mark = f" {MARK}" if row.outcome.word == "no" else ""
        parts.append(f"{row.predicted.text}: {row.outcome.word}{mark}")
    return parts


def shade(row: Row | None) -> str:
    """The colour of a cell by its mean, as CSS; white without one."""
    figure = row.figures.get(PREDICTED) if row else None
    share = 0.0 if figure is None else figure.mean / 100
    mixed = (round(a + share * (b - a)) for a, b in zip(WHITE, FULL, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def sentences(rows: Sequence[Row]) -> list[str]:
    """Of each row with a prediction."""
    return [row.outcome.sentence for row in rows if row.outcome]
