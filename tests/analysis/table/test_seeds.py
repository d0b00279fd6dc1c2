"""Means, errors, differences, Holm's correction and the front, where they are known."""

from dataclasses import replace

import numpy as np
import pytest

from video_gc.analysis.table.accuracy import Against, corrected, figure, holm, pareto_front


def test_several_seeds_have_a_standard_deviation() -> None:
    found = figure([0.50, 0.56, 0.62], videos=100)
    assert found.mean == pytest.approx(56)
    assert found.error == pytest.approx(6)
    assert found.kind == "sd"


def test_one_seed_has_the_error_of_its_videos() -> None:
    found = figure([0.2], videos=400)
    assert (found.error, found.kind) == (pytest.approx(2), "se")
    assert figure([0.2], videos=None).error is None


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_front_is_what_nothing_beats() -> None:
    points = [(3.0, 70.0), (1.0, 60.0), (2.0, 59.0), (2.0, 65.0), (4.0, 70.0), (5.0, 71.0)]
    assert pareto_front(points) == [1, 3, 0, 5]
    assert pareto_front([(1.0, 5.0), (1.0, 5.0)]) == [0, 1]


def test_the_front_against_its_definition() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        points = [tuple(map(float, each)) for each in random.integers(0, 6, (9, 2))]
        beaten = {
            i
            for i, (cost, accuracy) in enumerate(points)
            if any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in points)
        }
        assert set(pareto_front(points)) == set(range(9)) - beaten


def test_what_the_correction_takes_back_is_said() -> None:
    one = Against(
        figure="top-1", difference=2.0, low=0.1, high=3.9, p=0.04, holm=None, wins=9, losses=1,
        videos=99, word="better", sentence="B is better. McNemar's test: p = 0.04.",
    )  # fmt: skip
    found = corrected({"a": one, "b": replace(one, p=0.001), "c": replace(one, word="noise")})
    assert {name: each.word for name, each in found.items()} == {
        "a": "better (not after Holm)",
        "b": "better",
        "c": "noise",
    }
    assert "p = 0.04, 0.08 after Holm's correction for 3 comparisons." in found["a"].sentence
    assert corrected({"a": one})["a"] == replace(one, holm=0.04)


def test_one_seed_that_gets_all_right_is_not_without_error() -> None:
    assert figure([1.0], 320).error is None
    assert figure([1.0, 1.0], 320).error == 0  # that of the seeds is known
