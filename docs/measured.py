"""`python docs/measured.py` writes the tables of docs/measured/*.json into the pages.

A page has `<!-- measured: NAME -->` where those of NAME.json belong, and `<!-- end -->` after them.
`video-gc benchmark NAME --out docs/measured` makes such a file on your machine. A table.json of
`video-gc report` may be copied there, too.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tools")]

from benchmarks.parts.measurement import markdown, table  # noqa: E402

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
    """The rows of a table.json, and the notes that say what they are."""
    heads = ["", "seeds", "top-1 of each, %", "mean", f"− {report['baseline']} [95 %]",
             "parameters", "multiply-adds", "trained in, s"]  # fmt: skip
    lines = []
    for row in report["rows"]:
        found, against, counted = (
            row["figures"]["top1 video"],
            row["against"],
            row["costs"]["counted"],
        )
        lines.append([
            row["name"],
            ", ".join(map(str, row["seeds"])),
            ", ".join(f"{value:.1f}" for value in found["values"]),
            f"{found['mean']:.1f} ± {found['error']:.1f}",
            f"{against['difference']:+.1f} [{against['low']:+.1f}, {against['high']:+.1f}]"
            if against else "",
            f"{counted['parameters']:,}", f"{counted['flops']:,}", f"{row['seconds']:.0f}",
        ])  # fmt: skip
    notes = [f"- {name}: {text}" for name, text in report["notes"].items()]
    return "\n".join([*table(heads, lines), "", *notes, ""])


if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        before = page.read_text("utf-8")
        if (after := with_tables(before)) != before:
            page.write_text(after, "utf-8")
            print(page)
