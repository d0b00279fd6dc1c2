"""Automatic splits and folds: no group is divided, and nothing is tested twice."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_gc.data import divide as module
from video_gc.data.divide import Fold, divide, groups_of, hold_out, read_fold, take_fold
from video_gc.data.index import DataError, VideoIndex

layouts = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=4, max_size=40)
"""(group, class) of each video."""


def built(videos: list[tuple[int, int]]) -> VideoIndex:
    groups, labels = zip(*videos, strict=True)
    paths = [f"{number:02}.mp4" for number in range(len(videos))]
    return VideoIndex.build(paths, labels, list("abc"), group=[f"g{group}" for group in groups])


def groups_in(index: VideoIndex) -> set[str]:
    return set(index.table["group"].to_pylist())


def paths_in(*parts: VideoIndex) -> list[str]:
    return sorted(str(path) for part in parts for path in part.paths)


@given(layouts, st.integers(0, 3), st.booleans())
def test_a_held_out_group_is_whole(videos: list[tuple[int, int]], seed: int, three: bool) -> None:
    index = built(videos)
    several = [c for c in range(3) if len({g for g, own in videos if own == c}) > 1]
    single = {g for g, own in videos if own not in several}
    if single == {g for g, _ in videos}:
        with pytest.raises(DataError, match="is the only one of a class; add videos of other"):
            hold_out(index, seed=seed, test=three)
        return
    parts = hold_out(index, seed=seed, test=three)
    train, val, test = parts
    assert len(val)
    assert three or not len(test)
    assert sum(len(groups_in(part)) for part in parts) == len(groups_in(index))
    assert paths_in(*parts) == paths_in(index)
    assert {f"g{group}" for group in single} <= groups_in(train)
    again = hold_out(index, seed=seed, test=three)
    assert list(map(paths_in, again)) == list(map(paths_in, parts))


@given(layouts, st.integers(2, 4), st.integers(0, 3))
def test_each_video_is_tested_in_one_fold(
    videos: list[tuple[int, int]], count: int, seed: int
) -> None:
    index = built(videos)
    if len(groups_in(index)) < count:
        with pytest.raises(DataError, match=r"fold \(0/\d\): there are only \d groups; give at mo"):
            take_fold(index, Fold(0, count), seed)
        return
    tested = []
    for number in range(count):
        try:
            train, val, test = take_fold(index, Fold(number, count), seed)
        except DataError as error:  # no validation without a second group of some class
            if "nothing can be held out" in str(error):
                return
            raise
        parts = [groups_in(part) for part in (train, val, test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert paths_in(train, val, test) == paths_in(index)
        tested.append(test)
    assert paths_in(*tested) == paths_in(index)


@given(st.integers(2, 3), st.lists(st.integers(1, 9), min_size=9, max_size=24), st.integers(0, 3))
def test_each_class_is_in_each_part_where_its_groups_allow(
    parts: int, sizes: list[int], seed: int
) -> None:
    """Groups of one class each, three classes in turn, so three groups or more of each."""
    videos = [(number, number % 3) for number, size in enumerate(sizes) for _ in range(size)]
    for part in hold_out(built(videos), seed=seed, test=parts == 3)[:parts]:
        assert {*part.labels.tolist()} == {0, 1, 2}


@given(st.lists(st.integers(1, 14), min_size=1, max_size=4), st.integers(0, 2))
def test_without_groups_a_class_is_in_as_many_parts_as_it_has_videos(
    counts: list[int], seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    index = VideoIndex.build([f"{n}.mp4" for n in range(len(labels))], labels, list("abcd"))
    if max(counts) == 1:
        with pytest.raises(DataError, match="each video is the only one of a class; add others"):
            hold_out(index, seed, test=True)
        return
    parts = hold_out(index, seed, test=True)
    assert paths_in(*parts) == paths_in(index)
    for number, count in enumerate(counts):
        own = [int((part.labels == number).sum()) for part in parts]
        assert sum(map(bool, own)) == min(count, 3)
        assert own[0] >= max(own[1:])
        if count >= 5:
            assert own[2] == count // 5


def missing(part: np.ndarray, videos: list[tuple[int, int]], parts: int) -> int:
    """Number of pairs of a part and a class that it lacks."""
    there = {(part[group], label) for group, label in videos}
    return parts * len({label for _, label in videos}) - len(there)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=6, max_size=20))
def test_no_other_division_has_more_classes_in_each_part(videos: list[tuple[int, int]]) -> None:
    groups, labels = (np.array(each) for each in zip(*videos, strict=True))
    groups = np.unique(groups, return_inverse=True)[1]
    videos = list(zip(groups.tolist(), labels.tolist(), strict=True))
    found = divide(groups, labels, (0.5, 0.5))
    every = product(range(2), repeat=int(groups.max()) + 1)
    assert missing(found, videos, 2) == min(missing(np.array(p), videos, 2) for p in every)


@pytest.mark.slow
def test_shares_are_near_where_groups_are_small() -> None:
    random = np.random.default_rng(0)
    for seed in range(20):
        videos = [(int(random.integers(40)), int(random.integers(3))) for _ in range(400)]
        train, val, _ = hold_out(built(videos), seed=seed)
        assert 0.18 <= len(val) / 400 <= 0.22
        three = hold_out(built(videos), seed=seed, test=True)
        assert np.allclose([len(part) / 400 for part in three], [0.64, 0.16, 0.2], atol=0.02)
        for number in range(3):
            held = (val.labels == number).sum() / (
                (val.labels == number).sum() + (train.labels == number).sum()
            )
            assert 0.1 <= held <= 0.3


@pytest.mark.parametrize("seed", [7])
def test_without_groups_folds_have_equally_many_of_each_class(seed: int) -> None:
    labels = np.random.default_rng(1).integers(0, 3, 203)
    index = VideoIndex.build([f"{n:03}.mp4" for n in range(203)], labels, list("abc"))
    tests = [take_fold(index, Fold(number, 5), seed)[2] for number in range(5)]
    counts = np.array([np.bincount(test.labels, minlength=3) for test in tests])
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(1)) <= 1


def test_folds_do_not_depend_on_the_order_of_a_list() -> None:
    videos = [(number // 3, number % 3) for number in range(30)]
    index = built(videos)
    order = np.random.default_rng(0).permutation(30)
    for fold in (Fold(0, 3), Fold(2, 3)):
        one, other = (take_fold(each, fold) for each in (index, index.take(order)))
        assert [paths_in(part) for part in one] == [paths_in(part) for part in other]


def test_another_seed_divides_otherwise() -> None:
    index = built([(number % 10, number % 3) for number in range(90)])
    assert len({tuple(paths_in(hold_out(index, seed=seed)[1])) for seed in range(5)}) > 1
    plain = VideoIndex.build([f"{n}.mp4" for n in range(40)], [0, 1] * 20, ["a", "b"])
    held = [hold_out(plain, seed=seed)[1] for seed in range(5)]
    assert len({tuple(paths_in(val)) for val in held}) == 5
    assert {tuple(np.bincount(val.labels)) for val in held} == {(4, 4)}


def test_parts_of_one_file_stay_together() -> None:
    paths = [f"{number // 2}.mp4" for number in range(20)]
    index = VideoIndex.build(paths, [0, 1] * 10, ["a", "b"], start=[0.0, 5.0] * 10)
    train, val, test = (set(part.paths) for part in hold_out(index, test=True))
    assert not train & val
    assert not (train | val) & test
    assert (len(val), len(test)) == (2, 2)


def test_a_video_without_a_group_is_one_of_its_own() -> None:
    index = VideoIndex.build(["b", "a", "c"], [0, 0, 0], ["x"], group=["g", None, "g"])
    numbers, names = groups_of(index)
    assert names.to_pylist() == ["a", "g"]
    assert numbers.tolist() == [1, 0, 1]


def test_a_class_with_one_group_is_trained_and_its_fold_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "say", lambda text, style=None: said.append(text))
    videos = [(number, 0) for number in range(8)] + [(8, 1), (8, 1)]
    for part in hold_out(built(videos), test=True)[1:]:
        assert set(part.labels.tolist()) == {0}
    take_fold(built(videos), Fold(0, 4))
    assert said[0].startswith(
        "class 'b': one group only, so the fold that tests it has no training"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", r"fold \(1\) must be NUMBER/COUNT, such as fold=0/5"),
        ("-1/5", "must be NUMBER/COUNT"),
        ("0/1", r"fold \(0/1\): there must be at least 2 folds"),
        ("5/5", r"fold \(5/5\): the folds are 0/5 to 4/5"),
    ],
)
def test_a_fold_is_checked(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_fold(text)
