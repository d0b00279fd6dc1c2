"""Cells whose trainings are stand-ins."""

from pathlib import Path

import pytest

from tests.ablate.stub import write_stub
from video_gc.ablate.plan import Cell
from video_gc.config.ablation import plan_ablation


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    """Two rows, two seeds; their tools are stand-ins under tmp_path."""
    arguments = ["ablation=kinds", "only=[none,GC]", "seeds=[0,1]", f"runs={tmp_path}/runs"]
    cells = plan_ablation(arguments).plan.cells
    write_stub(tmp_path, cells)
    return cells
