"""The tool put to the proof on networks that were trained for it (slow, 15 minutes on one core).

On `presence` no context is needed, so the NL block may be replaced by SNL and GC. On `match` a
position has to attend to its own hue (docs/probes.md), so it may not. On `alike` one context would be
enough, but NL does not use it: docs/probes.md has what was measured.
"""

from pathlib import Path

import pytest

from video_gc.ablate.run import begin, run_job
from video_gc.analysis.attention.examine import ExamineOptions, examine
from video_gc.analysis.attention.findings import Findings
from video_gc.analysis.attention.replacements import Replacement
from video_gc.config.ablation import plan_ablation
from video_gc.data.generated.motions import MOTIONS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Findings]:
    """Task → what the tool finds in its NL network."""
    folder = tmp_path_factory.mktemp("probes")
    rows = {task: f"{task} · NL" for task in ("presence", "match")}
    plan = plan_ablation(
        [
            *("ablation=probes", "seeds=[0]", f"only={list(rows.values())}", "data.workers=1"),
            *(f"data.root={folder / MOTIONS.name}", f"runs={folder / 'runs'}"),
        ]
    )
    for jobs in begin(plan):
        for job in jobs:
            assert run_job(job) == "finished"
    options = ExamineOptions(queries=(), count=None, pictures=0, positions=64)
    cells = {cell.row: Path(cell.directory) for cell in plan.cells}
    return {
        task: examine(cells[row] / "checkpoints" / "best.ckpt", (), options)
        for task, row in rows.items()
    }


def replaced(found: Findings) -> dict[str, Replacement]:
    """snl and gc → its only NL block replaced."""
    assert found.losses is not None
    rows = {row.to: row for row in found.losses.rows}
    assert rows.keys() == {"snl", "gc"}
    return rows


def test_where_no_context_is_needed_the_conversion_loses_nothing(
    findings: dict[str, Findings],
) -> None:
    for row in replaced(findings["presence"]).values():
        assert row.before is not None
        assert row.after is not None
        assert row.before >= 0.95
        assert row.after >= row.before - 0.03


def test_where_each_query_needs_its_own_the_conversion_destroys_the_network(
    findings: dict[str, Findings],
) -> None:
    for row in replaced(findings["match"]).values():
        assert row.before is not None
        assert row.after is not None
        assert row.before >= 0.85
        assert row.after <= 0.65
