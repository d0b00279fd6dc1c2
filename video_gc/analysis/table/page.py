"""The table as one self-contained HTML page: sortable, with plots and confusions."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from video_gc.analysis.html import render
from video_gc.analysis.table.columns import columns
from video_gc.analysis.table.explanation import explain
from video_gc.analysis.table.gather import Group
from video_gc.analysis.table.plots import NAMED, accuracy_plots, colour, curve_plots
from video_gc.analysis.table.predicted.matrix import MEANING, cell_parts, matrix, sentences, shade
from video_gc.analysis.table.predicted.plot import prediction_plot
from video_gc.analysis.table.table import Table
from video_gc.outputs import write_output
from video_gc.train.resume.run_directory import read_metrics

PAGE = "report.html"


@dataclass(frozen=True)
class Confusions:
    """The confusions of each row, for all rows whose videos have one label each."""

    classes: list[str]
    rows: list[tuple[str, int, list[int]]]
    """name, runs, and (true, predicted, videos) of each pair over all its runs, one after
    another"""


def write_page(table: Table, groups: Sequence[Group], out: Path) -> Path:
    """Write OUT/report.html and return its path. groups: the groups in `table`."""
    confused = confusions(groups)
    names = [] if confused is None else [name for name, _, _ in confused.rows]
    first = table.baseline if table.baseline in names else next(iter(names), None)
    found, said = matrix(table.rows), sentences(table.rows)
    page = render(
        "table/page.html.j2",
        table=table,
        explanation=explain(table, groups),
        columns=columns(table),
        colour=colour,
        runs=[[_run(Path(home), out) for home in row.runs] for row in table.rows],
        plots=accuracy_plots(table),
        matrix=found,
        cell={"meaning": MEANING, "parts": cell_parts, "shade": shade},
        predicted=said,
        prediction=prediction_plot(table.rows) if found or said else None,
        named=len(table.rows) <= NAMED,
        curves=curve_plots(
            [group.name for group in groups],
            [
                [read_metrics(home / "logs") for run in group.tested for home in run.homes]
                for group in groups
            ],
        ),
        confusions=names,
        chosen=(first, next((name for name in names if name != first), None)),
        data={} if confused is None else asdict(confused),
    )
    return write_output(out / PAGE, page)


def confusions(groups: Sequence[Group]) -> Confusions | None:
    """None if fewer than two rows have them."""
    counted: list[tuple[str, int, Counter[tuple[str, str]]]] = []
    for group in groups:
        tests = [test for test in group.tests if not test.multi_label]
        pairs = Counter(
            (label, top[0])
            for test in tests
            for label, top in zip(test.labels, test.top, strict=True)
        )
        if tests:
            counted.append((group.name, len(tests), pairs))
    if len(counted) < 2:
        return None
    classes = sorted({name for _, _, pairs in counted for pair in pairs for name in pair})
    numbers = {name: number for number, name in enumerate(classes)}
    rows = []
    for row, several, pairs in counted:
        flat = [(numbers[true], numbers[said], n) for (true, said), n in sorted(pairs.items())]
        rows.append((row, several, [value for triple in flat for value in triple]))
    return Confusions(classes, rows)


def _run(home: Path, out: Path) -> dict[str, str]:
    """Relative links of the page, so the folder of all runs can be moved as one."""
    return {
        "name": home.resolve().name,
        "link": _link(home, out) + "/",
        "report": _link(home / PAGE, out) if (home / PAGE).is_file() else "",
    }


def _link(file: Path, out: Path) -> str:
    relative = Path(os.path.relpath(file.resolve(), out.resolve())).as_posix()
    return quote(relative if relative.startswith(".") else f"./{relative}")
