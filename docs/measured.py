"""`python docs/measured.py` writes the tables of docs/measured/*.json into the pages.

A page has `<!-- measured: NAME -->` where those of NAME.json belong, and `<!-- end -->` after them.
`video-gc benchmark NAME --out docs/measured` makes such a file on your machine. A table.json of
`video-gc report` may be copied there, too.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tools")]

from benchmarks.parts.measurement import markdown, table  # noqa: E402

from video_gc.analysis.table.predicted.matrix import Matrix, matrix  # noqa: E402

COSTS = "latency and memory"
"""The note that names the machine; these pages do not have its columns, nor that of the next."""
TRAINED = "time trained"
COLUMNS = ("rows", "difference", "FLOPs", "predicted")
"""Notes on columns that a table of tasks against kinds does not have."""
PART = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """The text of a page with the tables of its files. Raises OSError if one is missing,
    ValueError for marks that do not fit.
    """

    def part(found: re.Match[str]) -> str:
        file = DOCS / "measured" / f"{found[2]}.json"
        content = json.loads(file.read_text("utf-8"))
        text = trainings(content) if "baseline" in content else markdown(content)
        return f"{found[1]}\n{text}\n{found[3]}"

    parts = len(PART.findall(page))
    if not parts == page.count("<!-- measured:") == page.count("<!-- end -->"):
        raise ValueError("each <!-- measured: NAME --> on its line needs its own <!-- end -->")
    return PART.sub(part, page)


def trainings(report: dict[str, Any]) -> str:
    """The rows of a table.json, and what it says of them. Rows of two axes, tasks and kinds, whose
    outcome was predicted become a grid of these.
    """
    rows = report["rows"]
    axis = next((name for row in rows for name in row["values"]), "")
    as_rows: Any = [SimpleNamespace(**row) for row in rows]
    crossed = matrix(as_rows) if any(row["predicted"] for row in rows) else None
    lines = grid(crossed, axis) if crossed else plain(rows, report["baseline"])
    texts = {name: text for name, text in report["notes"].items() if name != TRAINED}
    machine = texts.pop(COSTS, "").partition("on this machine: ")[2].partition(";")[0]
    notes = [f"- {name}: {text}" for name, text in [*texts.items(), ("machine", machine)]
             if text and not (crossed and name in COLUMNS)]  # fmt: skip
    warnings = [f"- warning: {text}" for text in report["warnings"] if "latency" not in text]
    return "\n".join([*lines, "", *warnings, *notes, ""])


def plain(rows: Sequence[dict[str, Any]], baseline: str | None) -> list[str]:
    """A line for each row; without a baseline there are no differences."""
    heads = ["", "seeds", "top-1 of each, %", "mean", *([f"− {baseline} [95 %]"] * bool(baseline)),
             "parameters", "multiply-adds"]  # fmt: skip
    lines = []
    for row in rows:
        found, counted = row["against"], row["costs"]["counted"]
        against = "{difference:+.1f} [{low:+.1f}, {high:+.1f}]".format(**found) if found else ""
        lines.append([
            row["name"], ", ".join(map(str, row["seeds"])), each(row), mean(row),
            *([against] * bool(baseline)),
            f"{counted['parameters']:,}", f"{counted['flops']:,}",
        ])  # fmt: skip
    return table(heads, lines)


def grid(found: Matrix, axis: str) -> list[str]:
    """A line for each value of the first axis, which `axis` names, a column for each of the second;
    other rows below.
    """
    kinds = [kind for kind, _ in found.lines]
    cells = zip(*(row for _, row in found.lines), strict=True)
    lines = [[task, *(short(vars(row)) if row else "" for row in column)]
             for task, column in zip(found.columns, cells, strict=True)]  # fmt: skip
    others = [f"{row.name}: {short(vars(row))}" for row in found.others]
    return [*table([axis, *kinds], lines), *(["", "; ".join(others)] if others else [])]


def short(row: dict[str, Any]) -> str:
    """Mean, and the seeds if there are several."""
    return f"{mean(row)} ({each(row)})" if len(row["seeds"]) > 1 else mean(row)


def each(row: dict[str, Any]) -> str:
    """Top-1 of the seeds."""
    return ", ".join(f"{value:.1f}" for value in row["figures"]["top1 video"]["values"])


def mean(row: dict[str, Any]) -> str:
    """Top-1, with what the report says of its error."""
    found = row["figures"]["top1 video"]
    if found["interval"]:
        return "{:.1f} [{:.1f}, {:.1f}]".format(found["mean"], *found["interval"])
    if found["error"] is None:
        return f"{found['mean']:.1f}"
    mark = " †" if len(row["seeds"]) == 1 else ""  # the report's note on it says: not over seeds
    return f"{found['mean']:.1f} ± {found['error']:.1f}{mark}"


if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        before = page.read_text("utf-8")
        if (after := with_tables(before)) != before:
            page.write_text(after, "utf-8")
            print(page)
