"""tools/report.py over several runs, as its users run it."""

import re
from pathlib import Path

import pytest

from tests.analysis.table.conftest import networks_are_counted_once  # noqa: F401 - a fixture
from tests.analysis.table.making import make_run, shares
from tests.conftest import slow
from video_gc.analysis.table.gather import table_folder
from video_gc.outputs import read_csv


def test_a_folder_of_runs_is_one_table(tool, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make_run(tmp_path / "none", shares(40))
    make_run(tmp_path / "gc_s0", shares(60), kind="gc")
    make_run(tmp_path / "gc_s1", None, kind="gc", seed=1)
    status, _, err = tool("report", tmp_path, "--no-measure")
    assert status == 0
    assert "Runs: 2 of 3 trainings are tested" in err
    assert "1 of 2" in err
    assert "note: gc one: 1 of 2 seeds; gc_s1: trained, not tested yet" in err
    assert "gc one − none: +20.00 points of top-1 (95 % interval +" in err
    for name in ("table.md", "table.csv", "table.tex", "table.json", "report.html"):
        assert (tmp_path / "table" / name).is_file()
        assert f"{tmp_path}/table/{name}" in err


def test_tables_of_other_runs_have_other_folders_and_rows_say_their_runs(  # type: ignore[no-untyped-def]
    tool, tmp_path: Path
) -> None:
    for name, kind in (("first", "none"), ("second", "gc"), ("third", "nl")):
        make_run(tmp_path / name, shares(40), kind=kind)
    for other in ("second", "third"):
        _, _, err = tool("report", tmp_path / "first", tmp_path / other, "--no-measure")
        assert f"{tmp_path}/table_first_{other}/table.md" in err
        assert other in err.split("trainings are tested")[1].split("row")[0]
    _, rows = read_csv(tmp_path / "table_first_second" / "table.csv")
    assert [(row["row"], row["runs"]) for row in rows] == [
        ("none", "first"),
        ("gc one", "second"),
    ]
    page = (tmp_path / "table_first_second" / "report.html").read_text()
    assert re.search(r"gc one</th>\s*<td[^>]*>second</td>", page)


def test_the_folder_of_a_table_of_many_runs_has_a_short_name() -> None:
    names = [Path(f"runs/a_long_name_of_a_training_{number}") for number in range(9)]
    found = {table_folder(names), table_folder(names[:8])}
    assert len(found) == 2
    assert max(map(len, found)) < 100


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none", "nowhere"], 2, "nowhere: no such run directory, ablation or folder of runs"),
        (["nowhere"], 2, "nowhere: no such run directory, ablation or folder of runs; make runs"),
        (["none/config.yaml"], 2, "none/config.yaml: a file, not a run directory"),
        (["empty"], 2, "empty: no run and no ablation.json in it"),
        (["none", "gc", "--baseline", "nl"], 2, "no such row; the rows are none, gc one"),
        (["none", "--out", "x"], 2, "--out is for a table, but none is one run"),
        (["gc", "untested"], 0, "the baseline row, none, is not tested: no differences"),
        slow(["untested", "untested/.."], 0, "untested: trained, not tested yet"),
        (["only"], 1, "none of 1 trainings is tested (a: trained, not tested yet)"),
    ],
)
def test_what_cannot_be_a_table(
    tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, status, message
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    make_run(Path("none"), shares(40))
    make_run(Path("gc"), shares(60), kind="gc")
    make_run(Path("untested"), None, seed=3)
    make_run(Path("only") / "a", None)
    Path("empty").mkdir()
    if "--baseline" not in arguments and status == 0:
        arguments = [*arguments, "--no-measure"]
        if arguments[0] == "gc":
            arguments += ["--baseline", "none"]
    found, _, err = tool("report", *arguments)
    assert message in err
    assert err.count("error:") == (status != 0)
    assert found == status
