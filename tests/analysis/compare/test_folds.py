"""The folds of a run as one test: each video once, or an error that says what is missing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.analysis.compare.writing import write_test
from video_gc.analysis.compare.comparison import compare_runs, intervals_of
from video_gc.analysis.compare.folds import fold_in, pool_folds
from video_gc.analysis.compare.predictions import read_tested
from video_gc.data.divide import Fold
from video_gc.data.index import DataError
from video_gc.evaluate.metrics import precision

RIGHT = np.array([True, False, True, True, True, False, True])
FOLDS = ([0, 1, 2], [3, 4], [5, 6])


def write_folds(runs: Path, name: str, right: np.ndarray = RIGHT) -> list[Path]:
    """Three folds of seven videos, of which each pair of neighbours is a group."""
    for number, rows in enumerate(FOLDS):
        share = float(right[rows].mean())
        level = {"top1": share, "top5": 1.0, "count": len(rows)}
        write_test(
            runs / f"{name}_fold{number}of3",
            right[rows],
            labels=["run"] * len(rows),
            paths=[f"data/{row}.mp4" for row in rows],
            groups=[f"g{row // 2}" for row in rows],
            video_level=level,
            clip_level=level | {"count": 2 * len(rows)},
            fingerprint=f"sizes:{number}aaa",
        )
    return [runs / f"{name}_fold{number}of3" for number in range(3)]


def test_a_fold_is_read_from_the_directorys_name() -> None:
    assert fold_in("i3d_gc_five_0dde795b_s0_fold2of5") == ("i3d_gc_five_0dde795b_s0", Fold(2, 5))
    assert fold_in("mine") is None


def test_folds_are_one_test(tmp_path: Path) -> None:
    write_test(tmp_path / "other", RIGHT)
    places = [*reversed(write_folds(tmp_path, "mine")), tmp_path / "other"]
    mine, other = pool_folds([read_tested(place) for place in places])
    assert (mine.name, other.name) == ("mine", "other")
    assert mine.paths == [f"data/{row}.mp4" for row in range(7)]
    assert [top[0] == "run" for top in mine.top] == RIGHT.tolist()
    assert mine.groups == ["g0", "g0", "g1", "g1", "g2", "g2", "g3"]
    assert mine.about["video_level"] == {"top1": 5 / 7, "top5": 1.0, "count": 7}
    assert mine.about["clip_level"]["count"] == 14
    again = pool_folds([read_tested(place) for place in places[:3]])[0]
    assert mine.about["fingerprint"] == again.about["fingerprint"] != ""
    write_folds(tmp_path / "elsewhere", "mine")
    changed = [read_tested(path) for path in sorted((tmp_path / "elsewhere").glob("*"))]
    changed[1].about["fingerprint"] = "sizes:ffff"
    assert pool_folds(changed)[0].about["fingerprint"] != mine.about["fingerprint"]


def test_every_fold_is_needed_and_each_video_once(tmp_path: Path) -> None:
    places = write_folds(tmp_path, "mine")
    with pytest.raises(DataError, match=r"mine: no test of fold 1/3; every fold is needed"):
        pool_folds([read_tested(places[0]), read_tested(places[2])])
    tests = [read_tested(place) for place in places]
    tests[2].paths[0] = "data/0.mp4"
    with pytest.raises(DataError, match=r"data/0.mp4: is tested in 2 folds of mine; their data"):
        pool_folds(tests)


def test_a_fold_given_twice_is_an_error(tmp_path: Path) -> None:
    a = write_folds(tmp_path, "plain")
    b = write_folds(tmp_path, "gc")
    with pytest.raises(ValueError, match=r"predictions.csv: fold gc_fold1of3 is given twice; name"):
        compare_runs(a, [*b, b[1] / "test"], resamples=50)


def test_rows_are_compared_by_video_over_all_folds(tmp_path: Path) -> None:
    a = write_folds(tmp_path, "plain", np.zeros(7, bool))
    b = write_folds(tmp_path, "gc")
    found = compare_runs(a, b, resamples=200)
    assert found.trainings == (1, 1)
    assert len(found.videos.paths) == 7
    assert found.videos.group_count == 4
    assert found.figures["top-1"].difference == pytest.approx(500 / 7)
    assert found.changes is not None
    assert (found.changes.wins, found.changes.losses) == (5, 0)
    assert "one seed each" in found.warnings[0]
    one = compare_runs(a[:1], b[:1], resamples=50)  # the same fold of two runs
    assert len(one.videos.paths) == 3
    with pytest.raises(DataError, match="no test of fold 2/3"):
        compare_runs(a[:2], b[:2], resamples=50)


def test_scores_of_several_labels_are_pooled(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    hot = random.random((7, 3)) < 0.5
    hot[:, 0] = True
    labels = [";".join(name for name, has in zip("pqr", row, strict=True) if has) for row in hot]
    scores = random.random((7, 3)).astype(np.float32)
    for number, rows in enumerate(FOLDS):
        run = tmp_path / f"mine_fold{number}of3"
        write_test(
            run,
            [True] * len(rows),
            labels=[labels[row] for row in rows],
            paths=[f"{row}.mp4" for row in rows],
            video_level={"mAP": 0.5, "count": len(rows)},
        )
        (run / "test" / "classes.csv").write_text("class,videos\np,1\nq,1\nr,1\n")
        np.save(run / "test" / "scores.npy", scores[rows])
    tests = [read_tested(tmp_path / f"mine_fold{number}of3") for number in range(3)]
    found = intervals_of(pool_folds(tests), resamples=50)
    expected = precision(torch.from_numpy(scores), torch.from_numpy(hot).int())
    assert found["mAP"].b == [pytest.approx(100 * expected.mAP, abs=1e-4)]
