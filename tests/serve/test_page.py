"""The parts of the page; tests/tools/test_app.py shows it to a browser."""

import torch

from tests.conftest import counted_frames
from tests.serve.client import HOSTILE
from video_gc import Recognizer
from video_gc.predict.recognizer import Prediction, Window
from video_gc.serve.looks import attention_picture
from video_gc.serve.page import COLUMNS, SEGMENTS, timeline


def test_the_timeline_escapes_names_and_averages_many_windows() -> None:
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(COLUMNS, 1)
    windows = [Window(n / 10, (n + 1) / 10, score) for n, score in enumerate(scores)]
    found = timeline(Prediction("v", [HOSTILE, "b"], scores.mean(0), windows, "fp32", "eager", 3))
    assert found.count("--score: 0.500") == 2 * COLUMNS  # two windows in each
    assert 'data-time="0.2"' in found
    assert "<img" not in found
    assert "\u202e" not in found
    assert "3 of the frames used are damaged" in found
    assert found.count("<li>") == SEGMENTS
    assert f"The first {SEGMENTS} of {2 * COLUMNS} segments are shown" in found


def test_segments_are_buttons_that_seek() -> None:
    scores = torch.tensor([[0.9, 0.1]]).repeat(6, 1)
    scores[3:] = torch.tensor([0.1, 0.9])
    windows = [Window(2.0 * n, 2.0 * n + 2, score) for n, score in enumerate(scores)]
    found = timeline(Prediction("v", ["a", HOSTILE], scores.mean(0), windows, "fp32", "eager"))
    assert found.count("<li>") == 2
    assert '<li><button type="button" data-time="6.0">&lt;img' in found
    assert "6.00 to 12.00 s, " in found
    alone = Prediction("v", ["a", "b"], scores[0], windows[:1], "fp32", "eager")
    assert "<li>" not in timeline(alone)  # one window is the whole video


def test_the_picture_is_an_animation_of_the_blocks(recognizer: Recognizer) -> None:
    contract = recognizer.contract
    view = counted_frames(contract.frames, contract.crop, contract.crop)
    found = attention_picture(recognizer, view, 0.5, 1.0)
    assert found.startswith('<img src="data:image/webp;base64,')
    assert found.endswith('alt="Where the blocks look, 0.50 to 1.00 s">')
