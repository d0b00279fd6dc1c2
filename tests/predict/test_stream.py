"""Windows of endless frames: which frames they have, what is dropped, and how little is held."""

import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import video_gc.predict
from tests.conftest import counted_frames
from video_gc.data.crops import scaled_size
from video_gc.decode.live import Live
from video_gc.deploy.contract import Contract
from video_gc.predict.recognizer import Recognizer
from video_gc.predict.stream import Stream, StreamWindow

CONTRACT = Contract(
    names=["a", "b", "c"], frames=4, stride=2, fps=30.0, short_side=16, crop=16,
    mean=[0.5] * 3, std=[0.5] * 3, versions={},
)  # fmt: skip


def network(score: Any = None, **changed: Any) -> Any:
    """In place of a Recognizer: the scores are the brightness of the first, second and last frame,
    of 255."""

    def brightness(views: np.ndarray) -> Tensor:
        return torch.from_numpy(views[:, [0, 1, -1], 0, 0, 0] / 255)

    return SimpleNamespace(contract=replace(CONTRACT, **changed), score=score or brightness)


def grey(count: int, rate: float = 30.0, start: float = 0.0) -> list[tuple[np.ndarray, float]]:
    """Frames of 8×8 pixels; the brightness of frame n is n."""
    return [(np.full((8, 8, 3), n % 256, np.uint8), start + n / rate) for n in range(count)]


def frames_of(window: StreamWindow) -> list[int]:
    """The first, second and last frame of a window of `grey`."""
    return [round(255 * float(score)) for score in window.scores]


def run(frames: Any, recognizer: Any = None, **options: Any) -> list[StreamWindow]:
    return list(Stream(frames, recognizer or network(), every_window=True, **options))


@pytest.mark.parametrize("stride", [None, 0.0, 0.2])
def test_windows_have_the_scores_of_their_frames(checkpoint: Path, stride: float | None) -> None:
    recognizer = Recognizer(checkpoint, device="cpu")  # 4×2 frames at 30 Hz
    frames = counted_frames(40)
    stream = zip(frames, np.arange(40) / 30, strict=True)
    found = list(video_gc.Stream(stream, recognizer, every_window=True, stride=stride))
    step = {None: 8, 0.0: 2, 0.2: 6}[stride]  # frames
    firsts = range(0, 40 - 6, step)
    assert [window.start for window in found] == pytest.approx([n / 30 for n in firsts])
    for first, window in zip(firsts, found, strict=True):
        own = recognizer.predict(frames[first : first + 7 : 2], fps=15).windows
        assert len(own) == 1
        torch.testing.assert_close(window.scores, own[0].scores, rtol=0, atol=0)
        assert window.end == pytest.approx(window.start + 6 / 30)
        assert (window.dropped, window.dropped_frames) == (0, 0)
        best = int(window.scores.argmax())
        assert window.labels[0] == (recognizer.names[best], float(window.scores[best]))


def test_a_file_has_the_windows_of_its_frames(checkpoint: Path, video: Path) -> None:
    recognizer = Recognizer(checkpoint, device="cpu", precision="fp32")
    whole = recognizer.predict(video).windows[0]
    live = Live(video, fast=True)
    first, *_ = Stream(live, recognizer, every_window=True)
    torch.testing.assert_close(first.scores, whole.scores, rtol=0.05, atol=0.02)
    live.scale = partial(scaled_size, short_side=32)  # the same pixels
    first, *_ = Stream(live, recognizer, every_window=True)
    torch.testing.assert_close(first.scores, whole.scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("rate", "step"), [(60, 4), (15, 1), (30000 / 1001, 2)])
def test_a_window_spans_the_time_of_the_training(rate: float, step: int) -> None:
    found = run(grey(50, rate))
    assert frames_of(found[0]) == [0, step, 3 * step]
    assert frames_of(found[1]) == [4 * step, 5 * step, 7 * step]


def test_a_source_slower_than_the_samples_repeats_its_frames() -> None:
    assert frames_of(run(grey(9, rate=10))[0]) == [0, 1, 2]  # instants 0, 0.067, 0.133, 0.2


@pytest.mark.parametrize("rate", [2.0, 3.0, 0.001])
def test_a_source_whose_frames_are_further_apart_than_a_window_gives_windows(rate: float) -> None:
    found = run([*grey(9, rate), *grey(6, rate, start=20 / rate)])
    numbers = [*range(2, 9), *range(1, 6)]  # the first interval of a source may be a pause
    assert [frames_of(window) for window in found] == [[n, n, n] for n in numbers]
    assert found[7].start == pytest.approx(21 / rate)  # a longer pause is a gap here too


def test_without_a_rate_frames_are_counted() -> None:
    assert frames_of(run(grey(9, rate=5), network(fps=None))[0]) == [0, 2, 6]


def test_clips_of_pyslowfast_are_spread_from_first_to_last() -> None:
    contract = {"frames": 8, "stride": 8, "offsets": "pyslowfast"}
    assert frames_of(run(grey(64), network(**contract))[0]) == [0, 9, 63]


@pytest.mark.parametrize(
    "second",
    [
        [(picture, seconds, n == 0) for n, (picture, seconds) in enumerate(grey(9, start=0.2))],
        grey(9, start=0.1),  # back
        grey(9, start=5.0),  # later than a window is long
    ],
    ids=["said", "back", "pause"],
)
def test_no_window_spans_a_gap(second: list[Any]) -> None:
    found = run([*grey(5), *second], average_size=2)
    (window,) = found  # the first five frames are less than a window
    assert frames_of(window) == [0, 2, 6]
    assert window.start == second[0][1]


def test_scores_are_averaged_over_the_last_windows_until_a_gap() -> None:
    found = run([*grey(40), *grey(9, start=9.0)], average_size=2)
    plain = run([*grey(40), *grey(9, start=9.0)])
    assert len(found) == 6
    for n in range(6):
        expected = plain[n].scores
        if n not in (0, 5):
            expected = (plain[n - 1].scores + plain[n].scores) / 2
        torch.testing.assert_close(found[n].scores, expected)


def test_labels_are_the_best_above_the_threshold() -> None:
    window = run(grey(20, rate=30), threshold=0.0079, top=2)[0]  # scores 0, 2/255, 6/255
    assert window.labels == [("c", pytest.approx(6 / 255))]
    two = run(grey(20), top=2)[0].to_dict()
    assert [label["label"] for label in two["labels"]] == ["c", "b"]
    assert (two["start"], two["end"], two["dropped"]) == (0, 0.2, 0)
    assert two["time"].endswith("+00:00")


def test_at_most_so_many_windows_in_a_second() -> None:
    ends = [window.end for window in run(grey(300), stride=0, inference_fps=2)]
    assert np.diff(ends) == pytest.approx(8 / 15)  # half a second, in whole samples of 1/15 s
    assert len(run(grey(300), inference_fps=50)) == len(run(grey(300)))


def test_ten_minutes_at_twenty_times_the_speed_of_the_network() -> None:
    """The network waits until twenty more windows have come: it needs no clock to be slow."""
    count, came, turn = 10 * 60 * 30, 0, threading.Condition()

    def ten_minutes() -> Iterator[tuple[np.ndarray, float]]:
        nonlocal came
        for n in range(count):
            yield np.full((32, 32, 3), n % 256, np.uint8), n / 30
            with turn:
                came += 1
                turn.notify_all()

    def slow(_views: np.ndarray) -> Tensor:
        with turn:
            until = min(came + 20 * 32, count)
            turn.wait_for(lambda: came >= until)
        return torch.ones(1, 3)

    tracemalloc.start()
    try:
        stream = Stream(ten_minutes(), network(slow, stride=8))
        found = [(window.end, window.dropped, window.dropped_frames) for window in stream]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stream.read == count
    windows = count // 32
    assert stream.scored + stream.dropped == windows
    assert len(found) == stream.scored <= windows // 20 + 2
    assert sum(dropped for _, dropped, _ in found) == stream.dropped
    for (before, *_), (end, dropped, missed) in pairwise(found):
        assert end - before == pytest.approx((dropped + 1) * 32 / 30)  # the newest, after each
        assert missed == (dropped * 32 + 7 if dropped else 0)  # 7 lie between two windows
    assert peak < 600_000  # all frames would be 55 MB


def test_what_reading_raises_is_raised_after_the_windows_before() -> None:
    def broken() -> Iterator[Any]:
        yield from grey(12)
        raise OSError("the camera is gone")

    stream = iter(Stream(broken(), network(), every_window=True))
    assert frames_of(next(stream)) == [0, 2, 6]
    with pytest.raises(OSError, match="the camera is gone"):
        next(stream)
    for frames, said in (
        ([(np.zeros((8, 8)), 0.0)], "must be uint8"),
        ([(np.zeros((8, 8, 3), np.uint8), float("nan"))], r"a frame's time \(nan\)"),
    ):
        with pytest.raises(ValueError, match=said):
            run(frames)


def test_frames_that_cannot_be_begun_or_closed_raise_it() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        run(None)

    def full() -> Iterator[Any]:
        try:
            yield from grey(300)
        finally:
            raise OSError("the disk is full")

    stream = Stream(full(), network(), every_window=True)
    with pytest.raises(OSError, match="the disk is full"):
        for _ in stream:
            stream.stop()


def test_leaving_it_ends_the_reading() -> None:
    closed = threading.Event()

    def endless() -> Iterator[Any]:
        try:
            n = 0
            while True:
                yield np.zeros((8, 8, 3), np.uint8), n / 30
                n += 1
        finally:
            closed.set()

    before = threading.active_count()
    for every_window in (True, False):
        closed.clear()
        for _ in Stream(endless(), network(), every_window=every_window):
            break
        assert closed.is_set()
        assert threading.active_count() == before


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"stride": -1.0}, r"stride \(-1.0\) must be at least 0"),
        ({"average_size": 0}, r"average_size \(0\) must be at least 1"),
        ({"top": 0}, r"top \(0\) must be"),
        ({"threshold": 1.5}, r"threshold \(1.5\) must be in 0…1"),
        ({"inference_fps": 0.0}, r"inference_fps \(0.0\) must be above 0"),
    ],
)
def test_options_are_checked(option: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Stream([], network(), **option)


def test_it_has_two_names() -> None:
    assert video_gc.predict.Stream is video_gc.Stream is Stream


def test_segments_of_a_whole_video_need_a_video() -> None:
    with pytest.raises(ValueError, match="a stream has no end"):
        Stream([], network(sampling="segments"))
