"""The arithmetic of cores and a GPU, and what resize says of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from video_gc.data.prepare.feeding import (
    MULTIPLY_ADDS,
    cores_needed,
    longest_ms,
    trained_clips,
)
from video_gc.data.prepare.resize import ResizeResult, Speed
from video_gc.data.prepare.summary import feeding_lines, show_resize
from video_gc.models.build import ModelConfig, sketch
from video_gc.models.context import ContextConfig
from video_gc.models.counts import complexity

RESULT = ResizeResult(2, 1, None, 0, 0, Speed(3 << 20, 60.0), Speed(4 << 20, 20.0))


def test_the_network_is_counted() -> None:
    context = ContextConfig(kind="gc")
    network = sketch(ModelConfig(backbone="slow", num_classes=400, context=context))
    assert complexity(network, (8, 224, 224)).flops == MULTIPLY_ADDS


def test_a_training_costs_three_forward_passes_of_two_flops() -> None:
    assert trained_clips(10**9, peak=6e12, share=0.5) == pytest.approx(500)
    assert trained_clips(MULTIPLY_ADDS) == pytest.approx(1184, abs=0.01)  # 0.3 of 989 TFLOP/s


@pytest.mark.parametrize(
    ("ms", "rate", "cores"), [(20, 1184, 24), (10, 100, 1), (10.1, 100, 2), (0.1, 1, 1)]
)
def test_cores_are_whole_and_enough(ms: float, rate: float, cores: int) -> None:
    assert cores_needed(ms, rate) == cores
    assert longest_ms(cores, rate) >= ms
    assert cores == 1 or longest_ms(cores - 1, rate) < ms


def test_resize_says_what_feeds_a_gpu() -> None:
    first, second = feeding_lines(60, 20)
    assert first == "A core reads 50 clips a second of the copies, 17 of the originals."
    assert "on 1,184 a second (assumed: 30 % of its peak)" in second
    assert "24 cores feed it from the copies, 72 from the originals" in second


@pytest.mark.parametrize(
    ("changed", "table", "lines"),
    [
        ({}, True, True),
        ({"before": Speed(1, None), "after": Speed(1, None)}, True, False),
        ({"done": 0, "before": Speed(1, None), "after": Speed(1, None)}, False, False),
    ],
    ids=["written", "not measured", "nothing written"],
)
def test_resize_is_silent_without_news(
    changed: dict[str, object], table: bool, lines: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    show_resize(replace(RESULT, **changed), Path("small"))  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert "1 kept" in said
    assert ("MiB" in said) == table
    assert ("cores feed it" in said) == lines
