"""The benchmark of scoring counts every video."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.conftest import TOOLS


@pytest.mark.slow
def test_every_way_scores_the_list(checkpoint: Path, clips_folder: Path, tmp_path: Path) -> None:
    command = [TOOLS / "benchmark.py", "score", checkpoint, clips_folder, "--count", "24"]
    options = ["--decoders", "1", "--actors", "1", "--rows", "3000", "--out", tmp_path]
    done = subprocess.run([sys.executable, *command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "score.json").read_text())
    assert [way["name"] for way in found["ways"]][:2] == ["plain loop", "1 decoders"]
    assert all(way["rate"] > 0 and way["seconds"] > 0 for way in found["ways"])
    assert [one["rows"] for one in found["own"]] == [3000] * len(found["own"])
