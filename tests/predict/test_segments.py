"""Scores of windows → segments, against a slow implementation and by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_gc.predict.segments import Segment, SegmentOptions, borders, find_segments, smooth

NAMES = ["run", "jump"]


def options(**given: float) -> SegmentOptions:
    return SegmentOptions(**{"smooth": 1} | given)  # type: ignore[arg-type]


def windows(scores: np.ndarray, seconds: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of windows of `seconds`, 1 s apart."""
    start = np.arange(len(scores), dtype=float)
    return start, start + seconds


def found(scores: list[float], seconds: float = 1.0, **given: float) -> list[tuple[float, float]]:
    """The segments of one class."""
    array = np.array(scores)[:, None]
    all_of = find_segments(array, *windows(array, seconds), ["run"], options(**given))
    return [(segment.start, segment.end) for segment in all_of]


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (K, 2), and starts and ends of windows at odd distances, overlapping or not."""
    count = draw(st.integers(1, 24))
    score = st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0])
    scores = np.array(draw(st.lists(st.tuples(score, score), min_size=count, max_size=count)))
    steps = draw(st.lists(st.sampled_from([0.25, 1.0, 1.5]), min_size=count, max_size=count))
    start = np.cumsum(steps) - steps[0]
    return scores, start, start + draw(st.sampled_from([0.25, 1.0, 4.0]))


LIMITS = st.sampled_from([(0.5, 0.5), (0.8, 0.4), (0.6, 0.2), (1.0, 0.6)])


def test_windows_side_by_side_are_their_own_borders() -> None:
    assert found([0, 0.9, 0.8, 0]) == [(1, 3)]
    assert found([0.9, 0, 0.9]) == [(0, 1), (2, 3)]
    assert found([0.4] * 5) == []
    assert found([0.7]) == [(0, 1)]


def test_overlapping_windows_meet_between_their_centres() -> None:
    # windows 0–2, 1–3, 2–4, 3–5 s: the event begins between the centres 2 and 3 s
    assert found([0, 0, 1, 1], seconds=2.0) == [(2.5, 5)]
    assert found([1, 0, 0, 0], seconds=2.0) == [(0, 1.5)]


def test_a_segment_goes_on_above_leave_and_must_reach_the_threshold() -> None:
    scores = [0.1, 0.5, 0.9, 0.5, 0.6, 0.1, 0.5, 0.5, 0.1]
    assert found(scores, threshold=0.8, leave=0.4) == [(1, 5)]
    assert found(scores, threshold=0.8, leave=0.8) == [(2, 3)]
    assert found(scores, threshold=0.6) == [(1, 5)]  # leaves at 0.48


def test_a_mean_over_windows_bridges_a_gap_and_drops_a_peak() -> None:
    assert found([1, 1, 0, 1, 1], smooth=3) == [(0, 5)]
    assert found([0, 0, 1, 0, 0], smooth=3) == []
    assert smooth(np.array([[0.0], [3.0], [6.0]]), 3).ravel().tolist() == [1.5, 3.0, 4.5]


def test_the_score_is_the_mean_of_the_segment() -> None:
    scores = np.array([[0.6, 0.1], [0.8, 0.1], [0.1, 0.9]])
    got = find_segments(scores, *windows(scores), NAMES, options())
    assert got == [
        Segment("run", pytest.approx(0.7), 0.0, 2.0),  # type: ignore[arg-type]
        Segment("jump", pytest.approx(0.9), 2.0, 3.0),  # type: ignore[arg-type]
    ]


@given(scored(), LIMITS)
def test_as_a_slow_search_finds_them(
    given: tuple[np.ndarray, np.ndarray, np.ndarray], limits: tuple[float, float]
) -> None:
    scores, start, end = given
    edges = borders(start, end)
    expected = set()
    for number, name in enumerate(NAMES):
        for peak in np.flatnonzero(scores[:, number] >= limits[0]):
            first = last = int(peak)
            while first > 0 and scores[first - 1, number] >= limits[1]:
                first -= 1
            while last + 1 < len(scores) and scores[last + 1, number] >= limits[1]:
                last += 1
            expected.add((name, edges[first], edges[last + 1]))
    got = find_segments(scores, start, end, NAMES, options(threshold=limits[0], leave=limits[1]))
    assert {(s.label, s.start, s.end) for s in got} == expected
    assert len(got) == len(expected)


@given(scored(), LIMITS, st.sampled_from([1, 3, 5]))
def test_time_and_classes_can_be_turned_round(
    given: tuple[np.ndarray, np.ndarray, np.ndarray], limits: tuple[float, float], mean: int
) -> None:
    scores, start, end = given
    chosen = options(threshold=limits[0], leave=limits[1], smooth=mean)
    got = find_segments(scores, start, end, NAMES, chosen)
    back = find_segments(scores[::-1, ::-1], -end[::-1], -start[::-1], NAMES[::-1], chosen)
    kept = sorted((s.label, s.start, s.end, s.score) for s in got)
    turned = sorted((s.label, -s.end, -s.start, s.score) for s in back)
    assert [row[0] for row in kept] == [row[0] for row in turned]
    np.testing.assert_allclose([r[1:] for r in kept], [r[1:] for r in turned], atol=1e-9)


@given(scored(), LIMITS, st.sampled_from([1, 3, 5]), st.sampled_from([0.0, 0.6, 2.0]))
def test_segments_of_a_class_are_apart_inside_the_video_and_long_enough(
    given: tuple[np.ndarray, np.ndarray, np.ndarray],
    limits: tuple[float, float],
    mean: int,
    least: float,
) -> None:
    scores, start, end = given
    chosen = options(threshold=limits[0], leave=limits[1], smooth=mean, min_length=least)
    got = find_segments(scores, start, end, NAMES, chosen)
    assert [s.start for s in got] == sorted(s.start for s in got)
    for name in NAMES:
        own = [s for s in got if s.label == name]
        assert all(one.end < two.start for one, two in pairwise(own))
    for segment in got:
        assert start[0] <= segment.start < segment.end <= end[-1]
        assert segment.end - segment.start >= least
        assert limits[1] <= segment.score <= 1


def test_a_segment_of_the_smallest_length_is_kept() -> None:
    start, end = np.arange(30) / 10, np.arange(1, 31) / 10
    for first in range(1, 9):  # 0.4 - 0.1 is above 0.3, 0.9 - 0.6 below
        scores = np.zeros((30, 1))
        scores[first : first + 3] = 1
        assert find_segments(scores, start, end, ["run"], options(min_length=0.3)), first


@given(scored(), st.sampled_from([1, 3]))
def test_a_higher_threshold_finds_no_more(
    given: tuple[np.ndarray, np.ndarray, np.ndarray], mean: int
) -> None:
    scores, start, end = given
    low = find_segments(scores, start, end, NAMES, options(threshold=0.5, leave=0.4, smooth=mean))
    high = find_segments(scores, start, end, NAMES, options(threshold=0.8, leave=0.4, smooth=mean))
    assert set(high) <= set(low)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"overlap": 1.0}, r"overlap \(1\) must be in"),
        ({"threshold": 0.0}, r"threshold \(0\) must be in"),
        ({"threshold": 0.5, "leave": 0.6}, r"leave \(0.6\) must be above 0 and at most"),
        ({"smooth": 4}, r"smooth \(4\) must be 1, 3, 5"),
        ({"min_length": -1.0}, r"min_length \(-1\) must be at least"),
        ({"overlap": float("nan")}, "overlap"),
    ],
)
def test_wrong_options_are_explained(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options(**wrong)
