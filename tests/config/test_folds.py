"""Folds in configs: the run's directory, the cells of an ablation, their record."""

import json
from pathlib import Path

import pytest

from video_gc.ablate.cell_name import cell_name
from video_gc.ablate.plan import Plan, write_record
from video_gc.config import compose_train
from video_gc.config.ablation import plan_ablation
from video_gc.train.options import TrainConfig

FOLDER = ("ablation=kinds", "experiment=folder", "data.root=DIR", "only=[none]")


def plan(*arguments: str) -> Plan:
    return plan_ablation([*FOLDER, *arguments])


def test_each_fold_has_its_own_directory() -> None:
    one, other = (compose_train(["name=mine", f"fold={k}/5", "runs=here"]) for k in (0, 1))
    assert str(one.directory) == "here/mine_fold0of5"
    assert str(other.directory) == "here/mine_fold1of5"
    assert one.name == other.name == "mine"
    with pytest.raises(ValueError, match=r"fold \(5/5\): the folds are 0/5 to 4/5"):
        compose_train(["fold=5/5"])


def test_a_pattern_is_typed_as_it_is() -> None:
    for pattern in (r"_g(\d+)_", r"^[^/]+/(p|q)\d{1,2}$", r"(?:match|day)(\d+)"):
        assert compose_train([f"data.group={pattern}"]).data.group == pattern


def test_the_fold_is_in_the_directory_not_in_the_hash() -> None:
    plain, fold = TrainConfig(), TrainConfig(fold="2/5")
    assert cell_name(plain) == cell_name(fold)
    assert cell_name(TrainConfig(fold="2/5", seed=3)).endswith("_s3")


def test_cells_are_rows_on_each_fold_with_each_seed() -> None:
    found = plan("folds=2", "seeds=[4,1]")
    assert [cell.title for cell in found.cells] == [
        f"none, seed {seed}, fold {number}/2" for seed in (4, 1) for number in (0, 1)
    ]
    names = [cell.name for cell in found.cells]
    assert names[0].endswith("_s4_fold0of2")
    assert len({name.partition("_s")[0] for name in names}) == 1
    assert found.name == "kinds_folder_folds2"
    for cell in found.cells:
        config = compose_train(cell.arguments)
        assert (config.fold, str(config.directory)) == (cell.fold, cell.directory)


def test_the_record_keeps_seeds_and_refuses_other_folds(tmp_path: Path) -> None:
    def write(*arguments: str) -> list[str]:
        file = write_record(plan("name=x", f"runs={tmp_path}", *arguments))
        return [Path(cell).name[-11:] for cell in json.loads(file.read_text())["rows"][0]["cells"]]

    assert write("folds=2", "seeds=[10]") == ["10_fold0of2", "10_fold1of2"]
    assert write("folds=2", "seeds=[9]") == [
        *("s9_fold0of2", "s9_fold1of2"),
        *("10_fold0of2", "10_fold1of2"),
    ]
    links = sorted(path.name for path in (tmp_path / "ablations" / "x").glob("none*"))
    assert links == [f"none_s{seed}_fold{k}of2" for seed in (10, 9) for k in (0, 1)]
    with pytest.raises(FileExistsError, match=r"on 2 folds, now .* on 3 folds\); give name=OTHER"):
        write("folds=3", "seeds=[9]")
    with pytest.raises(FileExistsError, match="on 2 folds, now"):
        write("seeds=[9]")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("folds=1", r"folds \(1\) must be at least 2, or null"),
        ("folds=x", r"folds \(x\) must be a whole number, such as folds=5"),
        ("fold=0/5", "fold=0/5: an ablation trains on each fold; give folds=5"),
    ],
)
def test_a_wrong_number_of_folds_is_one_clear_line(argument: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        plan(argument)
    assert "\n" not in str(caught.value)
