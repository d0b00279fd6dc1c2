"""The answer in sentences, and numbers with their intervals."""

from dataclasses import replace

import pytest

from video_gc.analysis.attention.findings import (
    answer,
    degree,
    footing,
    numbers,
    percent,
    points,
)
from video_gc.analysis.attention.replacements import Replacement, Replacements
from video_gc.analysis.attention.statistics import Interval
from video_gc.analysis.attention.study import BlockStudy, Estimate, Pairs


def estimate(value: float, half: float = 0.005) -> Estimate:
    return Estimate(value, value - half, value + half, 0.0)


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [
        (0.02, 0.01, "hardly depends"),
        (0.10, 0.02, "depends a little"),
        (0.40, 0.05, "clearly depends"),
        (0.05, 0.01, "hardly depends or depends a little"),
        (0.20, 0.16, "hardly depends or clearly depends"),
    ],
)
def test_the_word_is_that_of_the_whole_interval(value: float, half: float, said: str) -> None:
    assert degree(estimate(value, half)) == said


def block(value: float, between: float, within: float, share: float = 0.5) -> BlockStudy:
    pairs = Pairs(estimate(value), estimate(between), estimate(within))
    return BlockStudy(
        "res4.3", "nl", "form", (4, 4, 4), 64, 64, 64, "all", 64,
        attention=pairs, entropy_share=estimate(share),
    )  # fmt: skip


def test_the_answer_in_a_sentence() -> None:
    head, line = answer([block(0.02, 0.02, 0.02)])
    said = "res4.3 (nl): 0.020 (0.015–0.025)"  # the first sentence has the words
    assert line == said
    assert head == "Attention hardly depends on the query in 1 of 1 blocks."
    shared = replace(block(0.02, 0.02, 0.02), unary_share=estimate(0.93, 0.02))
    unary = "; the unary part is 93.0 % (91.0 to 95.0) of the logits' variance"
    assert answer([shared])[1] == said + unary
    assert "nearly uniform" in answer([block(0.02, 0.02, 0.02, share=0.995)])[1]


def test_a_block_that_adds_nothing_is_called_untrained() -> None:
    trained = replace(block(0.02, 0.02, 0.02), name="res4.1", change=estimate(0.05))
    fresh = replace(block(0.0, 0.0, 0.0), change=Estimate(0.0, 0.0, 0.0, 0.0))
    head, *lines = answer([fresh, replace(fresh, change=estimate(0.004))])
    assert head == (
        "Nothing is added yet in 1 of 2 blocks; almost nothing is added yet in 1 of 2 blocks."
    )
    assert lines[0] == "res4.3 (nl): nothing is added yet: 0 % of its input's size; train longer"
    assert "almost nothing is added yet: 0.4 % of its input's size" in lines[1]
    head, *lines = answer([fresh, trained])
    assert "attention hardly depends on the query in 1 of 2 blocks" in head
    assert "train longer" in lines[0]
    assert lines[1].startswith("res4.1 (nl): attention hardly depends")


def test_what_several_blocks_have_in_common_is_said_once() -> None:
    alike = [replace(block(0.02, 0.02, 0.02), name=f"res4.{n}") for n in range(5)]
    said = "ttention hardly depends on the query"
    assert sum(line.count(said) for line in answer(alike)) == 1
    fresh = replace(block(0.0, 0.0, 0.0), change=Estimate(0.0, 0.0, 0.0, 0.0))
    found = answer([*alike, fresh])
    assert len(found) == 3
    assert sum(line.count(said) for line in found) == 2  # how many, then which
    assert all(name in found[1] for name in ("res4.0", "res4.4"))


def test_the_number_of_videos_is_said_with_their_intervals() -> None:
    some = Interval(0.1, 0.05, 0.2)
    loss = Replacement("res4.3", "snl", 48, some, some, 0, None, None, None, None, None)
    losses = Replacements([loss], 4, 16, True, {})
    assert footing(64, losses) == (
        "95 % intervals are over 64 videos, those of the replacements over 48."
    )
    assert footing(20, None) == "95 % intervals are over 20 videos."
    assert "over 19 videos; below about 20 an interval is rough" in footing(19, None)
    fewer = replace(losses, rows=[replace(loss, clips=18)])
    assert "the replacements over 18; below about 20 an interval is rough" in footing(24, fewer)
    assert footing(1, None) == "One video was examined: there are no intervals."


def test_numbers_have_their_interval() -> None:
    assert numbers(None) == "–"
    assert numbers(Interval(0.002, -0.004, 0.01)) == "0.002 (0.000–0.010)"
    assert numbers(Interval(0.25, None, None)) == "0.250"
    assert percent(Interval(0.5, 0.25, 0.75)) == "50.0 % (25.0 to 75.0)"
    assert points(Interval(-0.04, -0.1, 0.0)) == "-4.0 points (-10.0 to +0.0)"
