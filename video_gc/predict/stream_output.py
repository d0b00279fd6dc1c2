"""The windows of a stream as lines of JSON, as a table in the terminal, and on the video itself."""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TypeVar

import numpy as np
from PIL import Image
from rich.live import Live as LiveTable
from rich.table import Table

from video_gc.data.crops import scaled_size
from video_gc.decode.live import Live, LiveFrame
from video_gc.decode.write import growing_video, muxer_of
from video_gc.escape import readable, short_name
from video_gc.outputs import Outputs, output_path
from video_gc.pictures.letters import write
from video_gc.predict.stream import Stream, StreamWindow
from video_gc.progress import Screen, say

Item = TypeVar("Item")
BAR = 20
"""characters of a full bar"""
LINES = 1000
"""Windows that a slow reader may be behind; then scoring waits, and others are dropped."""


def show_stream(live: Live, stream: Stream, *, as_json: bool, out: Path | None = None) -> None:
    """Print each window as soon as it is scored, until the source ends or a signal comes.

    as_json: a line of JSON to stdout for each window; otherwise a table that is redrawn.
    out: also write the video, with the labels of the newest window on each frame.

    SIGINT (Ctrl-C), SIGTERM and a closed stdout end it after the window that is being scored, and
    then the video is complete; a second signal ends it at once. Ends with a summary on stderr.
    Raises what iterating the stream raises.
    """
    overlay = Overlay(live, out) if out else None
    stream.frames = overlay or live
    if overlay is None:  # scaled once, from the coded planes, as in training
        live.scale = partial(scaled_size, short_side=stream.recognizer.contract.short_side)

    def stop() -> None:
        live.close()
        stream.stop()

    try:
        shows = nullcontext(_print_line) if as_json else _table()
        with _signals(stop), shows as shown, in_a_thread(shown) as show:
            for window in stream:
                if overlay:
                    overlay.labels = window.labels
                if not show(window):
                    stop()
    finally:
        if stream.read:
            _say_summary(live, stream)
        if overlay and overlay.written:
            say(f"The video is {out}")
        elif overlay and stream.read:
            say(f"{out} was not written: the source did not let go in time", style="yellow")


class Overlay:
    """The frames of `live`, unchanged; a copy with `labels` on it is written to a video."""

    def __init__(self, live: Live, file: Path) -> None:
        """Raises ValueError for a name that no video has, FileExistsError for a foreign file."""
        muxer_of(file)
        Outputs(file.parent).check([file.name])
        self.labels: list[tuple[str, float]] = []
        """of the newest window; set it as windows come"""
        self.written = False
        """whether the file is complete"""
        self._live, self._file = live, file

    def __iter__(self) -> Iterator[LiveFrame]:
        failure: Exception | None = None
        with closing(iter(self._live)) as frames:  # type: ignore[type-var]
            first = next(frames, None)
            if first is None:
                return
            with output_path(self._file) as part, growing_video(part) as add:
                try:  # whatever ends it, the video until then is kept
                    frame: LiveFrame | None = first
                    while frame is not None:
                        add(draw_labels(frame.picture, self.labels), frame.seconds)
                        yield frame
                        frame = next(frames, None)
                except GeneratorExit:
                    pass
                except Exception as error:
                    failure = error
        self.written = True
        if failure is not None:
            raise failure


def draw_labels(picture: np.ndarray, labels: list[tuple[str, float]]) -> np.ndarray:
    """A copy of a frame uint8 (H, W, 3) with a line for each label in its upper left corner."""
    image = Image.fromarray(picture)
    size = max(picture.shape[0] // 20, 10)
    for line, (name, score) in enumerate(labels):
        at = (size // 2, size // 2 + 1.3 * size * line)
        text = f"{short_name(name)} {score:.0%}"
        write(image, at, text, size, (255, 255, 255), rim=max(size // 8, 1))
    return np.asarray(image)


@contextmanager
def in_a_thread(shown: Callable[[Item], bool]) -> Iterator[Callable[[Item], bool]]:
    """`shown`, called elsewhere: what yields returns False once `shown` did, for an earlier item.

    Ends when all items are shown; raises what `shown` raised.
    """
    waiting: queue.Queue[Item | None] = queue.Queue(LINES)
    gone, failures = threading.Event(), list[BaseException]()

    def work() -> None:
        while (item := waiting.get()) is not None:
            try:
                if not gone.is_set() and not shown(item):
                    gone.set()
            except BaseException as error:
                failures.append(error)
                gone.set()

    def show(item: Item) -> bool:
        waiting.put(item)
        return not gone.is_set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield show
    finally:
        waiting.put(None)
        thread.join()
    if failures:
        raise failures[0]


def _print_line(window: StreamWindow) -> bool:
    """Print it at once; returns whether somebody reads."""
    try:
        print(json.dumps(window.to_dict()), flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # Python flushes stdout once more at its end
        os.close(nowhere)
        return False
    return True


@contextmanager
def _table() -> Iterator[Callable[[StreamWindow], bool]]:
    with LiveTable(console=Screen(), auto_refresh=False) as display:

        def show(window: StreamWindow) -> bool:
            display.update(window_table(window), refresh=True)
            return True

        yield show


def window_table(window: StreamWindow) -> Table:
    """The labels of a window with bars; its time, latency and what was dropped below."""
    table = Table(
        title=f"{window.start:.1f} – {window.end:.1f} s",
        caption=f"latency {window.latency_ms:.0f} ms, dropped: {window.dropped} windows",
        min_width=48,
    )
    table.add_column("label", ratio=1, overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("", width=BAR)
    for name, score in window.labels:
        table.add_row(readable(name), f"{score:.0%}", "█" * round(BAR * score))
    return table


def _say_summary(live: Live, stream: Stream) -> None:
    windows = stream.scored + stream.dropped
    share = f" ({stream.dropped / windows:.1%})" if windows else ""
    latency = f", mean latency {stream.latency_ms / stream.scored:.0f} ms" if stream.scored else ""
    say(
        f"{live.name}: {stream.read} frames, {stream.scored} windows scored{latency}, "
        f"{stream.dropped} windows dropped{share}, opened again {live.reopened} times, "
        f"caught up {live.caught_up} times"
    )


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM calls `stop`; another one ends the program."""
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
