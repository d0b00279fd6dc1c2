"""The parts of the page; tests/tools/test_app.py shows it to a browser."""

import torch

from tests.conftest import counted_frames
from tests.serve.client import HOSTILE
from video_gc import Recognizer
from video_gc.predict.recognizer import Prediction, Window
from video_gc.serve.looks import attention_picture
from video_gc.serve.page import COLUMNS, timeline


def test_the_timeline_escapes_names_and_averages_many_windows() -> None:
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(COLUMNS, 1)
    windows = [Window(n / 10, (n + 1) / 10, score) for n, score in enumerate(scores)]
    found = timeline(Prediction("v", [HOSTILE, "b"], scores.mean(0), windows, "fp32", "eager", 3))
    assert found.count("<button") == 2 * COLUMNS
    assert found.count("--score: 0.500") == 2 * COLUMNS  # two windows in each
    assert 'data-time="0.2"' in found
    assert "<img" not in found
    assert "\u202e" not in found
    assert "3 of the frames used are damaged" in found


def test_the_picture_is_an_animation_of_the_blocks(recognizer: Recognizer) -> None:
    contract = recognizer.contract
    view = counted_frames(contract.frames, contract.crop, contract.crop)
    found = attention_picture(recognizer, view, 0.5, 1.0)
    assert found.startswith('<img src="data:image/webp;base64,')
    assert found.endswith('alt="Where the blocks look, 0.50 to 1.00 s">')
