"""CONTRIBUTING.md leads to files that exist and speak of what is looked for."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_what_the_table_names_is_in_the_files_that_it_names() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = text.partition("## Where is it?")[2].partition("## ")[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| ")][1:]
    assert len(rows) > 20
    for what, where, _ in rows:
        files = re.findall(r"`([\w/]+\.[\w.]+)`", where)
        assert files, what
        found = "".join((ROOT / "video_gc" / file).read_text(encoding="utf-8") for file in files)
        words = re.findall(r"\w[\w.-]{2,}", what)
        assert any(word.lower() in found.lower() for word in words), (what, files)


def test_american_spellings_are_found() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for word in ("normalize", "normalization", "color", "center", "gray", "warmup"):
        assert re.search(rf"\b{word}\b", text), word
