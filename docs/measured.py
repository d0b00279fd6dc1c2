"""`python docs/measured.py` writes the tables of docs/measured/*.json into the pages.

A page has `<!-- measured: NAME -->` where those of NAME.json belong, and `<!-- end -->` after them.
`video-gc benchmark NAME --out docs/measured` makes such a file on your machine.
"""

import json
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tools")]

from benchmarks.measurement import markdown  # noqa: E402

PART = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """The text of a page with the tables of its files. Raises OSError if one is missing,
    ValueError for marks that do not fit.
    """

    def part(found: re.Match[str]) -> str:
        file = DOCS / "measured" / f"{found[2]}.json"
        return f"{found[1]}\n{markdown(json.loads(file.read_text('utf-8')))}\n{found[3]}"

    parts = len(PART.findall(page))
    if not parts == page.count("<!-- measured:") == page.count("<!-- end -->"):
        raise ValueError("each <!-- measured: NAME --> on its line needs its own <!-- end -->")
    return PART.sub(part, page)


if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        before = page.read_text("utf-8")
        if (after := with_tables(before)) != before:
            page.write_text(after, "utf-8")
            print(page)
