"""What the Makefile's commands would do."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_clean_removes_no_training() -> None:
    done = subprocess.run(
        ["make", "-n", "clean"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    removed = done.stdout.split()
    assert ".pytest_cache" in removed
    assert "runs" not in removed
