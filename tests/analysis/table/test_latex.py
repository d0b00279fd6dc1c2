"""table.tex, read by a small reader of LaTeX of our own: no TeX is needed to run this."""

import re
from dataclasses import replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.analysis.table.making import make_run, shares
from video_gc.analysis.table.files import LATEX_SIGNS, latex
from video_gc.analysis.table.gather import collect
from video_gc.analysis.table.make_table import make_table
from video_gc.analysis.table.table import Table

SPECIAL = r"\{}&%$#_~^<>|[]*-±†–−×·Δ²³→≤≥µ°…" + " ab1'\"`"
PRINTED = {
    **{rf"\{name}{{}}": sign for name, sign in (
        ("textbackslash", "\\"), ("textasciitilde", "~"), ("textasciicircum", "^"),
        ("textless", "<"), ("textgreater", ">"), ("textbar", "|"), ("ldots", "…"),
    )},
    **{rf"\{sign}": sign for sign in "{}&%$#_"},
    **{f"${command}$": sign for command, sign in (
        (r"\pm", "±"), (r"^\dagger", "†"), ("-", "−"), (r"\times", "×"), (r"\cdot", "·"),
        (r"\Delta", "Δ"), ("^2", "²"), ("^3", "³"), (r"\to", "→"), (r"\le", "≤"), (r"\ge", "≥"),
        (r"\mu", "µ"), (r"^\circ", "°"),
    )},
    "{[}": "[", "{*}": "*", "{}": "", "--": "–",
}  # fmt: skip
"""What LaTeX prints for a command, as its manuals say it."""
TOKEN = re.compile("|".join(map(re.escape, sorted(PRINTED, key=len, reverse=True))) + "|.", re.S)


def read(cell: str) -> str:
    """The text that LaTeX prints for a cell; fails for what it would take for a command."""
    found = ""
    for token in TOKEN.findall(cell):
        assert token in PRINTED or token not in "\\{}&%$#_~^<>|", f"{token} in {cell}"
        found += PRINTED.get(token, token)
    return found


def named(table: Table, names: list[str]) -> list[str]:
    rows = [replace(row, name=name) for row, name in zip(table.rows, names, strict=True)]
    return latex(replace(table, rows=rows)).splitlines()


def two_rows(home: Path) -> Table:
    make_run(home / "a", shares(50))
    make_run(home / "b", shares(60), kind="gc")
    return make_table(collect([home]), home, measure=False, resamples=100)


def test_any_row_name_is_printed_as_it_is(tmp_path: Path) -> None:
    table = two_rows(tmp_path)

    @example("a-–b---", "––$")
    @settings(max_examples=20)
    @given(st.text(SPECIAL, min_size=1), st.text(SPECIAL, min_size=1))
    def check(first: str, second: str) -> None:
        names = [" ".join(name.split()) for name in (first, second)]
        body = [line for line in named(table, names) if not line.startswith("%")]
        assert body[0].startswith(r"\begin{tabular}{l")
        assert [body[1], body[3], *body[-2:]] == [
            r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}",
        ]  # fmt: skip
        columns = body[0].count("r", len(r"\begin{tabular}"))
        for line, name in zip(body[4:-2], names, strict=True):
            assert line.endswith(r" \\")
            cells = line.removesuffix(r" \\").split(" & ")
            assert len(re.findall(r"(?<!\\)&", line)) == columns
            assert line[0] not in "[*"  # the row before, or the rule, would take it
            assert read(cells[0]) == name

    check()


def test_every_sign_is_known_to_the_reader_and_foreign_letters_are_said(tmp_path: Path) -> None:
    assert {read(command) for command in LATEX_SIGNS.values()} == set(LATEX_SIGNS)
    table = two_rows(tmp_path)
    assert "lualatex" not in latex(table)
    text = "\n".join(named(table, ["跳ぶ é", "a²"]))
    assert "% for ぶ 跳: lualatex or xelatex" in text
