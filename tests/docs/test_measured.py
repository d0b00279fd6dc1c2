"""The tables of measurements in the pages are those of the JSON files."""

import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docs" / "measured").glob("*.json"))
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def measured() -> ModuleType:
    spec = spec_from_file_location("measured", ROOT / "docs" / "measured.py")
    assert spec is not None
    assert spec.loader is not None
    module, before = module_from_spec(spec), list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_pages_have_the_tables_of_the_files(measured: ModuleType) -> None:
    used = []
    for page in PAGES:
        text = page.read_text("utf-8")
        used += [found[2] for found in measured.PART.finditer(text)]
        assert measured.with_tables(text) == text, f"{page.name}: run python docs/measured.py"
    assert sorted(used) == [file.stem for file in FILES]


def test_another_table_is_written(measured: ModuleType) -> None:
    name = FILES[0].stem
    page = f"# Page\n<!-- measured: {name} -->\nold\n<!-- end -->\nafter\n"
    written = measured.with_tables(page)
    assert "old" not in written
    assert written.endswith("<!-- end -->\nafter\n")
    assert measured.with_tables(written) == written


@pytest.mark.parametrize(
    "page",
    ["<!-- measured: a -->\n", "<!-- end -->\n", "<!-- measured: a-b -->\n<!-- end -->\n"],
)
def test_marks_that_do_not_fit_are_said(page: str, measured: ModuleType) -> None:
    with pytest.raises(ValueError, match="needs its own"):
        measured.with_tables(page)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_name_command_and_machine_but_no_place(file: Path) -> None:
    text = file.read_text("utf-8")
    content = json.loads(text)
    if "baseline" in content:  # of a report
        assert re.search("processor .* python .* torch", content["notes"]["latency and memory"])
        assert all(row["figures"]["top1 video"]["values"] for row in content["rows"])
    else:
        assert content["command"].startswith("video-gc benchmark ")
        assert {"processor", "torch", "python"} <= content["machine"].keys()
    assert not re.search(r"(?<![\w.)\]])/\w+/", text), "a path of the machine"


def row(name: str, seeds: list[float], **values: Any) -> dict[str, Any]:
    """One of a table.json."""
    figure = {"values": seeds, "mean": sum(seeds) / len(seeds), "error": 1.5, "interval": None}
    return {
        "name": name, "seeds": [*range(len(seeds))], "figures": {"top1 video": figure},
        "against": None, "costs": {"counted": {"parameters": 1234, "flops": 5678}},
        "values": {}, "predicted": None,
    } | values  # fmt: skip


def report(*rows: dict[str, Any], baseline: str | None = None) -> dict[str, Any]:
    notes = {"rows": "which", "latency and memory": "of … on this machine: fast, 2; busy",
             "time trained": "wall time"}  # fmt: skip
    return {
        "rows": rows,
        "baseline": baseline,
        "notes": notes,
        "warnings": ["unlike", "a busy latency"],
    }


def test_rows_of_a_report(measured: ModuleType) -> None:
    better = {"difference": 20.0, "low": 10.04, "high": 31.0}
    folds = {"values": [60.0], "mean": 60.0, "error": None, "interval": [45.5, 75.0]}
    text = measured.trainings(report(
        row("none", [30.0, 50.0]), row("GC", [60.0], against=better, figures={"top1 video": folds}),
        baseline="none",
    ))  # fmt: skip
    assert text.splitlines()[2:] == [
        "| none | 0, 1 | 30.0, 50.0 | 40.0 ± 1.5 |  | 1,234 | 5,678 |",
        "| GC | 0 | 60.0 | 60.0 [45.5, 75.0] | +20.0 [+10.0, +31.0] | 1,234 | 5,678 |",
        "", "- warning: unlike", "- rows: which", "- machine: fast, 2",
    ]  # fmt: skip
    sure = {"values": [100.0], "mean": 100.0, "error": None, "interval": None}
    alone = measured.trainings(report(row("GC", [100.0], figures={"top1 video": sure})))
    assert "95 %" not in alone
    assert "| GC | 0 | 100.0 | 100.0 | 1,234 | 5,678 |" in alone
    without = report(row("GC", [1.0]))
    del without["notes"]["latency and memory"]
    assert "machine" not in measured.trainings(without)


def test_predicted_rows_of_two_axes_are_a_grid(measured: ModuleType) -> None:
    axes = [{"task": task, "kind": kind} for task, kind in (("a", "NL"), ("a", "GC"), ("b", "GC"))]
    crossed = [row(str(at), [50.0 + at], values=values, predicted={"at_most": 60})
               for at, values in enumerate(axes)]  # fmt: skip
    crossed[1] = row("a · GC", [70.0, 80.0], values=axes[1])
    text = measured.trainings(report(row("own", [9.0]), *crossed))
    assert text.splitlines() == [
        "| task | NL | GC |", "| --- | --- | --- |",
        "| a | 50.0 ± 1.5 † | 75.0 ± 1.5 (70.0, 80.0) |", "| b |  | 52.0 ± 1.5 † |",
        "", "own: 9.0 ± 1.5 †", "", "- warning: unlike", "- machine: fast, 2",
    ]  # fmt: skip
    said = [one | {"predicted": None} for one in crossed]
    assert "parameters" in measured.trainings(report(*said))  # nothing was predicted: all columns
