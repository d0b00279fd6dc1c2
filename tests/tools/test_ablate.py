"""tools/ablate.py as its user meets it; trainings are stand-ins, but in one slow test."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ablate.stub import calls, order, write_stub
from tests.conftest import SMALL
from video_gc.ablate.plan import Plan
from video_gc.config.ablation import plan_ablation
from video_gc.config_folders import SHIPPED
from video_gc.manual import ablations


@pytest.fixture
def stand_in(tmp_path: Path, clips_folder: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A command on `clips_folder`, and its plan; its tools are stand-ins."""
    arguments = [
        *("ablation=kinds", "experiment=folder", "only=[none,GC]", "seeds=[0]", "name=try"),
        *(f"data.root={clips_folder}", f"runs={tmp_path}/runs"),
    ]
    plan = plan_ablation(arguments)
    monkeypatch.setattr("video_gc.config.ablation.TOOLS", write_stub(tmp_path, plan.cells))
    return arguments, plan


def test_without_arguments_it_lists_the_ablations(tool) -> None:  # type: ignore[no-untyped-def]
    status, _, err = tool("ablate")
    assert status == 0
    for name, count in (("kinds", 21), ("gcnet_kinetics", 5), ("gcnet_pooling_fusion", 7)):
        assert f"│ {name} │ {count} │" in err
    for name in ablations():  # not cut, for they are copied
        assert f"│ {name} │" in err
    assert "experiment=kinetics400/slow_r50_8x8 │" in err


def test_help_teaches(tool) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = tool("ablate", "--help")
    assert status == 0
    assert "video-gc ablate ablation=gcnet_place experiment=folder data.root=DIR" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ablation=kidns"], "error: ablation=kidns: no such ablation; did you mean 'kinds'?"),
        (["kinds"], "'kinds' is not an option; write NAME=VALUE, such as ablation=kinds"),
        (["ablation=kinds", "dry=tru"], "error: dry (tru) must be true or false, such as dry="),
        (["ablation=kinds", "only=GC"], "error: only (GC) must be a list, such as only=[GC]"),
        (["ablation=kinds", "--epochs", "3"], "options have no dashes; write epochs=3"),
        (["ablation=kinds", "optim.lrr=3"], "did you mean 'optim.lr'?"),
        (["ablation=kinds", "hydra/launcher=slrm"], "no such launcher; valid: joblib"),
        (
            ["ablation=kinds", "only=[none]", "experiment=folder", "data.root=nowhere"],
            "nowhere: no",
        ),
    ],
)
def test_errors(tool, tmp_path: Path, arguments: list[str], message: str) -> None:  # type: ignore[no-untyped-def]
    status, _, err = tool("ablate", *arguments, f"runs={tmp_path}")
    assert status == 2
    assert message in err
    assert err.count("error:") == 1
    assert list(tmp_path.iterdir()) == []  # nothing was begun


def test_training_names_the_tool_for_ablations(tool) -> None:  # type: ignore[no-untyped-def]
    status, _, err = tool("train", "ablation=kinds")
    assert status == 2
    assert "for an ablation: video-gc ablate ablation=kinds" in err


@pytest.mark.slow
def test_a_sweep_file_is_no_config_of_a_training(
    tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    status, _, err = tool("train", "--config-name", "sweep")
    assert status == 2
    assert "sweep.yaml belongs to video-gc ablate" in err


@pytest.mark.slow
def test_a_failed_cell_does_not_stop_the_others(
    tool, tmp_path: Path, stand_in: tuple[list[str], Plan]
) -> None:  # type: ignore[no-untyped-def]
    arguments, plan = stand_in
    bad, good = plan.cells
    status, _, err = tool("ablate", *arguments, "dry=true")
    assert (status, calls(tmp_path)) == (0, [])
    assert err.count("to do") == 2
    order(tmp_path, bad, "fail")
    status, _, err = tool("ablate", *arguments)
    assert status == 1
    assert "none, seed 0 failed: no such folder (data.root)" in err
    assert f"train.py experiment=folder data.root={plan.cells[0].options['data']['root']}" in err, (
        err
    )
    assert f"video-gc report {plan.directory}" in err
    record = json.loads((plan.directory / "ablation.json").read_text())
    found = [(plan.directory / path).resolve() for row in record["rows"] for path in row["cells"]]
    assert found == [Path(cell.directory).resolve() for cell in plan.cells]
    order(tmp_path, bad, "")
    status, _, err = tool("ablate", *arguments)  # retries that one alone
    assert status == 0
    assert "2 cells, 1 finished before" in err
    assert calls(tmp_path) == [
        *(f"train {bad.name}", f"train {good.name}", f"test {good.name}"),
        *(f"train {bad.name}", f"test {bad.name}"),
    ]
    status, _, err = tool("ablate", *arguments)
    assert status == 0
    assert len(calls(tmp_path)) == 5  # nothing is done twice
    status_file = Path(bad.directory, "cell.json")  # failed, then trained and tested by hand
    kept = json.loads(status_file.read_text())
    status_file.write_text(json.dumps(kept | {"status": "failed", "reason": "no memory"}))
    assert tool("ablate", *arguments)[0] == 0
    assert json.loads(status_file.read_text()) == kept


@pytest.mark.slow
def test_a_pretraining_comes_first_and_all_wait_for_it(
    tool, tmp_path: Path, clips_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    own = tmp_path / "own"
    (own / "ablation").mkdir(parents=True)
    (own / "ablation" / "mine.yaml").write_text(
        "title: t\nexperiment: folder\npretraining: [context=none, epochs=2]\n"
        "rows: {none: [context=none], GC: [context=gc]}\n"
    )
    arguments = ["ablation=mine", f"data.root={clips_folder}", f"runs={tmp_path}/runs"]
    plan = plan_ablation(arguments, (own, SHIPPED))
    first = plan.pretraining
    assert first is not None
    stub = write_stub(tmp_path, [first, *plan.cells])
    begun = replace(plan, tools=stub)
    monkeypatch.setattr("video_gc.config.ablation.plan_ablation", lambda *_: begun)
    order(tmp_path, first, "fail")
    status, _, err = tool("ablate", f"--config-dir={own}", *arguments)
    assert (status, calls(tmp_path)) == (1, [f"train {first.name}"])
    assert "pretraining, seed 0 failed: no such folder (data.root)" in err
    order(tmp_path, first, "")
    assert tool("ablate", f"--config-dir={own}", *arguments)[0] == 0
    names = [first.name, *(cell.name for cell in plan.cells)]
    assert calls(tmp_path)[1:] == [f"{what} {name}" for name in names for what in ("train", "test")]


@pytest.mark.slow
def test_cells_of_other_videos_are_refused(
    tool, tmp_path: Path, stand_in: tuple[list[str], Plan]
) -> None:  # type: ignore[no-untyped-def]
    arguments, _ = stand_in
    (tmp_path / "videos").write_text("sizes:123456789abc")
    assert tool("ablate", *arguments)[0] == 0
    status, _, err = tool("ablate", *arguments)
    assert status == 2
    assert "was made with other test videos" in err
    assert "runs=OTHER" in err


@pytest.mark.slow
def test_a_real_cell(tool, tmp_path: Path, clips_folder: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = [
        *("ablation=gcnet_kinetics", "experiment=folder", "only=[5 GC]", f"runs={tmp_path}"),
        *(option for option in SMALL if not option.startswith(("data=", "context="))),
        *(f"data.root={clips_folder}", "steps_per_epoch=1"),
    ]
    status, _, err = tool("ablate", *arguments)
    assert status == 0, err
    cell = plan_ablation(arguments).cells[0]
    assert (Path(cell.directory) / "test" / "predictions.csv").is_file()
    log = (Path(cell.directory) / "cell.log").read_text()
    assert "Trained. The results are in" in log
    _, _, err = tool("ablate", *arguments)
    assert "1 cells, 1 finished before" in err
    assert (Path(cell.directory) / "cell.log").read_text() == log
