"""An ablation over folds, from the command to the table; its trainings are real."""

from pathlib import Path

import pytest

from tests.conftest import SMALL
from video_gc.config.ablation import plan_ablation
from video_gc.outputs import read_csv


@pytest.mark.slow
def test_two_folds_from_the_command_to_the_table(tool, tmp_path: Path, clips_folder: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = [
        *("ablation=gcnet_kinetics", "experiment=folder", "only=[5 GC]", "folds=2", "name=x"),
        *(option for option in SMALL if not option.startswith(("data=", "context="))),
        *(f"data.root={clips_folder}", "data.group=[0-5]", "steps_per_epoch=1", "epochs=1"),
        f"runs={tmp_path}",
    ]
    status, _, err = tool("ablate", *arguments)
    assert status == 0
    assert "Fold 0/2: 6 videos (3 groups) to test" in err
    assert "5 GC, seed 0, fold 1/2: finished" in err
    cells = plan_ablation(arguments).cells
    assert [cell.fold for cell in cells] == ["0/2", "1/2"]
    tested = [read_csv(Path(cell.directory, "test", "predictions.csv"))[1] for cell in cells]
    paths = sorted(row["path"] for rows in tested for row in rows)
    assert paths == sorted(map(str, clips_folder.glob("*/*.mp4")))
    status, _, err = tool("report", tmp_path / "ablations" / "x", "--no-measure")
    assert status == 0
    assert "2 of 2 trainings are tested" in err
    line = read_csv(tmp_path / "ablations" / "x" / "table.csv")[1][0]
    right = sum(row["label"] == row["top1"] for rows in tested for row in rows)
    assert float(line["top1_video_percent"]) == pytest.approx(100 * right / 12)
    assert (line["seeds"], line["folds"]) == ("1", "2")
    assert float(line["top1_video_low"]) <= 100 * right / 12 <= float(line["top1_video_high"])
    notes = (tmp_path / "ablations" / "x" / "table.md").read_text()
    assert "12 videos of 6 groups" in notes
