"""A run on a fold: its videos, its directory, and what it is tested on."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.data.splits import open_splits, read_splits
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.outputs import read_csv
from video_gc.train.loop import train


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory, clips_folder: Path) -> list[Path]:
    """Two runs, each tested on its half of the twelve videos; pairs of clips are groups."""
    runs = tmp_path_factory.mktemp("folds")
    options = [
        *SMALL, f"data.root={clips_folder}", f"runs={runs}", "name=mine", "epochs=1",
        "steps_per_epoch=1", "test.crops=1", "data.group=[0-5]",
    ]  # fmt: skip
    found = [train(compose_train([*options, f"fold={number}/2"])) for number in range(2)]
    for directory in found:
        evaluate(directory / "checkpoints" / "best.ckpt", TestOptions())
    return found


@pytest.mark.slow
def test_every_video_is_tested_once(folds: list[Path], clips_folder: Path) -> None:
    assert [directory.name for directory in folds] == ["mine_fold0of2", "mine_fold1of2"]
    tested = [read_csv(directory / "test" / "predictions.csv")[1] for directory in folds]
    paths = [row["path"] for rows in tested for row in rows]
    assert sorted(paths) == sorted(map(str, clips_folder.glob("*/*.mp4")))
    groups = [{row["group"] for row in rows} for rows in tested]
    assert groups[0] | groups[1] == set("012345")
    assert not groups[0] & groups[1]
    for number, directory in enumerate(folds):
        about = json.loads((directory / "test" / "accuracy.json").read_text())
        assert about["fold"] == f"{number}/2"
        assert about["data"] == "the run's test videos"
        kept = read_splits(directory / "splits")
        assert not set(kept.train.paths) & {*kept.val.paths, *kept.test.paths}


@pytest.mark.slow
def test_a_checkpoint_without_its_run_is_tested_on_its_fold(
    folds: list[Path], tmp_path: Path
) -> None:
    alone = Path(shutil.copy(folds[1] / "checkpoints" / "best.ckpt", tmp_path))
    evaluate(alone, TestOptions(out=tmp_path / "test"))
    one, other = (
        [row["path"] for row in read_csv(folder / "test" / "predictions.csv")[1]]
        for folder in (tmp_path, folds[1])
    )
    assert one == other


def test_splits_of_a_config_are_those_of_its_fold(clips_folder: Path) -> None:
    config = compose_train([*SMALL, f"data.root={clips_folder}", "data.group=[0-5]", "fold=1/3"])
    first = open_splits(config.data, config.fold)
    again = open_splits(config.data, config.fold)
    assert first.test.paths == again.test.paths
    assert len(first.test) == 4
    assert first.test.paths != open_splits(config.data, "0/3").test.paths
