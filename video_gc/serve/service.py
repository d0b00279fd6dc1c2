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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from video_gc.decode.reader import DecodeError
from video_gc.predict.recognizer import Prediction, Recognizer
from video_gc.serve.decoding import Reading, read_windows, ready
from video_gc.subprocess_call import (
    ENDED,
    ITEM,
    RAISED,
    RETURNED,
    ChildProcess,
    ProcessDied,
    ProcessStuck,
)

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
        self.batches = Batches(recognizer.score, recognizer.micro_batch)
        self._idle: queue.Queue[ChildProcess] = queue.Queue()
        self.decoders = decoders
        children = [ChildProcess() for _ in range(decoders)]
        for child in children:
            child.begin(None, ready)
        for child in children:
            while child.answer(None)[0] != RETURNED:
                pass
            self._idle.put(child)

    def predict(self, file: Path, name: str, deadline: float) -> Prediction:
        """As `Recognizer.predict`. deadline: of `time.monotonic`; name: the video's, in the result.

        Raises TooLateError, DecodeError; FloatingPointError for a network whose scores are NaN.
        """
        scores: list[Future[Tensor]] = []
        try:
            with closing(self._decoded(file, deadline)) as items:
                seconds, damaged = next(items), 0
                for item in items:
                    if isinstance(item, np.ndarray):
                        scores.append(self.batches.submit(item, deadline))
                    else:
                        damaged = item
            found = torch.stack([score.result(_left(deadline)) for score in scores])
        except (TimeoutError, queue.Full, queue.Empty, ProcessStuck):
            raise TooLateError from None
        finally:
            for score in scores:
                score.cancel()
        return self.recognizer.prediction(name, seconds, found, damaged=damaged)

    def view(self, file: Path, number: int, deadline: float) -> np.ndarray:
        """The view (T, H, W, 3) of window `number` of a video. Raises as `predict`."""
        try:
            _, view, _ = self._decoded(file, deadline, number)
        except (queue.Empty, ProcessStuck):
            raise TooLateError from None
        return view

    def close(self) -> None:
        """End the processes and the thread."""
        for _ in range(self.decoders):
            self._idle.get().end()
        self.batches.close()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decoded(
        self, file: Path, deadline: float, only: int | None = None
    ) -> Generator[Any, None, None]:
        """Yield what `read_windows` yields in a process of the pool."""
        child = self._idle.get(timeout=_left(deadline))
        kind = None
        try:
            contract, most = self.recognizer.contract, self.recognizer.max_pixels
            limit = _left(deadline)
            limits = Reading(most, self.max_seconds, limit)
            child.begin(limit, read_windows, str(file), contract, limits, only)
            while kind not in (ENDED, RAISED):
                kind, value = child.answer(_left(deadline))
                if kind == ITEM:
                    yield value
            if kind == RAISED:
                raise value
        except ProcessDied as error:
            reason = f"the decoder's process died ({error}); the file is damaged"
            raise DecodeError(file, reason) from None
        finally:
            if kind not in (ENDED, RAISED):  # it would answer to the next request
                child.end()
            self._idle.put(child if child.alive else ChildProcess())


class Batches:
    """Scores of single windows, computed together by one thread.

    score: views (n, T, H, W, 3) → (n, classes). size: views in a call, at most.
    """

    def __init__(self, score: Callable[[np.ndarray], Tensor], size: int) -> None:
        self.score, self.size = score, size
        self.scored, self.calls = 0, 0
        """windows and calls so far"""
        self._waiting: queue.Queue[tuple[np.ndarray, Future[Tensor]] | None] = queue.Queue(
            WAITING * size
        )
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

    def submit(self, view: np.ndarray, deadline: float) -> "Future[Tensor]":
        """The scores (classes,) of a view (T, H, W, 3), later. Raises queue.Full if it is late."""
        future: Future[Tensor] = Future()
        self._waiting.put((view, future), timeout=_left(deadline))
        return future

    def close(self) -> None:
        """Score what waits, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (group := self._next()) is not None:
            wanted = [(v, future) for v, future in group if future.set_running_or_notify_cancel()]
            if not wanted:
                continue
            try:
                scores = self.score(np.stack([view for view, _ in wanted]))
            except Exception as error:  # of these windows; others are scored
                for _, future in wanted:
                    future.set_exception(error)
                continue
            self.scored += len(wanted)
            self.calls += 1
            for (_, future), score in zip(wanted, scores, strict=True):
                future.set_result(score)

    def _next(self) -> list[tuple[np.ndarray, "Future[Tensor]"]] | None:
        """The windows that wait, at most `size`; None at the end."""
        first = self._waiting.get()
        if first is None:
            return None
        group = [first]
        while len(group) < self.size:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._waiting.put(None)  # after this group
                break
            group.append(item)
        return group


def _left(deadline: float) -> float:
    """Seconds until the deadline."""
    return max(deadline - time.monotonic(), 0.0)
