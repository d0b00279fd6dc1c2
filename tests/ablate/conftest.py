"""Cells whose trainings are stand-ins."""

from pathlib import Path

import pytest

from tests.ablate.stub import stand_in_plan
from video_gc.ablate.cell import Cell


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    """Two rows, two seeds; their tools are stand-ins under tmp_path."""
    return stand_in_plan(tmp_path, tmp_path / "runs").cells
