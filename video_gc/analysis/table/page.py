"""The table as one HTML page that needs no network: sortable, with plots and the confusions."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from video_gc.analysis.html import render
from video_gc.analysis.logs import read_metrics
from video_gc.analysis.table.colours import colour
from video_gc.analysis.table.columns import NONE, Column, columns
from video_gc.analysis.table.confusions import confusions
from video_gc.analysis.table.gather import Group
from video_gc.analysis.table.plots import NAMED, accuracy_plots, curve_plots
from video_gc.analysis.table.table import Row, Table
from video_gc.outputs import write_output

PAGE = "report.html"


def write_page(table: Table, groups: Sequence[Group], out: Path) -> Path:
    """Write OUT/report.html and return its path. groups: those that `table` was made of."""
    shown = columns(table)
    confused = confusions(groups)
    names = [] if confused is None else [name for name, _, _ in confused.rows]
    page = render(
        "table/page.html.j2",
        table=table,
        columns=shown,
        rows=[_row(place, row, shown, out) for place, row in enumerate(table.rows)],
        verdicts=[row.against.sentence for row in table.rows if row.against],
        plots=accuracy_plots(table),
        named=len(table.rows) <= NAMED,
        several=any(len(row.runs) > 1 for row in table.rows),
        curves=curve_plots(
            [group.name for group in groups],
            [[read_metrics(run.home / "logs") for run in group.tested] for group in groups],
        ),
        confusions=names,
        chosen=_chosen(names, table.baseline),
        data={} if confused is None else asdict(confused),
    )
    return write_output(out / PAGE, page)


def _row(place: int, row: Row, shown: Sequence[Column], out: Path) -> dict[str, Any]:
    cells = [
        {"text": column.text(row), "value": column.value(row), "kind": _kind(column, row)}
        for column in shown
    ]
    runs = [_run(Path(home), out) for home in row.runs]
    return {
        "name": row.name,
        "colour": colour(place),
        "cells": cells,
        "runs": runs,
        "settings": row.settings,
        "absent": row.absent,
    }


def _kind(column: Column, row: Row) -> str:
    """The class of a cell in the style sheet."""
    if column.part == "reported":
        return "ours-not"
    if column.heading == "verdict" and column.text(row) != NONE:
        return column.text(row).split()[0]
    return ""


def _run(home: Path, out: Path) -> dict[str, str]:
    """Links from the page, so that the folder of all runs can be moved as one."""
    return {
        "name": home.resolve().name,
        "link": _link(home, out) + "/",
        "report": _link(home / PAGE, out) if (home / PAGE).is_file() else "",
    }


def _link(file: Path, out: Path) -> str:
    relative = Path(os.path.relpath(file.resolve(), out.resolve())).as_posix()
    return quote(relative if relative.startswith(".") else f"./{relative}")


def _chosen(names: Sequence[str], baseline: str | None) -> tuple[str, str]:
    """The two rows whose confusions are shown first."""
    if len(names) < 2:
        return "", ""
    first = baseline if baseline is not None and baseline in names else names[0]
    return first, next(name for name in names if name != first)
