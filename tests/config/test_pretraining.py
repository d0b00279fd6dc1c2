"""Weights of a pretraining, or given ones, for the cells of an ablation; quick=true takes a few cells."""

import shutil
from pathlib import Path

import pytest

from video_gc.ablate.plan import Plan
from video_gc.config.ablation import plan_ablation
from video_gc.config_folders import SHIPPED


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_ablation(["ablation=probes", "seeds=[0,1]", "only=['alike · none','alike · GC']"])


def test_each_cell_starts_from_the_weights_of_the_pretraining(plan: Plan) -> None:
    first = plan.pretraining
    assert first is not None
    assert (first.title, first.options["data"]["task"]) == ("pretraining, seed 0", "one_object")
    assert first.options["model"]["weights"] is None
    assert first.options["model"]["context"]["kind"] == "none"
    weights = str(Path(first.directory) / "checkpoints" / "best.ckpt")
    assert len(plan.cells) == 4
    assert [cell.options["model"]["weights"] for cell in plan.cells] == [weights] * 4
    assert [cell.options["data"]["task"] for cell in plan.cells] == ["alike"] * 4
    assert plan.rounds == [[first], plan.cells]


def test_other_weights_make_other_cells(plan: Plan, tmp_path: Path) -> None:
    """A cell is named after its options, and the weights that it starts from are one of them."""
    configs = tmp_path / "configs"
    shutil.copytree(SHIPPED, configs)
    file = configs / "ablation" / "probes.yaml"
    file.write_text(
        file.read_text().replace("task=one_object, epochs=10", "task=presence, epochs=2")
    )
    arguments = ["ablation=probes", "seeds=[0,1]", "only=['alike · none','alike · GC']"]
    other = plan_ablation(arguments, [configs])
    assert plan.pretraining is not None
    assert other.pretraining is not None
    assert plan.pretraining.name != other.pretraining.name
    assert not {cell.name for cell in plan.cells} & {cell.name for cell in other.cells}


def test_the_weights_of_the_pretraining_win_over_those_for_it() -> None:
    given = ["ablation=probes", "seeds=[0]"]
    found = plan_ablation([*given, "only=['alike · GC']", "model.weights=mine.pt"])
    assert found.pretraining is not None
    assert found.pretraining.options["model"]["weights"] == "mine.pt"
    assert found.cells[0].options["model"]["weights"].startswith(found.pretraining.directory)
    (scratch,) = plan_ablation([*given, "only=['order · kernels that reach']"]).cells
    assert scratch.options["model"]["weights"] is None


def test_given_weights_are_for_the_rows_that_do_not_start_from_scratch() -> None:
    given = ["ablation=from_weights", "data.root=x", "model.weights=mine.pt"]
    found = {cell.row: cell.options for cell in plan_ablation(given).cells}
    weights = {row: options["model"]["weights"] for row, options in found.items()}
    assert weights.pop("from scratch") is None
    assert weights == dict.fromkeys(("same recipe", "frozen", "unfrozen"), "mine.pt")
    assert found["same recipe"]["optim"] == found["from scratch"]["optim"]
    assert found["frozen"]["optim"]["freeze"] == ["stem", "res2"]
    differing = found["unfrozen"]["optim"] | {"freeze": ["stem", "res2"]}
    assert differing == found["frozen"]["optim"]


def test_weights_that_a_row_names_are_not_replaced(tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(SHIPPED, configs)
    file = configs / "ablation" / "mine.yaml"
    file.write_text("title: t\nrows: {a: [model.weights=a.pt], b: [model.weights=null]}\n")
    with pytest.raises(ValueError, match=r"the rows set model.weights \(row 'a'\)"):
        plan_ablation(["ablation=mine", "model.weights=mine.pt"], [configs])


@pytest.mark.slow
def test_quick_takes_the_named_rows_and_the_first_seed() -> None:
    quick = plan_ablation(["ablation=probes", "quick=true"])
    assert {cell.seed for cell in quick.cells} == {0}
    assert 4 < len(quick.cells) < 12
    assert {cell.row for cell in quick.cells} == set(quick.whole.quick)
    whole = plan_ablation(["ablation=probes", "only=['alike · GC']"])
    assert {cell.name for cell in quick.cells} & {cell.name for cell in whole.cells}
    kinds = plan_ablation(["ablation=kinds", "quick=true"])  # it names none: all, with one seed
    assert [cell.seed for cell in kinds.cells] == [0] * 7
