import io
from pathlib import Path

from rich.console import Console

from tests.analysis.table.making import make_run, shares
from video_gc.analysis.table.files import cells
from video_gc.analysis.table.gather import collect
from video_gc.analysis.table.make_table import make_table
from video_gc.analysis.terminal import fitting

LONG = "gc res3.1+res3.3+res4.1+res4.3+res4.5 after_1x1 reduction=16"


def printed(headings: list[str], rows: list[list[str]], width: int) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    for table in fitting(headings, rows, width):
        console.print(table)
    return stream.getvalue().splitlines()


def test_a_table_of_runs_has_every_cell_whole_on_one_line(tmp_path: Path) -> None:
    for seed, right in enumerate((40, 44)):
        make_run(tmp_path / f"none_{seed}", shares(right), seed=seed)
    make_run(tmp_path / "gc", shares(60), kind="gc")
    table = make_table(collect([tmp_path]), tmp_path, measure=False, resamples=100)
    headings, rows = cells(table)
    rows[1][0] = LONG
    assert "60.00 ± 4.90†" in rows[1]
    for width in (80, 200):
        lines = printed(headings, rows, width)
        assert max(map(len, lines)) <= width
        for row in rows:
            for cell in row[1:]:
                assert any(f" {cell} │" in line for line in lines), cell
        names = "".join(line.split("│")[1].strip() for line in lines if line.startswith("│"))
        assert LONG.replace(" ", "") in names.replace(" ", "")


def test_what_does_not_fit_goes_on_below_under_the_same_names() -> None:
    rows = [["none", "a" * 20, "b" * 20, "c" * 20], ["gc", "d" * 20, "e" * 20, "f" * 20]]
    for width, tables in ((200, 1), (77, 1), (76, 2), (40, 3)):
        lines = printed(["", "first", "second", "third"], rows, width)
        assert sum("none" in line for line in lines) == tables, width
        assert max(map(len, lines)) <= width
        assert sum("f" * 20 in line for line in lines) == 1
