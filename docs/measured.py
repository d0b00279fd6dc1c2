"""`python docs/measured.py` writes the tables of docs/measured/*.json into the pages.

A page has `<!-- measured: NAME -->` where those of NAME.json belong, and `<!-- end -->` after them.
`video-gc benchmark NAME --out docs/measured` makes such a file on your machine. A table.json of
`video-gc report` may be copied there, too.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tools")]

from benchmarks.parts.measurement import markdown, table  # noqa: E402

SPLIT = " · "
"""Between the axes of an ablation in the names of its rows."""
COSTS = "latency and memory"
"""The note that names the machine; these pages do not have its columns."""
COLUMNS = ("rows", "difference", "FLOPs", "time trained", "predicted")
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
    """The rows of a table.json, or tasks against kinds if that is what its rows are, and the notes
    that say what they are.
    """
    rows = report["rows"]
    kinds = Counter(row["name"].partition(SPLIT)[2] for row in rows)
    crossed = [kind for kind, count in kinds.items() if kind and count > 1]
    lines = grid(rows, crossed) if crossed else plain(rows, report["baseline"])
    texts = dict(report["notes"])
    texts["machine"] = texts.pop(COSTS).partition("on this machine: ")[2]
    notes = [f"- {name}: {text}" for name, text in texts.items()
             if not (crossed and name in COLUMNS)]  # fmt: skip
    return "\n".join([*lines, "", *notes, ""])


def plain(rows: Sequence[dict[str, Any]], baseline: str | None) -> list[str]:
    """A line for each row."""
    heads = ["", "seeds", "top-1 of each, %", "mean", f"− {baseline or 'none'} [95 %]",
             "parameters", "multiply-adds", "trained in, s"]  # fmt: skip
    lines = []
    for row in rows:
        against, counted = row["against"], row["costs"]["counted"]
        lines.append([
            row["name"],
            ", ".join(map(str, row["seeds"])),
            each(row),
            mean(row),
            f"{against['difference']:+.1f} [{against['low']:+.1f}, {against['high']:+.1f}]"
            if against else "",
            f"{counted['parameters']:,}", f"{counted['flops']:,}", f"{row['seconds']:.0f}",
        ])  # fmt: skip
    return table(heads, lines)


def grid(rows: Sequence[dict[str, Any]], kinds: Sequence[str]) -> list[str]:
    """Rows named TASK · KIND as a line for each task; then those of other kinds."""
    found = {row["name"]: f"{mean(row)} ({each(row)})" if len(row["seeds"]) > 1 else mean(row)
             for row in rows}  # fmt: skip
    tasks = dict.fromkeys(
        task for task, _, kind in (name.partition(SPLIT) for name in found) if kind in kinds
    )
    lines = [[task, *(found.get(f"{task}{SPLIT}{kind}", "") for kind in kinds)] for task in tasks]
    others = [f"`{name}` {text}" for name, text in found.items()
              if name.partition(SPLIT)[2] not in kinds]  # fmt: skip
    return [*table(["task", *kinds], lines), "", "; ".join(others)]


def each(row: dict[str, Any]) -> str:
    """Top-1 of the seeds."""
    return ", ".join(f"{value:.1f}" for value in row["figures"]["top1 video"]["values"])


def mean(row: dict[str, Any]) -> str:
    """Top-1, with what the report says of its error."""
    found = row["figures"]["top1 video"]
    if found["interval"]:
        return "{:.1f} [{:.1f}, {:.1f}]".format(found["mean"], *found["interval"])
    error = "" if found["error"] is None else f" ± {found['error']:.1f}"
    return f"{found['mean']:.1f}{error}"


if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        before = page.read_text("utf-8")
        if (after := with_tables(before)) != before:
            page.write_text(after, "utf-8")
            print(page)
