"""Predictions for many requests at a time.

A few other processes decode; one that a file kills or hangs is replaced. One thread owns the
network and scores the windows that wait, of all requests, a micro-batch at a time. Both wait for
each other, so memory does not depend on the length of videos.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from video_gc.predict.decoders import Decoders, ReadLimits, read_windows
from video_gc.predict.features import StageFeatures
from video_gc.predict.recognizer import Prediction, Recognizer
from video_gc.predict.segments import Segment, SegmentOptions, check_windows, find_segments
from video_gc.subprocess_call import ProcessStuck

DECODERS = min(os.cpu_count() or 1, 4)
"""Processes that decode."""
WAITING = 4
"""Micro-batches of windows that may wait for the network."""


class TooLateError(Exception):
    """A request was not finished in time."""


class Service:
    """A recogniser for several threads; close it, or use it in a `with` block.

    max_seconds: longest video, in seconds. decoders: number of processes that decode.
    """

    def __init__(
        self, recognizer: Recognizer, *, max_seconds: float, decoders: int = DECODERS
    ) -> None:
        self.recognizer, self.max_seconds = recognizer, max_seconds
        self.batches = Batches(self._compute, recognizer.micro_batch)
        self._stages: dict[str, StageFeatures] = {}
        self.decoders = Decoders(decoders)

    @cached_property
    def _watchable(self) -> Recognizer:
        """Made with the first request of features."""
        return self.recognizer.in_eager()

    def predict(self, file: Path, name: str, deadline: float) -> Prediction:
        """As `Recognizer.predict`. deadline: of `time.monotonic`; name: the video's, in the result.

        Raises TooLateError, DecodeError; FloatingPointError for a network whose scores are NaN.
        """
        seconds, scores, damaged = self._rows(file, None, deadline)
        return self.recognizer.prediction(name, seconds, scores, damaged=damaged)

    def features(
        self, file: Path, layer: str, deadline: float
    ) -> tuple[list[tuple[float, float]], Tensor]:
        """(start, end) of the windows of a video, and the features (K, C) of `StageFeatures`.

        Raises as `predict`, and ValueError for a layer that the network lacks.
        """
        seconds, rows, _ = self._rows(file, layer, deadline)
        return seconds, rows

    def segments(self, file: Path, deadline: float) -> list[Segment]:
        """The segments of a video, with the defaults of `tools/predict.py --segments`.

        Raises as `predict`, and ValueError for a network that sees a whole video at once.
        """
        check_windows(self.recognizer.contract)
        options = SegmentOptions()
        seconds, scores, _ = self._rows(file, None, deadline, options.overlap)
        start, end = np.array(seconds).T
        return find_segments(scores.numpy(), start, end, self.recognizer.names, options)

    def _rows(
        self, file: Path, layer: str | None, deadline: float, overlap: float = 0.0
    ) -> tuple[list[tuple[float, float]], Tensor, int]:
        """Times of the windows, a row of scores or features for each, number of damaged frames."""
        rows: list[Future[Tensor]] = []
        try:
            with closing(self._decoded(file, deadline, overlap)) as items:
                windows, damaged = next(items), 0
                for item in items:
                    if isinstance(item, np.ndarray):
                        rows.append(self.batches.submit(item, layer, deadline))
                    else:
                        damaged = item
            return (
                windows.times,
                torch.stack([row.result(_left(deadline)) for row in rows]),
                damaged,
            )
        except (TimeoutError, queue.Full, queue.Empty, ProcessStuck):
            raise TooLateError from None
        finally:
            for row in rows:
                row.cancel()

    def _compute(self, views: np.ndarray, layer: str | None) -> Tensor:
        """A row for each view, in the thread that owns the network."""
        if layer is None:
            return self.recognizer.score(views)
        if layer not in self._stages:
            self._stages[layer] = StageFeatures(self._watchable, layer)
        with torch.inference_mode():
            return self._stages[layer](self.recognizer.prepare(views))

    def view(self, file: Path, number: int, deadline: float) -> np.ndarray:
        """The view (T, H, W, 3) of window `number` of a video. Raises as `predict`."""
        try:
            _, view, _ = self._decoded(file, deadline, only=number)
        except (queue.Empty, ProcessStuck):
            raise TooLateError from None
        return view

    def close(self) -> None:
        """End the processes and the thread."""
        self.decoders.close()
        self.batches.close()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decoded(
        self, file: Path, deadline: float, overlap: float = 0.0, only: int | None = None
    ) -> Generator[Any, None, None]:
        """Yield what `read_windows` yields in a process."""
        contract, left = self.recognizer.contract, partial(_left, deadline)
        limits = ReadLimits(self.recognizer.max_pixels, self.max_seconds, left())
        return self.decoders.run(left, read_windows, str(file), contract, limits, overlap, only)


@dataclass(frozen=True)
class _Task:
    """A view (T, H, W, 3) that waits for the network."""

    view: np.ndarray
    layer: str | None
    """the layer of its features; None: scores"""
    row: "Future[Tensor]"


class Batches:
    """Rows of single windows, computed together by one thread.

    compute: views (n, T, H, W, 3) and a layer → rows (n, …). size: views in a call, at most.
    """

    def __init__(self, compute: Callable[[np.ndarray, str | None], Tensor], size: int) -> None:
        self.compute, self.size = compute, size
        self.scored, self.calls = 0, 0
        """windows and calls so far"""
        self._waiting: queue.Queue[_Task | None] = queue.Queue(WAITING * size)
        self._held: list[_Task | None] = []
        self._thread = threading.Thread(target=self._run, name="scoring", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether windows are scored."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Windows that wait."""
        return self._waiting.qsize()

    def submit(self, view: np.ndarray, layer: str | None, deadline: float) -> "Future[Tensor]":
        """The row of a view (T, H, W, 3), later. Raises queue.Full if it is late."""
        task = _Task(view, layer, Future())
        self._waiting.put(task, timeout=_left(deadline))
        return task.row

    def close(self) -> None:
        """Compute what waits, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while group := self._next():
            wanted = [task for task in group if task.row.set_running_or_notify_cancel()]
            if not wanted:
                continue
            try:
                rows = self.compute(np.stack([task.view for task in wanted]), wanted[0].layer)
            except Exception as error:  # of these windows; others are computed
                for task in wanted:
                    task.row.set_exception(error)
                continue
            self.scored += len(wanted)
            self.calls += 1
            for task, row in zip(wanted, rows, strict=True):
                task.row.set_result(row)

    def _next(self) -> list[_Task]:
        """The tasks that wait and have one layer, at most `size`; none at the end."""
        group: list[_Task] = []
        while len(group) < self.size:
            try:
                task = self._held.pop() if self._held else self._waiting.get(block=not group)
            except queue.Empty:
                break
            if task is None or (group and task.layer != group[0].layer):
                self._held.append(task)  # after this group
                break
            group.append(task)
        return group


def _left(deadline: float) -> float:
    """Seconds until the deadline."""
    return max(deadline - time.monotonic(), 0.0)
