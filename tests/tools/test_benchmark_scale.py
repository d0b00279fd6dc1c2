"""The benchmarks of many videos and of commands: each has all its rows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tools.conftest import TOOLS

pytestmark = pytest.mark.slow


def measured(out: Path, name: str, *options: Any) -> dict[str, Any]:
    """The JSON of a benchmark."""
    command = [TOOLS / "benchmark.py", name, *options, "--out", out]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    return found


def test_every_way_scores_the_list(checkpoint: Path, clips_folder: Path, tmp_path: Path) -> None:
    given = checkpoint, clips_folder, "--count", 24, "--decoders", 1, "--actors", 1, "--rows", 3000
    found = measured(tmp_path, "score", *given)
    assert [way["name"] for way in found["ways"]][:2] == ["plain loop", "1 decoders"]
    assert all(way["rate"] > 0 and way["seconds"] > 0 for way in found["ways"])
    assert [one["rows"] for one in found["own"]] == [3000] * len(found["own"])


def test_clips_come_from_files_and_from_shards(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    given = "--clips", 16, "--epochs", 1, "--workers", 1, "--rows", 2000, "--cache", tmp_path
    found = measured(tmp_path, "shards", *given)
    assert len(found["ways"]) == 4
    assert all(way["rate"] > 0 for way in found["ways"])
    assert [one["rows"] for one in found["indices"]] == [2000] * 3


def test_growth_has_a_row_for_each_size(tmp_path: Path) -> None:
    given = "--videos", 50, 100, "--classes", 10, "--processes", 1, 2, "--minutes", 1
    found = measured(tmp_path, "growth", *given, "--cache", tmp_path)
    rows = [(row["part"], row["axis"], row["size"]) for row in found["rows"]]
    assert len(rows) == len(set(rows)) == 4 * 2 + 1 + 2 + 2
    assert all(row["seconds"] > 0 and row["mib"] > 100 for row in found["rows"])


def test_every_command_is_timed_and_ends_as_it_should(run: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, TOOLS / "test.py", run], check=True)
    rows = measured(tmp_path, "startup", run, "--rounds", 1)["commands"]
    wrong = {"train epohcs=3", "predict {run} missing.mp4"}
    assert {row["command"] for row in rows if row["status"]} == wrong
    assert all(0 < row["first"] <= row["end"] for row in rows)
