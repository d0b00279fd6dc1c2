"""A stranger's name is shown as text: in a terminal, in a table, in a page, in a spreadsheet."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

import video_gc
from video_gc.analysis.html import render
from video_gc.analysis.terminal import fitting
from video_gc.escape import csv_cell, csv_text, readable, short_name
from video_gc.outputs import read_csv, write_csv
from video_gc.progress import Screen, counted

PACKAGE = Path(video_gc.__file__).parent
HOSTILE = "=cmd|' /C calc'!A0 \x1b]0;owned\x07\x1b[31m[red]x[/red]:smile: <b>&$\\frac{a}{b}$\u202e\r\ud880"


@given(st.text())
def test_what_is_readable_is_one_line_that_can_be_printed(text: str) -> None:
    shown = readable(text)
    shown.encode()
    assert "".join(shown.splitlines()) == shown
    assert all(sign.isprintable() or sign.isspace() or ord(sign) > 0xFF for sign in shown)
    assert readable(shown) == shown


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    cell = str(csv_cell(text))
    assert not cell.startswith(("=", "@", "\t", "\r"))
    assert not cell.startswith(("+", "-")) or float(cell) == float(cell) or cell[1:] == "nan"
    assert csv_text(cell) == readable(text) or cell == text


def test_numbers_stay_numbers() -> None:
    assert [csv_cell(value) for value in (-1.5, 3, "-0.25", None)] == [-1.5, 3, "-0.25", None]


def test_every_csv_file_is_of_such_cells(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", [HOSTILE, "b"], [[Path(HOSTILE), -1.5], ["'", "-2"]])
    assert not set(file.read_bytes()) & set(b"\x1b\x07")
    with file.open(newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "-"))] == ["-1.5", "-2"]
    name = readable(HOSTILE)
    header, rows = read_csv(file)
    assert header == [name, "b"]
    assert rows == [{name: name, "b": "-1.5"}, {name: "'", "b": "-2"}]
    writers = [f.name for f in PACKAGE.rglob("*.py") if "csv.writer" in f.read_text()]
    assert writers == ["outputs.py"]


def test_a_screen_shows_names_as_they_stand() -> None:
    stream = io.StringIO()
    screen = Screen(file=stream, width=300, force_terminal=True, color_system=None)
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    screen.print(HOSTILE, table, *fitting([HOSTILE], [[HOSTILE]], 300), soft_wrap=True)
    shown = stream.getvalue()
    assert shown.count("[red]x[/red]:smile:") == 4  # the last table folds them
    assert not set(shown) & set("\x1b\x07\u202e\r\ud880")


def test_a_page_shows_names_as_they_stand() -> None:
    page = render("base.html.j2", title=HOSTILE)
    assert "<b>" not in page.partition("</title>")[0]
    assert not set(page) & set("\x1b\x07\u202e\r\ud880")


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_a_terminal_that_knows_less_than_utf_8(encoding: str) -> None:
    program = (
        "from video_gc.cli import run_tool\n"
        "from video_gc.progress import say\n"
        "run_tool(lambda: (print('видео – 日本 😀'), say('видео – 日本 😀'), 0)[2])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={"PYTHONIOENCODING": encoding}
    )
    assert (done.returncode, done.stdout.count(b"\n"), done.stderr.count(b"\n")) == (0, 1, 1)


def test_one_thing_has_no_s() -> None:
    said = [counted(0, "video"), counted(1, "video"), counted(1234, "class"), counted(1, "class")]
    assert said == ["0 videos", "1 video", "1,234 classes", "1 class"]


def test_a_number_after_a_name_stays_after_it() -> None:
    """Without the mark, the line "name 50%" of a name in Arabic is shown as 50 name%."""
    assert short_name("الجري") == "الجري\u200e"
    assert short_name("x" * 60 + "ץ") == f"{'x' * 20}…{'x' * 18}ץ\u200e"
    assert short_name("Müller 跑步") == "Müller 跑步"
