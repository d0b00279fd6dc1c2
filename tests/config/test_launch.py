"""Hydra's launchers over the cells of a plan, whose trainings are stand-ins."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.ablate.stub import calls, job_of, order, stand_in_plan
from video_gc.ablate.cell import write_jobs
from video_gc.ablate.cell_progress import CellProgress
from video_gc.ablate.plan import Plan
from video_gc.ablate.status import state_of
from video_gc.config.launch import check_launcher, launch


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Of two rows; its tools are stand-ins, and its runs lie in a folder with odd signs."""
    return stand_in_plan(tmp_path, tmp_path / "it's a (run),=x", count=2)


def jobs_of(plan: Plan, folder: Path) -> Path:
    return write_jobs(plan.directory, [job_of(folder, cell) for cell in plan.cells])


def test_one_after_another(plan: Plan, tmp_path: Path) -> None:
    order(tmp_path, plan.cells[0], "fail")
    progress = CellProgress(plan.cells)
    launch(jobs_of(plan, tmp_path), 2, [])
    first, second = plan.cells
    assert calls(tmp_path) == [f"train {first.name}", f"train {second.name}", f"test {second.name}"]
    assert [state_of(cell)[0] for cell in plan.cells] == ["failed", "finished"]
    assert [(cell, status.status) for cell, status in progress.look()] == [
        (first, "failed"),
        (second, "finished"),
    ]
    assert progress.look() == []
    assert progress.done == progress.total == 2
    assert progress.left() == 0


@pytest.mark.skipif(find_spec("joblib") is None, reason="the extra joblib is not installed")
@pytest.mark.slow
def test_several_at_once(plan: Plan, tmp_path: Path) -> None:
    launch(jobs_of(plan, tmp_path), 2, ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"])
    assert len(calls(tmp_path)) == 4
    assert all(state_of(cell)[0] == "finished" for cell in plan.cells)


def test_a_launcher_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("video_gc.extras.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r'pip install "video_gc\[submitit\]"'):
        check_launcher(["hydra/launcher=submitit_slurm"])
    with pytest.raises(ValueError, match="no such launcher; valid: joblib"):
        check_launcher(["hydra/launcher=slurm"])
    check_launcher([])


def test_a_wrong_option_of_a_launcher_is_one_line() -> None:
    with pytest.raises(ValueError, match="n_jobs") as caught:
        check_launcher(["hydra.launcher.n_jobs=2"])  # of basic
    assert "\n" not in str(caught.value)
