"""Files of the user's own, outside the clone, add to those that are shipped and replace them."""

from pathlib import Path

import pytest

from video_gc.config import compose_train
from video_gc.config.ablation import list_ablations, plan_ablation
from video_gc.config_folders import SHIPPED, config_folders, own_files
from video_gc.manual import help_text, usual_values, wrong_argument


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder that adds an experiment and an ablation and replaces a recipe."""
    folder = tmp_path / "a [new], 'folder'" / "configs"
    files = {
        "experiment/lab/mine.yaml": "# @package _global_\nepochs: 3\n",
        "recipe/demo.yaml": "# @package _global_\noptim: {lr: 0.123}\n",
        "ablation/mine.yaml": "title: t\nexperiment: lab/mine\nrows: {GC: [context=gc]}\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_its_files_come_first(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.parent)
    rest, configs = config_folders(["seed=1"])
    assert (rest, configs) == (["seed=1"], (own, SHIPPED))
    config = compose_train(["experiment=lab/mine"], configs)
    assert (config.epochs, config.optim.lr) == (3, 0.123)
    plain = compose_train([])  # and is forgotten afterwards
    assert (plain.epochs, plain.optim.lr) == (15, 0.002)
    values = usual_values(configs)
    assert values["optim.lr"] == 0.123
    assert "lab/mine" in help_text(values, configs)
    assert wrong_argument(["experiment=lab/mine"], configs) is None
    assert "did you mean 'lab/mine'" in (wrong_argument(["experiment=lab/min"], configs) or "")
    assert own_files(configs).endswith(
        ": adds ablation=mine, experiment=lab/mine; replaces recipe=demo"
    )
    assert "mine" in list_ablations(configs)
    (own / "ablation" / "draft.yaml").write_text("titel: t\n")  # hides no other
    assert {"mine", "probes"} <= list_ablations(configs).keys() - {"draft"}


def test_cells_are_trained_with_it_wherever_they_run(own: Path, tmp_path: Path) -> None:
    given = ["--config-dir", str(own), "ablation=mine", f"runs={tmp_path}"]
    rest, configs = config_folders(given)
    (cell,) = plan_ablation([*rest, "seeds=0"], configs).cells
    assert cell.options["epochs"] == 3
    assert config_folders(cell.arguments)[1] == (own, SHIPPED)
    again = compose_train(*config_folders(cell.arguments))
    assert (again.epochs, again.optim.lr, str(again.directory)) == (3, 0.123, cell.directory)


def test_a_folder_of_another_program_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "configs"
    (folder / "trainer").mkdir(parents=True)
    (folder / "trainer" / "cpu.yaml").touch()
    assert config_folders([])[1] == (SHIPPED,)
    with pytest.raises(ValueError, match=r"configs: no file of a group \(ablation, augment, .*"):
        config_folders(["--config-dir=configs"])
    (folder / "model").mkdir()
    (folder / "model" / "net.yaml").touch()
    assert config_folders([])[1] == (folder, SHIPPED)
    (folder / "train.yaml").touch()
    assert config_folders([])[1] == (SHIPPED,)
    with pytest.raises(ValueError, match=r"train\.yaml: it would replace all that the command"):
        config_folders(["--config-dir=configs"])
    with pytest.raises(FileNotFoundError, match=r"^--config-dir non: no such folder$"):
        config_folders(["--config-dir", "non"])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        config_folders(["epochs=3", "--config-dir"])


def test_the_clone_is_no_folder_of_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SHIPPED.parent)
    assert config_folders([])[1] == (SHIPPED,)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--epochs", "20"], "--epochs: options have no dashes; write epochs=20"),
        (["--lr=0.1"], "--lr=0.1: options have no dashes; write optim.lr=0.1"),
        (["--batch-size", "epochs=3"], "--batch-size: options have no dashes; write batch_size=VALUE"),
        (["--nonsense"], "--nonsense: options have no dashes; write NAME=VALUE"),
    ],
)  # fmt: skip
def test_flags_are_answered_with_the_right_spelling(typed: list[str], meant: str) -> None:
    assert wrong_argument(typed) == meant
