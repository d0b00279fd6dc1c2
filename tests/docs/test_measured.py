"""The tables of measurements in the pages are those of the JSON files."""

import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

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
    else:
        assert content["command"].startswith("video-gc benchmark ")
        assert {"processor", "torch", "python"} <= content["machine"].keys()
    assert not re.search(r"(?<![\w.)\]])/\w+/", text), "a path of the machine"
