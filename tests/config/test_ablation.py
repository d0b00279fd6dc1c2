"""From an ablation's file to its cells: what is shared, what differs, what is refused."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml

from tests.ablate.stub import job_of, stand_in_plan
from tests.conftest import slow
from video_gc.ablate.cell import Cell, read_jobs, write_jobs
from video_gc.ablate.cell_name import cell_hash, cell_name
from video_gc.ablate.plan import Plan, write_record
from video_gc.ablate.spec import AblationConfig
from video_gc.config import compose_train
from video_gc.config.ablation import plan_ablation
from video_gc.config_folders import SHIPPED
from video_gc.manual import ablations
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig

NAMES = ablations()
GCNET = {
    "baseline": 32_454_096,
    "5 NL": 39_812_560,
    "5 SNL": 36_128_208,
    "5 GC": 34_300_368,
    "all GC": 42_454_992,
}


def network(cell: Cell, classes: int) -> torch.nn.Module:
    """The network of a cell, without the weights that it starts from."""
    options = cell.options["model"]
    context = ContextConfig(**options["context"])
    given = {"context": context, "weights": None, "num_classes": classes}
    return build_model(ModelConfig(**options | given))


@cache
def plan(*arguments: str) -> Plan:
    return plan_ablation(arguments)


def test_the_ablations_of_the_issue_are_there() -> None:
    gcnet = ("kinetics", "place", "stages", "bottleneck", "reduction", "pooling_fusion")
    nonlocal_ = ("instantiation", "stage", "number", "span", "length", "against_3d")
    expected = {
        "demo",
        "kinds",
        "probes",
        "from_weights",
        "precision",
        *(f"gcnet_{n}" for n in gcnet),
        *(f"nonlocal_{n}" for n in nonlocal_),
    }
    assert set(NAMES) == expected  # tests/tools composes them all
    assert len(plan("ablation=kinds").cells) == 21


SLOW = [
    pytest.param(name, marks=() if name.endswith(("kinetics", "3d")) else pytest.mark.slow)
    for name in NAMES
]


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_every_row_is_a_network_of_its_own_experiment(name: str) -> None:
    cells = plan(f"ablation={name}", "seeds=[0]", "data.root=x").cells
    with torch.device("meta"):
        sizes = {
            cell.row: sum(p.numel() for p in network(cell, 400).parameters()) for cell in cells
        }
    assert len({cell.name for cell in cells}) == len(cells)  # no two rows are the same
    if name == "gcnet_kinetics":
        assert sizes == GCNET


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "probes"])  # of bag alone
def test_every_row_runs_on_motions(name: str) -> None:
    cells = plan(f"ablation={name}", "experiment=motions", "seeds=[0]").cells
    assert len({cell.name for cell in cells}) == len(cells)
    for cell in cells:
        assert cell.options["data"]["kind"] == "motions"
        assert cell.options["model"]["width"] == 0.125
        frames = min(cell.options["clip"]["frames"], 16)
        with torch.no_grad():
            logits = network(cell, 8).eval()(torch.zeros(1, 3, frames, 64, 64))
        assert logits.shape == (1, 8)


@pytest.mark.slow
def test_rows_of_a_users_folder(clips_folder: Path) -> None:
    only = "only=[none,after_1x1]"
    found = plan("ablation=gcnet_place", "experiment=folder", f"data.root={clips_folder}", only)
    assert found.name == "gcnet_place_folder"
    data = [cell.options["data"] for cell in found.cells]
    assert {(d["kind"], d["root"]) for d in data} == {("folder", str(clips_folder))}


def test_cells_have_the_names_of_the_runs_that_stand() -> None:
    cells = plan("ablation=kinds", "experiment=motions").cells
    found = {cell.row: cell.name for cell in cells if not cell.seed}
    assert found["none"] == "i3d_none_502f8b93_s0"
    assert found["GC"] == "i3d_gc_five_9d96b42e_s0"
    assert found["NL"] == "i3d_nl_five_360351e3_s0"
    only = "only=[baseline,5 GC]"
    other = plan("ablation=gcnet_kinetics", "experiment=motions", "data.root=elsewhere", only)
    names = {cell.row: cell.name for cell in other.cells}
    assert names["5 GC"] == found["GC"]  # trained once, whichever ablation asks
    assert names["baseline"] == found["none"]


def test_motions_is_what_training_does_without_options() -> None:
    assert cell_hash(compose_train(["experiment=motions"])) == cell_hash(compose_train([]))


def test_a_cell_alone_gives_the_same_cell() -> None:
    rows = "only=['none','average · both']"
    found = plan("ablation=gcnet_pooling_fusion", "experiment=motions", "epochs=3", rows)
    assert len(found.cells) == 2
    for cell in found.cells:
        config = compose_train(cell.arguments)
        assert cell_name(config) == config.name == cell.name
        assert str(config.directory) == cell.directory
        assert config.epochs == 3


def test_axes_make_their_product() -> None:
    file = SHIPPED / "ablation" / "gcnet_pooling_fusion.yaml"
    rows = AblationConfig(**yaml.safe_load(file.read_text())).all_rows
    assert list(rows) == [
        "none",
        *(
            f"{pool} · {how}"
            for pool in ("average", "attention")
            for how in ("add", "scale", "both")
        ),
    ]
    assert rows["average · both"] == [
        "model.context.options.pool=average",
        "model.context.options.fusion=both",
    ]


def test_cells_come_seed_by_seed() -> None:
    cells = plan("ablation=kinds", "seeds=[4,2]", "only=[none,GC]").cells
    assert [cell.title for cell in cells] == [
        "none, seed 4",
        "GC, seed 4",
        "none, seed 2",
        "GC, seed 2",
    ]


def test_only_takes_names_with_spaces_and_signs() -> None:
    found = plan("ablation=nonlocal_length", "experiment=motions", "only=['8×2 · NL','16×2 · I3D']")
    assert [cell.row for cell in found.cells] == ["8×2 · NL", "16×2 · I3D"]
    assert found.ablation.baseline is None
    assert found.ablation.title == (
        "Clip length, with and without five NL blocks: 8×2 · NL, 16×2 · I3D"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ablation=kidns"], "ablation=kidns: no such ablation; did you mean 'kinds'"),
        (["epochs=3"], "which ablation"),
        (["ablation=kinds", "epoch=3"], "unknown option 'epoch'; did you mean 'epochs'"),
        (["ablation=kinds", "epochs=0"], r"^epochs \(0\) must be at least 1"),
        slow(
            ["ablation=kinds", "model.context.options.reduktion=3"], "takes no option 'reduktion'"
        ),
        (["ablation=kinds", "experiment=motion"], "no such experiment; did you mean 'motions'"),
        slow(["ablation=kinds", "experiment=folder"], "data.root is missing"),
        slow(["ablation=kinds", "context=gc"], "context=gc: the rows set context"),
        slow(
            ["ablation=gcnet_place", "model.context.place=after_1x1"],
            "the rows set model.context.place",
        ),
        (["ablation=gcnet_stages", "model.context.kind=none"], "'none' and 'res3' are the"),
        slow(["ablation=kinds", "seed=3"], r"seed=3: an ablation has several; give seeds=\[0,1\]"),
        (["ablation=kinds", "seeds=[1,1]"], "more than once"),
        slow(["ablation=kinds", "seeds=[-1]"], "must be a list of whole numbers"),
        slow(["ablation=kinds", "seeds=[]"], "must be a list of whole numbers"),
        (["ablation=kinds", "seeds=x"], "seeds"),
        slow(["ablation=kinds", "only=[nl]"], "'nl' is not a row; the rows are none, SE"),
        (
            ["ablation=probes", "only=[a · b,c]"],
            r"""if it is text, write 'only=\["a · b","c"\]'$""",
        ),
        slow(["ablation=kinds", 'only=["a'], "cannot be read; close its quotes and br"),
        slow(["ablation=kinds", "only=[a;b\\]"], "cannot be read; close its quotes and br"),
        slow(["ablation=kinds", "optim.lr={[a"], "cannot be read; close its quotes and br"),
        slow(["ablation=kinds", "name=a/b"], "must be the name of one folder"),
        slow(["ablation=kinds", "processes=0"], r"processes \(0\) must be at least 1"),
        (["ablation=kinds", "resume=false"], "cells always resume"),
    ],
)
def test_a_wrong_command_is_one_clear_line(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        plan_ablation(arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": {}}, "rows and axes are empty"),
        ({"baseline": "b"}, "baseline: 'b' is not a row; the rows are a"),
        ({"reported": {"b": None}}, "reported: 'b' is not a row"),
        ({"quick": ["b"]}, "quick: 'b' is not a row; the rows are a"),
        ({"pretraining": ["a=1"], "folds": 5}, "folds and pretraining exclude each other"),
        ({"pretraining": ["seed=3"]}, "pretraining: 'seed=3' has no place in a row"),
        ({"rows": {"a": ["seed=3"]}}, "'seed=3' has no place in a row"),
        ({"settings": ["+name=x"]}, "has no place in a row"),
        ({"axes": {"x": {}}}, "axes.x has no values"),
        ({"rows": {"p": []}, "axes": {"x": {"p": ["a=1"]}}}, "row 'p' is in rows and"),
        ({"title": ""}, "title is missing"),
    ],
)
def test_a_wrong_file_is_refused(fields: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"title": "t", "rows": {"a": ["context=gc"]}}
    with pytest.raises(ValueError, match=message):
        AblationConfig(**given | fields)  # type: ignore[arg-type]


def test_a_typo_in_a_file_names_the_file(tmp_path: Path) -> None:
    import shutil

    configs = tmp_path / "configs"
    shutil.copytree(SHIPPED, configs)
    file = configs / "ablation" / "mine.yaml"
    file.write_text("title: t\nrowz: {a: []}\n")
    with pytest.raises(ValueError, match=r"mine.yaml: .*rowz") as caught:
        plan_ablation(["ablation=mine"], [configs])
    assert "\n" not in str(caught.value)
    file.write_text("title: t\nseeds: many\nrows: {a: []}\n")
    with pytest.raises(ValueError, match=r"mine.yaml: ablation.seeds \(many\) must be a list"):
        plan_ablation(["ablation=mine"], [configs])
    (configs / "experiment" / "mine.yaml").write_text("# @package _global_\nepochs: many\n")
    reason = r"^experiment/mine.yaml: epochs \(many\) must be a whole number, such as epochs=15$"
    with pytest.raises(ValueError, match=reason):
        compose_train(["experiment=mine"], [configs])
    file.write_text("title: t\nrows: {a: [contex=gc]}\n")
    with pytest.raises(ValueError, match="row 'a': unknown option 'contex'; did you mean"):
        plan_ablation(["ablation=mine"], [configs])


def test_training_refuses_an_ablation() -> None:
    with pytest.raises(ValueError, match=r"video-gc ablate ablation=kinds"):
        compose_train(["ablation=kinds"])


@pytest.mark.slow
def test_the_record_says_what_a_report_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(*arguments: str) -> dict[str, object]:
        given = ("ablation=gcnet_kinetics", "experiment=motions", "name=x", f"runs={tmp_path}")
        file = write_record(plan(*given, *arguments))
        assert file == tmp_path / "ablations" / "x" / "ablation.json"
        return dict(json.loads(file.read_text()))

    found = write("seeds=[1]")
    rows = found["rows"]
    assert isinstance(rows, list)
    assert (found["name"], found["baseline"]) == ("x", "baseline")
    assert rows[3]["name"] == "5 GC"
    assert rows[3]["settings"] == ["context=gc", "placement=five"]
    assert rows[3]["options"]["model"]["context"]["kind"] == "gc"
    assert rows[3]["cells"] == ["../../cells/i3d_gc_five_9d96b42e_s1"]
    assert (rows[3]["reported"]["top1"], rows[3]["reported"]["parameters"]) == (75.85, 34.30e6)
    rows = write("seeds=[10,0]")["rows"]  # those that were asked for before stay
    assert isinstance(rows, list)
    assert [path[-3:] for path in rows[3]["cells"]] == ["_s0", "_s1", "s10"]
    again = write("seeds=[2]", "only=['5 GC']")  # and so do the rows
    assert (again["title"], again["baseline"]) == (found["title"], "baseline")
    assert isinstance(again["rows"], list)
    assert [len(row["cells"]) for row in again["rows"]] == [3, 3, 3, 4, 3]
    rows = write("seeds=[2]", "only=['5 GC']", "data.workers=1", "data.root=data")["rows"]
    assert isinstance(rows, list)
    assert [len(row["cells"]) for row in rows] == [3, 3, 3, 4, 3]  # these change no training
    assert "no longer" not in capsys.readouterr().err
    link = tmp_path / "ablations" / "x" / "5 GC_s2"
    assert link.resolve() == (tmp_path / "cells" / "i3d_gc_five_9d96b42e_s2").resolve()
    with pytest.raises(FileExistsError, match="has other cells in row 'baseline'.*name=OTHER"):
        write("epochs=3")
    (tmp_path / "ablations" / "x" / "ablation.json").unlink()
    write("only=[baseline]")
    rows = write("only=['5 GC']", "epochs=3")["rows"]  # other trainings do not come together
    assert isinstance(rows, list)
    assert [row["name"] for row in rows] == ["5 GC"]
    assert "removed the rows of another command: baseline" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    jobs = [job_of(tmp_path, cell) for cell in stand_in_plan(tmp_path, tmp_path / "runs").cells]
    assert read_jobs(write_jobs(tmp_path, jobs)) == jobs


@pytest.mark.slow
def test_seeds_are_numbers() -> None:
    assert {cell.seed for cell in plan("ablation=kinds", "only=[none]", "seeds=3").cells} == {3}
    for wrong in ("abc", "[]", "[0,-1]", "[0,x]"):
        with pytest.raises(ValueError, match=r"must be a list of whole numbers.*seeds=\[0,1\]"):
            plan("ablation=kinds", f"seeds={wrong}")
