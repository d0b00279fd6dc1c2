import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.analysis.compare.writing import SELECTION, write_test
from video_gc.analysis.compare.comparison import compare_runs
from video_gc.analysis.compare.results import write_comparison
from video_gc.data.index import DataError
from video_gc.evaluate.metrics import precision


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_small_difference_is_noise_and_a_large_one_is_not(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    base = random.random(400) < 0.6
    noise = base.copy()
    noise[np.flatnonzero(~base)[:12]] = True
    noise[np.flatnonzero(base)[:9]] = False
    gain = base | (random.random(400) < 0.2)
    for name, right in (("base", base), ("noise", noise), ("gain", gain)):
        write_test(tmp_path / name, right)
    found = compare_runs([tmp_path / "base"], [tmp_path / "noise"])
    assert found.verdict.startswith("B (noise) − A (base): +0.75 points of top-1 (95 % interval -")
    assert "), noise; 400" in found.verdict
    assert found.word == "noise"
    assert "400 videos show a difference of" in found.verdict
    assert "top-5" not in found.figures  # of two classes: it would be 100 % of both
    assert found.verdict.endswith("(4 times in 5); a smaller one needs more videos or seeds.")
    found = compare_runs([tmp_path / "base"], [tmp_path / "gain"])
    points = 100 * (gain.mean() - base.mean())
    assert found.verdict.startswith(f"B (gain) − A (base): +{points:.2f} points")
    assert "), better; with one" in found.verdict
    assert "about two networks, not about two methods" in found.verdict
    assert any("one training each" in line for line in found.warnings)
    found = compare_runs([tmp_path / "gain"], [tmp_path / "base"])
    assert found.verdict.startswith(f"B (base) − A (gain): -{points:.2f} points")
    assert "), worse; with one" in found.verdict


def test_videos_that_chose_a_checkpoint_are_told_beside_each_figure(tmp_path: Path) -> None:
    write_test(tmp_path / "b", [True] * 30 + [False] * 9, selection=SELECTION)
    write_test(tmp_path / "c", [True] * 39, selection={})  # its log is gone
    found = compare_runs([tmp_path / "b"], [tmp_path / "c"])
    assert found.counted == "39 videos (validation videos, on which the checkpoint was chosen)"
    assert "points of top-1 on the validation videos that chose the checkpoint (95" in found.verdict
    chosen = "validation videos, on which the checkpoint was chosen: an optimistic score"
    assert found.warnings[1:3] == [
        f"b: {chosen}; with one view a video, top-1 is 89.7% in epoch 3, the best, and 59.0% in "
        "epoch 9, the last",
        f"c: {chosen}",
    ]


def test_a_handful_of_videos_is_no_proof(tmp_path: Path) -> None:
    """4 wins of 4 differing videos are outside the bootstrap's interval, McNemar's p is 0.0625."""
    write_test(tmp_path / "a", [False] * 4 + [True] * 3)
    write_test(tmp_path / "b", [True] * 7)
    found = compare_runs([tmp_path / "a"], [tmp_path / "b"])
    assert found.figures["top-1"].sure
    assert found.word == "noise"
    assert "noise: McNemar's test finds no difference; 7 videos" in found.verdict


def test_one_video_and_one_class(tmp_path: Path) -> None:
    write_test(tmp_path / "a", [False], labels=["run"])
    write_test(tmp_path / "b", [True], labels=["run"])
    found = compare_runs([tmp_path / "a"], [tmp_path / "b"])
    assert found.word == "noise"
    assert "1 video shows a difference of 100.0 points" in found.verdict
    assert all(file.is_file() for file in write_comparison(found))


@pytest.mark.filterwarnings("ignore:Glyph")  # no font here has Japanese letters
def test_what_is_written(tmp_path: Path) -> None:
    labels = ["a,b", 'say "hi"', "a,b", "跳ぶ", "跳ぶ"]
    write_test(tmp_path / "one", [1, 0, 0, 1, 0], labels=labels)
    write_test(tmp_path / "two", [1, 1, 1, 0, 0], labels=labels)
    found = compare_runs([tmp_path / "one"], [tmp_path / "two"])
    files = write_comparison(found)
    out = tmp_path / "two" / "compare_with_one"
    names = ["compare.json", "changes.csv", "classes.csv", "compare.png"]
    assert files == [out / name for name in names]
    changes = rows(out / "changes.csv")
    assert [(row["outcome"], row["path"], row["label"]) for row in changes] == [
        ("win", "data/1.mp4", 'say "hi"'),
        ("win", "data/2.mp4", "a,b"),
        ("loss", "data/3.mp4", "跳ぶ"),
    ]
    assert (changes[0]["a"], changes[0]["b"]) == ("wrong", 'say "hi"')
    assert (changes[0]["a_right"], changes[0]["b_right"]) == ("0", "1")
    classes = [(row["class"], row["videos"], row["points"]) for row in rows(out / "classes.csv")]
    assert classes == [
        ('say "hi"', "1", "+100.00"),
        ("a,b", "2", "+50.00"),
        ("跳ぶ", "2", "-50.00"),
    ]
    summary = json.loads((out / "compare.json").read_text())
    assert (summary["wins"], summary["losses"], summary["videos"]) == (2, 1, 5)
    assert summary["figures"]["top-1"]["difference"] == pytest.approx(20)
    assert "top-5" not in summary["figures"]  # two classes
    assert summary["figures"]["mean class"]["difference"] == pytest.approx(100 / 3)


def test_several_trainings_widen_the_interval_by_their_spread(tmp_path: Path) -> None:
    """One pair of seeds looks like a gain; three of each show that seeds differ as much."""
    random = np.random.default_rng(0)
    hard = random.random(2000)
    for name, skill in {
        "a0": 0.5,
        "a1": 0.6,
        "a2": 0.55,
        "b0": 0.6,
        "b1": 0.52,
        "b2": 0.57,
    }.items():
        write_test(tmp_path / name, (hard + random.normal(0, 0.02, 2000)) < skill)
    a, b = ([tmp_path / f"{side}{seed}" for seed in range(3)] for side in "ab")
    single = compare_runs(a[:1], b[:1])
    assert single.word == "better"
    several = compare_runs(a, b)
    assert several.verdict.startswith("B (b0 and 2 more) − A (a0 and 2 more): ")
    assert several.word == "noise"
    assert "3 + 3 trainings" in several.verdict
    assert not any("training" in line for line in several.warnings)
    one_side = compare_runs(a, b[:1])
    assert any("B is one training" in line for line in one_side.warnings)
    files = write_comparison(several)
    assert files[0].parent == tmp_path / "b0" / "compare_with_a0_and_2_more"
    assert {row["a_right"] for row in rows(files[1])} <= {"0", "0.3333", "0.6667", "1"}


def test_what_was_not_alike_is_said(tmp_path: Path) -> None:
    last = "runs/a/checkpoints/last.ckpt"
    write_test(tmp_path / "a", [1, 0, 1], fingerprint="sizes:aaaaaaaaaaaa", seed=0, checkpoint=last)
    write_test(tmp_path / "b", [1, 1], fingerprint="sizes:bbbbbbbbbbbb", clips=1, subset=2)
    warnings = "\n".join(compare_runs([tmp_path / "a"], [tmp_path / "b"]).warnings)
    assert "not tested on the same copy of the videos: a (sizes:aaaaaaaaaaaa), but b" in warnings
    assert "not tested alike, clips a video: 10 in a; 1 in b" in warnings
    assert "not tested alike, subset: None in a; 2 in b" in warnings
    assert "not tested alike, checkpoint: last in a; best in b" in warnings
    assert "crops" not in warnings
    assert "a: 1 videos that another run lacks are left out" in warnings


def test_the_same_test_twice(tmp_path: Path) -> None:
    write_test(tmp_path / "a", [1, 0])
    with pytest.raises(ValueError, match="is given twice"):
        compare_runs([tmp_path / "a"], [tmp_path / "a" / "test"])
    write_test(tmp_path / "copy", [1, 0])
    write_test(tmp_path / "b", [1, 1])
    found = compare_runs([tmp_path / "a", tmp_path / "copy"], [tmp_path / "b"])
    assert "a and copy predict exactly the same: are they two trainings?" in found.warnings


def test_several_labels_are_compared_by_map(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    hot = random.random((40, 3)) < 0.4
    labels = [";".join(name for name, has in zip("pqr", row, strict=True) if has) for row in hot]
    for name in "ab":
        write_test(tmp_path / name, [True] * 40, labels=labels, video_level={"mAP": 0.5})
    with pytest.raises(DataError, match="classes.csv: not there"):
        compare_runs([tmp_path / "a"], [tmp_path / "b"])
    scores = {"a": random.random((40, 3)), "b": random.random((40, 3)) + hot}
    for name in "ab":
        (tmp_path / name / "test" / "classes.csv").write_text("class,videos\np,1\nq,1\nr,1\n")
    with pytest.raises(DataError, match="compared by mAP, which needs all scores"):
        compare_runs([tmp_path / "a"], [tmp_path / "b"])
    for name in "ab":
        np.save(tmp_path / name / "test" / "scores.npy", scores[name].astype(np.float32))
    found = compare_runs([tmp_path / "a"], [tmp_path / "b"], resamples=300)
    assert list(found.figures) == ["mAP"]
    for name, figure in (("a", found.figures["mAP"].a), ("b", found.figures["mAP"].b)):
        expected = precision(torch.from_numpy(scores[name]).float(), torch.from_numpy(hot).int())
        assert figure == [pytest.approx(100 * expected.mAP, abs=1e-4)]
    assert found.verdict.startswith("B (b) − A (a): +")
    assert found.word == "better"
    files = write_comparison(found)
    assert [file.name for file in files] == ["compare.json", "compare.png"]
    scores["b"][0, 0] = np.nan
    np.save(tmp_path / "b" / "test" / "scores.npy", scores["b"])
    with pytest.raises(DataError, match="holds scores that are no numbers"):
        compare_runs([tmp_path / "a"], [tmp_path / "b"])


@pytest.mark.slow
def test_four_hundred_classes_are_drawn(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = [f"class {number} of $ many" for number in range(400)] * 2
    for name in "ab":
        write_test(tmp_path / name, random.random(800) < 0.5, labels=labels)
    found = compare_runs([tmp_path / "a"], [tmp_path / "b"], resamples=200)
    assert write_comparison(found, tmp_path / "out")[-1] == tmp_path / "out" / "compare.png"
    assert len(rows(tmp_path / "out" / "classes.csv")) == 400
