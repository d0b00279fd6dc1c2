"""The parts of the page; tests/tools/test_app.py shows it to a browser."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fastapi import FastAPI

from tests.conftest import counted_frames
from tests.serve.client import HOSTILE, client
from video_gc import Recognizer
from video_gc.data.index import DataError
from video_gc.predict.recognizer import Prediction, Window
from video_gc.serve import page
from video_gc.serve.limits import Limits
from video_gc.serve.looks import attention_picture
from video_gc.serve.page import COLUMNS, KEPT, SEGMENTS, timeline


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
    assert 'alt="Where the blocks look, 0.50 to 1.00 s">' in found
    text = found.partition("</p>")[0].rpartition(">")[2]
    assert re.fullmatch(r"class activation: \d+% (bright|dark)", text)  # text, not only a picture


def test_a_network_without_blocks_shows_class_activation_alone(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: object) -> list[str]:
        raise DataError("no block has a map")

    monkeypatch.setattr("video_gc.serve.looks.drawn_blocks", none)
    contract = recognizer.contract
    view = counted_frames(contract.frames, contract.crop, contract.crop)
    assert "Where the network looks" in attention_picture(recognizer, view, 0, 1)
    monkeypatch.setattr("video_gc.serve.looks.has_captum", lambda: False)
    with pytest.raises(DataError, match="no block has a map"):
        attention_picture(recognizer, view, 0, 1)


def test_a_picture_that_is_late_is_told_and_does_not_stop_the_next(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    begun = []

    def slow(*_: object) -> str:
        begun.append(1)
        assert go_on.wait(60)
        return "<img>"

    monkeypatch.setattr(page, "attention_picture", slow)
    service: Any = SimpleNamespace(recognizer=recognizer, view=lambda *_: np.zeros(1))
    one = ("v", 0, 0.0, 1.0)
    with ThreadPoolExecutor(1) as looking:
        for _ in range(2):
            late = page._picture(service, one, Limits(timeout=0.2), looking)
            assert "was not drawn within 0.2 s (--timeout)" in late
        go_on.set()
        assert page._picture(service, one, Limits(timeout=60), looking) == "<img>"
    assert len(begun) == 2  # the second had not begun when it was late


def test_what_cancelled_uploads_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    for name in ("tmpold", "tmpnew", "example.mp4"):
        (tmp_path / name).write_bytes(b"x")
        if name != "tmpnew":
            os.utime(tmp_path / name, (0, 0))

    async def run() -> None:
        async with page._sweeping(FastAPI()):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert KEPT > 60
    assert {file.name for file in tmp_path.iterdir()} == {"tmpnew", "example.mp4"}


PROGRAM = """
from video_gc.serve.limits import Limits
from video_gc.serve.page import create_page
from video_gc.serve.server import end_cleanly, listening, server
end_cleanly()
with listening("127.0.0.1", 0) as listener:
    print(listener.getsockname()[1], flush=True)
    server(create_page({}, [], Limits(max_mb=1)), timeout=60, patience=0).run([listener])
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gradio") is None, reason='pip install "video_gc[app]"')
def test_uploads_of_the_page_are_limited(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)},
    ) as process, client() as own:  # fmt: skip
        assert process.stdout is not None
        try:
            upload = f"http://127.0.0.1:{process.stdout.readline().strip()}/gradio_api/upload"
            one, half = ("files", bytes(1 << 20)), ("files", bytes(1 << 19))
            assert own.post(upload, files=[one]).status_code == 200
            many = own.post(upload, files=[half] * 3)
            request = own.build_request("POST", upload, files=[half] * 3)
            kind = {"Content-Type": request.headers["content-type"]}
            unannounced = own.post(upload, content=iter([request.read()]), headers=kind)
            elsewhere = own.post(upload, files=[half], headers={"Origin": "http://evil.example"})
        finally:
            process.terminate()
    assert (many.status_code, unannounced.status_code, elsewhere.status_code) == (413, 413, 403)
