"""Intervals and tests where videos belong to groups, which are drawn as a whole."""

from pathlib import Path

import numpy as np
import pytest

from tests.analysis.compare.writing import write_test
from video_gc.analysis.compare.bootstrap import (
    Difference,
    accuracy_figures,
    differences,
    levels,
    precision_figures,
)
from video_gc.analysis.compare.comparison import compare_runs
from video_gc.analysis.compare.mcnemar import mcnemar

GROUPS = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 5])
CLASSES = np.array([0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1])
RIGHT = np.array([[1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1], [1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0]])


def test_a_drawn_group_brings_all_its_videos() -> None:
    """Groups 2 and 4 are alike, so there are five kinds of group."""
    figures, sizes = accuracy_figures(CLASSES, RIGHT, RIGHT, GROUPS)
    assert sorted(sizes) == [1, 1, 1, 1, 2]
    alone, ones = accuracy_figures(CLASSES, RIGHT, RIGHT)
    assert figures(sizes[None]) == pytest.approx(alone(ones[None]))
    means = {tuple(figures(np.eye(5, dtype=int)[[k]])[0, :, 0].round(9)) for k in range(5)}
    expected = {tuple(RIGHT[:, g == GROUPS].mean(1).round(9)) for g in range(6)}
    assert means == expected


def test_groups_that_are_alike_are_one_kind() -> None:
    right = np.array([[1, 0, 1, 0, 1, 1]])
    figures, sizes = accuracy_figures(np.zeros(6), right, right, np.array([0, 0, 1, 1, 2, 2]))
    assert sorted(sizes) == [1, 2]
    assert figures(sizes[None])[0, 0, 0] == pytest.approx(4 / 6)


def test_precision_of_drawn_groups_is_that_of_their_videos() -> None:
    random = np.random.default_rng(1)
    hot = (random.random((12, 3)) < 0.4).astype(np.int8)
    scores = random.random((12, 3)).astype(np.float32)
    grouped, sizes = precision_figures(hot, [scores], GROUPS)
    plain, _ = precision_figures(hot, [scores])
    for _ in range(10):
        counts = random.multinomial(6, sizes / 6)
        assert grouped(counts[None])[0] == pytest.approx(plain(counts[GROUPS][None])[0])


def test_groups_of_one_video_change_nothing() -> None:
    plain = accuracy_figures(CLASSES, RIGHT, RIGHT)
    own = accuracy_figures(CLASSES, RIGHT, RIGHT, np.arange(12))
    assert sorted(plain[1]) == sorted(own[1])
    one, other = (differences(*each, (1, 1), resamples=4000)[0] for each in (plain, own))
    assert [each.error for each in one] == pytest.approx([each.error for each in other], rel=0.05)


def of_accuracy(right: np.ndarray, groups: np.ndarray | None, seed: int = 0) -> Difference:
    figures, sizes = accuracy_figures(np.zeros(right.shape[1]), right, right, groups)
    return levels(figures, sizes, len(right), resamples=600, seed=seed)[0]


def test_the_interval_covers_the_truth_only_if_it_knows_the_groups() -> None:
    """Thirty groups of 2 to 11 videos, whose chances differ; the mean chance is 69 %."""
    random = np.random.default_rng(0)
    chances = np.clip(random.normal(0.7, 0.25, 100_000), 0, 1)
    covered = np.zeros(2)
    for number in range(100):
        groups = np.repeat(np.arange(30), random.integers(2, 12, 30))
        right = (random.random(len(groups)) < random.choice(chances, 30)[groups])[None]
        found = (of_accuracy(right, each, number) for each in (groups, None))
        covered += [one.low <= 100 * chances.mean() <= one.high for one in found]
    assert 90 <= covered[0] <= 99
    assert covered[1] < 85


def test_an_accuracy_is_the_mean_over_seeds_within_its_interval() -> None:
    found = of_accuracy(RIGHT, GROUPS)
    assert found.b == pytest.approx((100 * RIGHT.mean(1)).tolist())
    assert 0 <= found.low < np.mean(found.b) < found.high <= 100
    perfect = of_accuracy(np.ones((1, 12)), GROUPS)
    assert (perfect.low, perfect.high) == (50, 100)  # three of six groups may differ
    nothing = of_accuracy(np.zeros((1, 12)), GROUPS)
    assert (nothing.low, nothing.high) == (0, 50)


def test_the_test_counts_groups(tmp_path: Path) -> None:
    """B gains eight videos, all in one group: that proves little."""
    right = np.zeros(20, bool)
    better = np.arange(20) < 8
    groups = ["match"] * 8 + [f"other{n}" for n in range(12)]
    for name, own in (("a", right), ("b", better)):
        write_test(tmp_path / name, own, groups=groups)
        write_test(tmp_path / f"{name}_alone", own)
    alone = compare_runs([tmp_path / "a_alone"], [tmp_path / "b_alone"], resamples=500)
    assert alone.changes is not None
    assert alone.changes.test == mcnemar(8, 0)
    assert alone.word == "better"
    found = compare_runs([tmp_path / "a"], [tmp_path / "b"], resamples=500)
    assert found.changes is not None
    assert (found.changes.wins, found.changes.losses) == (8, 0)
    assert found.changes.test == mcnemar(1, 0)
    assert found.word == "noise"
    assert found.name_of_test == "the sign test over the groups"
    assert "20 videos of 13 groups show a difference of" in found.verdict
    assert found.figures["top-1"].high > alone.figures["top-1"].high


def test_parts_of_one_file_are_a_group(tmp_path: Path) -> None:
    paths = [f"{number // 2}.mp4" for number in range(8)]
    for name, right in (("a", np.arange(8) < 3), ("b", np.arange(8) < 5)):
        write_test(tmp_path / name, right, labels=["run"] * 8, paths=paths)
    found = compare_runs([tmp_path / "a"], [tmp_path / "b"], resamples=100)
    assert found.videos.group_count == 4
