"""tools/stream.py: lines, table, video with labels, and how it ends."""

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.predict.test_stream import grey, network
from video_gc.decode.live import LiveFrame
from video_gc.decode.open import open_video
from video_gc.predict.stream import Stream
from video_gc.predict.stream_output import draw_labels, in_a_thread, show_stream, window_table
from video_gc.progress import Screen


class Frames:
    """In place of a Live: it gives these frames, and ends when it is closed."""

    name, reopened, caught_up, scale = "source", 2, 0, None

    def __init__(self, frames: Iterable[tuple[np.ndarray, float]]) -> None:
        self.frames, self.closed = frames, False

    def __iter__(self) -> Iterator[LiveFrame]:
        for picture, seconds in self.frames:
            if self.closed:
                return
            yield LiveFrame(picture, seconds)

    def close(self) -> None:
        self.closed = True


def test_a_file_gives_a_line_for_each_window_and_a_video(
    tool, checkpoint: Path, video: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "labels.mp4"
    arguments = ("--stride", "0.2", "--average-size", "2", "--threshold", "0.5", "--out", out)
    status, text, err = tool("stream", checkpoint, video, "--fast", *arguments)
    assert status == 0, err
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["start"] for line in lines] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1], abs=1e-3)
    assert all(line["labels"][0]["score"] >= 0.5 for line in lines)
    assert "clips of 4×2 frames at 30 Hz as in training" in err
    assert "40 frames, 6 windows scored" in err
    assert f"The video is {out}" in err
    with open_video(out) as written, open_video(video) as plain:
        assert (len(written), written.size) == (40, plain.size)
        assert written.times == pytest.approx(plain.times, abs=1e-3)
        changed = np.abs(written.read([39]).astype(int) - plain.read([39])).max((0, 3)) > 60
    assert changed[:24].any()  # white letters in the upper half
    assert not changed[40:].any()
    foreign = tmp_path / "foreign.mp4"
    foreign.write_bytes(b"mine")
    assert tool("stream", checkpoint, video, "--out", foreign)[0] == 2
    assert foreign.read_bytes() == b"mine"


def test_what_cannot_be_opened_is_said_in_a_line(
    tool, checkpoint: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    for arguments, expected, said in (
        (["987"], 2, "error: /dev/video987: no such camera; cameras here: "),
        ([damaged["text"]], 1, "text.mp4: cannot be read as a video"),
        (["ftp://host/x"], 2, "source (ftp://host/x) must be a camera"),
        ([damaged["text"], "--out", tmp_path / "x.txt"], 2, "x.txt: a video is written as one of"),
    ):
        status, out, err = tool("stream", checkpoint, *arguments)
        assert (status, out) == (expected, "")
        assert said in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary_and_a_whole_video(
    number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    endless = ((np.zeros((48, 64, 3), np.uint8), n / 30) for n in range(10**9))

    def stopped() -> Iterator[Any]:
        for n, frame in enumerate(endless):
            if n == 100:
                os.kill(os.getpid(), number)
            yield frame

    live = Frames(stopped())
    out = tmp_path / "out.mp4"
    before = signal.getsignal(number)
    show_stream(live, Stream(live, network(), every_window=True), as_json=True, out=out)
    assert signal.getsignal(number) is before
    printed, said = capfd.readouterr()
    assert len([json.loads(line) for line in printed.splitlines()]) >= 11
    assert "windows scored, mean latency" in said
    assert "opened again 2 times" in " ".join(said.split())
    with open_video(out) as written:
        assert len(written) >= 100
    assert not list(tmp_path.glob(".video_gc-*.part*"))


def test_a_closed_pipe_ends_it_quietly(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    number, end = os.pipe()
    os.close(number)
    live = Frames((np.zeros((8, 8, 3), np.uint8), n / 30) for n in range(10**9))
    stream = Stream(live, network(), every_window=True)
    with os.fdopen(end, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        show_stream(live, stream, as_json=True)
        pipe.flush()
    assert 1 <= stream.scored < 10_000  # of a source without an end
    assert "error" not in capfd.readouterr().err


def test_a_video_keeps_its_size_when_the_source_changes_and_what_came_before_an_error(
    tmp_path: Path,
) -> None:
    def frames() -> Iterator[Any]:
        for n in range(20):
            side = 31 if n < 10 else 48
            yield np.full((side, 40, 3), 200, np.uint8), n / 30 + (n >= 15)
        raise OSError("the end")

    live = Frames(frames())
    with pytest.raises(OSError, match="the end"):
        show_stream(live, Stream(live, network()), as_json=True, out=tmp_path / "out.mkv")
    with open_video(tmp_path / "out.mkv") as written:
        assert (len(written), written.size) == (20, (30, 40))
        assert written.times[[0, 14, 15]] == pytest.approx([0, 14 / 30, 1.5], abs=2e-3)


def test_labels_are_drawn_on_a_copy() -> None:
    frame = np.zeros((60, 80, 3), np.uint8)
    drawn = draw_labels(frame, [("alike", 0.9)])
    assert frame.max() == 0
    assert drawn[:30].max() > 200
    assert drawn[40:].max() == 0
    assert np.array_equal(draw_labels(frame, []), frame)


def test_the_table_of_a_terminal() -> None:
    (window, *_) = Stream(grey(9), network(), every_window=True)
    window = replace(window, labels=[("[red]a", 0.5), ("b\x1b", 0.25)], dropped=3)
    screen = Screen(record=True, width=60, file=io.StringIO())
    screen.print(window_table(window))
    text = screen.export_text()
    assert "0.0 – 0.2 s" in text
    assert "[red]a" in text
    assert "b\\x1b" in text
    assert "█" * 10 + " " in text
    assert "dropped: 3 windows" in text


def test_a_source_that_does_not_let_go_costs_the_video_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_gc.predict.stream.JOIN", 0.1)
    go_on = threading.Event()

    def hangs() -> Iterator[tuple[np.ndarray, float]]:
        yield from grey(12)
        live.close()
        stream.stop()
        assert go_on.wait(60)

    live: Any = Frames(hangs())
    stream = Stream(live, network())
    try:
        show_stream(live, stream, as_json=True, out=tmp_path / "out.mkv")
        assert not (tmp_path / "out.mkv").exists()
    finally:
        go_on.set()
    assert "out.mkv was not written: the source did not let go in time" in capsys.readouterr().err


def test_a_slow_reader_does_not_stop_scoring() -> None:
    enough, shown = threading.Event(), list[int]()

    def slow(number: int) -> bool:
        assert enough.wait(20)
        shown.append(number)
        return True

    with in_a_thread(slow) as show:
        assert all(show(number) for number in range(100))
        assert not shown
        enough.set()
    assert shown == list(range(100))
    with pytest.raises(ZeroDivisionError), in_a_thread(lambda number: bool(1 // number)) as show:
        show(0)
