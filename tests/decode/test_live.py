"""Live sources: real connections that break, answers that never come, and a clock that is ours."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from tests.conftest import counted_frames
from video_gc.decode import live
from video_gc.decode.ffmpeg import live_input
from video_gc.decode.ffmpeg.live_input import Timed
from video_gc.decode.live import Live
from video_gc.decode.open import open_video
from video_gc.decode.reader import NoVideoError, OpenError, StuckError, TooLargeError
from video_gc.decode.write import write_video

KEY = 5
"""Distance of key frames."""


def send(file: Any, frames: np.ndarray, tune: str = "zerolatency", pixel: Any = 1) -> None:
    """Write frames to a file object as MPEG-TS, as FFmpeg does for a live stream."""
    with av.open(file, "w", format="mpegts") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(pixel)
        stream.options = {
            "preset": "superfast",
            "tune": tune,
            "crf": "1",
            "g": str(KEY),
            "sc_threshold": "0",
        }
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def server() -> Iterator[tuple[str, list[int]]]:
    """The address of an HTTP server, and the frames of each connection: 0 is an error 503."""
    counts: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            count = counts.pop(0)
            self.send_response(200 if count else 503)
            self.end_headers()
            if count:
                send(self.wfile, counted_frames(count))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/live", counts
        http.shutdown()
        thread.join()


class Clock:
    """Time that passes only while somebody waits; in place of `closed` and of the module `time`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.waits, self.closed = 100.0, list[float](), False
        self.closed_after_wait = False
        monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: self.now))

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        self.closed |= self.closed_after_wait
        return self.closed

    def is_set(self) -> bool:
        return self.closed

    def set(self) -> None:
        self.closed = True


def with_clock(source: Live, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(source, "_closed", clock)
    return clock


def test_a_stream_goes_on_after_the_server_comes_back(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, counts = server
    counts += [20, 0, 0, 12, 5]
    said: list[str] = []
    source = Live(address, report=said.append)
    clock = with_clock(source, monkeypatch)
    found = []
    for frame in source:
        found.append(frame)
        if len(found) == 34:
            source.close()
    assert clock.waits == [1, 2, 4, 1]  # the pause is short again after a frame
    assert source.reopened == 4
    assert [n for n, frame in enumerate(found) if frame.gap] == [20, 32]
    seconds = [frame.seconds for frame in found]
    assert seconds[:20] == pytest.approx([n / 30 for n in range(20)], abs=1e-4)
    assert seconds[20] == pytest.approx(7)  # the pauses count
    assert seconds[32] == pytest.approx(8)
    sent = counted_frames(20).astype(int)
    nearest = [int(np.abs(sent - frame.picture).mean((1, 2, 3)).argmin()) for frame in found]
    assert nearest == [*range(20), *range(12), 0, 1]
    assert said[0].endswith("; it is opened again in 1 s")
    assert "cannot be read (Server returned 5XX" in said[1]


def test_a_recording_that_breaks_off_is_not_played_again(tmp_path: Path) -> None:
    content = write_video(tmp_path / "v.mkv", counted_frames(90), keyframe_interval=10).read_bytes()
    connections: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connections.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) * 6 // 10])

        def log_message(self, *_: object) -> None:
            pass

    found = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        source = Live(f"http://127.0.0.1:{http.server_port}/v.mkv", fast=True)
        with pytest.raises(OpenError, match=r"cannot be read \(Input/output error"):
            for frame in source:
                found.append(frame)
                assert not frame.gap
        http.shutdown()
    assert 30 < len(found) < 90
    assert (len(connections), source.reopened) == (1, 0)


def test_pauses_grow_to_half_a_minute(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, counts = server
    counts += [3, *[0] * 7, 3]
    source = Live(address)
    clock = with_clock(source, monkeypatch)
    for number, _ in enumerate(source):
        if number == 3:
            source.close()
    assert clock.waits == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_an_address_that_does_not_answer_is_left_in_time(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = Live(f"{scheme}://me:secret@127.0.0.1:{silent.getsockname()[1]}/x", time_limit=0.3)
        with pytest.raises(StuckError, match=r"gave no frame within 0\.3 s") as caught:
            next(iter(source))
    assert "secret" not in str(caught.value)


def test_what_is_no_source_is_said_in_a_line(
    damaged: dict[str, Path], video: Path, server: tuple[str, list[int]]
) -> None:
    with pytest.raises(FileNotFoundError, match=r"/dev/video987: no such camera; cameras here: "):
        Live("987")
    with pytest.raises(FileNotFoundError, match="none.mp4: no such file"):
        Live("none.mp4")
    with pytest.raises(ValueError, match=r"source \(ftp://host/x\) must be a camera such as 0"):
        Live("ftp://me:secret@host/x")
    with pytest.raises(ValueError, match="cannot be read faster than it happens"):
        Live("rtsp://host/x", fast=True)
    with pytest.raises(OpenError, match=r"text.mp4: cannot be read as a video \(Invalid data"):
        next(iter(Live(damaged["text"])))
    with pytest.raises(NoVideoError):
        next(iter(Live(damaged["audio-only"])))
    with pytest.raises(TooLargeError):
        next(iter(Live(video, max_pixels=100)))
    address, counts = server
    counts.append(0)
    with pytest.raises(OpenError, match=r"live: cannot be read \(Server returned 5XX"):
        next(iter(Live(address)))  # it never gave a frame, so it is not opened again


def test_a_file_is_given_as_it_is_read_or_in_real_time(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_video(video) as reader:
        expected, times = reader.read(range(40)), reader.times
    fast = list(Live(video, fast=True))
    assert [frame.seconds for frame in fast] == list(times)
    assert all(np.array_equal(one.picture, two) for one, two in zip(fast, expected, strict=True))
    source = Live(video)
    clock = with_clock(source, monkeypatch)
    for frame in source:
        assert clock.now - 100 == pytest.approx(frame.seconds)
        clock.now += 0.01  # of which the next wait is shorter
    assert len(clock.waits) == 39
    assert sum(clock.waits) == pytest.approx(39 / 30 - 0.39)


def test_late_reading_goes_on_from_a_key_frame(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LATE", 0.51)
    monkeypatch.setattr(live_input, "WAITED", np.inf)
    address, counts = server
    counts.append(60)
    source, late, found = Live(address), list[float](), list[Any]()
    clock = with_clock(source, monkeypatch)
    clock.closed_after_wait = True
    for frame in source:
        found.append(frame)
        late.append(clock.now - 100 - frame.seconds)
        clock.now += 1 / 30 + 0.1  # behind by 0.1 s more after each frame
    assert late[:6] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert max(late) < 0.52
    numbers = [round(30 * frame.seconds) for frame in found]
    assert numbers[:6] == [0, 1, 2, 3, 4, 5]
    after = [n for n, frame in zip(numbers, found, strict=True) if frame.gap]
    assert source.caught_up - len(after) in (0, 1)  # the last time it may have ended before
    assert len(after) >= 2
    assert all(n % KEY == 0 for n in after)


def test_a_late_stream_without_more_key_frames_is_opened_again(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.decode.test_live.KEY", 1000)
    monkeypatch.setattr(live, "LATE", 0.2)
    monkeypatch.setattr(live_input, "KEY_FRAME", 0)
    address, counts = server
    counts += [60, 3]
    said: list[str] = []
    source = Live(address, report=said.append)
    clock = with_clock(source, monkeypatch)
    for frame in source:
        clock.now += 1 / 30 + 0.1
        if frame.gap:
            source.close()
    assert "no key frame came for 0 s; it is opened again in 1 s" in said[0]


def test_a_source_with_a_slower_clock_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Live("http://host/x")
    for waited in (True, False):
        clock = with_clock(source, monkeypatch)

        def slow_clock(waited: bool = waited, clock: Clock = clock) -> Iterator[Timed]:
            for n in range(100):
                yield Timed(n / 30, waited, lambda: np.zeros((2, 2, 3), np.uint8))
                clock.now += 1 / 10

        found = list(source._in_time(slow_clock(), live._Clock(), paced=False))
        assert (len(found) == 100) == waited  # nothing waits to be read


def test_standard_input_is_read_until_it_ends_or_falls_silent(
    monkeypatch: pytest.MonkeyPatch, damaged: dict[str, Path]
) -> None:
    def pipe() -> Any:
        number, end = os.pipe()
        monkeypatch.setattr("sys.stdin", SimpleNamespace(fileno=lambda: number))
        return os.fdopen(end, "wb")

    file = pipe()
    writer = threading.Thread(target=lambda: (send(file, counted_frames(25), "film"), file.close()))
    writer.start()
    seconds = [frame.seconds for frame in Live("-", fast=True)]  # with B-frames
    assert seconds == pytest.approx([n / 30 for n in range(25)], abs=1e-4)
    writer.join()
    with closing(pipe()), pytest.raises(StuckError, match=r"input: gave nothing for 0\.2 s"):
        next(iter(Live("-", time_limit=0.2)))
    with pipe() as other:
        other.write(damaged["text"].read_bytes())
    with pytest.raises(OpenError, match="standard input: .*; in a pipe MP4 needs its index first"):
        next(iter(Live("-")))
    with pipe() as other:
        send(other, counted_frames(5, 32, 48), pixel=8)
    with pytest.raises(TooLargeError, match="384×32"):
        next(iter(Live("-", max_pixels=5000)))
    number, _ = os.openpty()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(fileno=lambda: number))
    with pytest.raises(ValueError, match="standard input is a terminal"):
        Live("-")


def test_time_stamps_that_jump_are_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    seconds = live._Clock()
    for stamp, passed, place, gap in (
        (5.0, 0.0, 0.0, False),
        (5.5, 0.4, 0.5, False),  # the source's clock counts, not ours
        (None, 0.3, 0.7, False),
        (6.0, 0.1, 1.0, False),
        (2.0, 0.7, 1.5, True),  # back
        (2.5, 0.1, 2.0, False),
        (99.0, 0.9, 2.5, True),  # far ahead
        (99.1, 0.0, 2.6, False),
        (119.1, 30.0, 22.6, False),  # not ahead of our clock: key frames 20 s apart, read late
    ):
        clock.now += passed
        assert seconds.place(stamp) == (pytest.approx(place), gap)
