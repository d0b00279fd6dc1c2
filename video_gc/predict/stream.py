"""Frames that go on and on → windows with scores, with a bounded delay and in bounded memory.

One thread reads: it keeps the last T frames that the network would see, already scaled and cropped.
Whoever iterates scores the newest window; a window that was not scored when the next one is
complete is dropped and counted. So a slow network drops windows, and never falls behind.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from video_gc.predict.recognizer import Recognizer, best_classes, label_rows
from video_gc.predict.stream_sampling import SampledClip, Sampler

POLL = 0.5
"""Seconds between looks at whether the stream was stopped: a signal handler cannot wake its own
thread between the look and the wait."""
JOIN = 8.0
"""Most seconds to wait at the end for a frame that is being read."""


@dataclass(frozen=True, kw_only=True)
class StreamWindow:
    """One input of the network: when it was, and what it shows."""

    start: float
    end: float
    """seconds of its first and last frame, in the time of the stream"""
    time: datetime
    """when its last frame came, by this machine's clock, UTC"""
    scores: Tensor
    """(classes,), probabilities; the mean of the last `average_size` windows"""
    labels: list[tuple[str, float]]
    """the best classes with a score of at least `threshold`, and their scores"""
    latency_ms: float
    """milliseconds from when its last frame came to its scores"""
    dropped: int
    """windows that were complete and not scored, since the scored window before this one"""
    dropped_frames: int
    """frames of the source that no scored window spans because of it"""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "time": self.time.isoformat(timespec="milliseconds"),
            "labels": label_rows(self.labels),
            "latency_ms": round(self.latency_ms, 1),
            "dropped": self.dropped,
            "dropped_frames": self.dropped_frames,
        }


@dataclass(eq=False)
class Stream:
    """Iterate over it for a `StreamWindow` of the newest frames, again and again.

        for window in Stream(Live("rtsp://camera/1"), Recognizer("runs/demo"), average_size=3):
            print(window.end, window.labels)

    If the rate of the training is known, a window has the first frame at or after each of T
    instants, τ / fps seconds apart; otherwise every τ-th frame of the source. A gap, time that goes
    back, or a pause longer than a window begin a new window.

    Iterating raises what reading the frames raises, and ValueError for frames of another shape.
    """

    frames: Iterable[tuple[Any, float] | tuple[Any, float, bool]]
    """frames uint8 (H, W, 3) in RGB with their seconds, and True after a gap: of `Live`, or your
    own"""
    recognizer: Recognizer
    _: KW_ONLY
    stride: float | None = None
    """seconds from the end of a window to the end of the next, rounded up to whole samples;
    default: windows follow each other without overlap"""
    average_size: int = 1
    """windows over which scores are averaged; a gap starts again"""
    threshold: float = 0.0
    """smallest score of a label"""
    inference_fps: float | None = None
    """most windows in a second of the stream"""
    every_window: bool = False
    """reading waits for scoring, so that no window is dropped: for files"""
    top: int = 5
    """most labels of a window"""
    read: int = field(default=0, init=False)
    """frames that were read"""
    scored: int = field(default=0, init=False)
    """windows that were scored"""
    dropped: int = field(default=0, init=False)
    """windows that were not"""
    latency_ms: float = field(default=0.0, init=False)
    """sum over the scored windows"""

    def __post_init__(self) -> None:
        if self.stride is not None and not self.stride >= 0:
            raise ValueError(f"stride ({self.stride}) must be at least 0 seconds")
        if self.inference_fps is not None and not self.inference_fps > 0:
            raise ValueError(f"inference_fps ({self.inference_fps}) must be above 0")
        for name in ("average_size", "top"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} ({getattr(self, name)}) must be at least 1")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold ({self.threshold}) must be in 0…1")
        if self.recognizer.contract.sampling == "segments":
            raise ValueError(
                "this network sees frames spread over a whole video, and a stream has no end; "
                "use video-gc predict, or train with clip.sampling=dense"
            )
        self._slot = _Slot(self.every_window)

    def __iter__(self) -> Iterator[StreamWindow]:
        self._slot = slot = _Slot(self.every_window)
        self.read = self.scored = self.dropped = 0
        self.latency_ms = 0.0
        recent: deque[Tensor] = deque(maxlen=self.average_size)
        before: SampledClip | None = None
        reader = threading.Thread(target=self._read, args=(slot,), daemon=True)
        reader.start()
        try:
            while (taken := slot.take()) is not None:
                clip, total = taken
                dropped, self.dropped = total - self.dropped, total
                if before is None or before.part != clip.part:
                    recent.clear()
                yield self._window(clip, dropped, before, recent)
                before = clip
        finally:
            slot.end()
            reader.join(JOIN)
            self.dropped = slot.dropped
        if slot.error is not None:  # after `stop`: the frames could not be closed
            raise slot.error

    def stop(self) -> None:
        """End the iteration after the window that is being scored; may be called anywhere."""
        self._slot.end()

    def _read(self, slot: "_Slot") -> None:
        """Read all frames; runs in a thread."""
        every = self.recognizer.contract.frames if self.stride is None else 1
        pause = max(self.stride or 0.0, 1 / self.inference_fps if self.inference_fps else 0.0)
        sampler = Sampler(self.recognizer.contract, every, pause)
        try:
            frames = iter(self.frames)
            try:
                for picture, seconds, *gap in frames:
                    if slot.ended:
                        break
                    self.read += 1
                    clip = sampler.add(picture, seconds, any(gap))
                    if clip is not None:
                        slot.put(clip)
            finally:
                if hasattr(frames, "close"):
                    frames.close()
        except Exception as error:  # raised again where the stream is iterated
            slot.error = error
        finally:
            slot.close()

    def _window(
        self, clip: SampledClip, dropped: int, before: SampledClip | None, recent: deque[Tensor]
    ) -> StreamWindow:
        views = np.stack([sample.picture for sample in clip.samples])
        recent.append(self.recognizer.score(views[None])[0])
        scores = torch.stack(list(recent)).mean(0)
        latency = 1000 * (time.monotonic() - clip.came)
        last = before.samples[-1].number if before else 0
        missed = max(clip.samples[0].number - last - 1, 0) if dropped else 0
        pairs = best_classes(scores, self.recognizer.contract.names, self.top)
        self.scored, self.latency_ms = self.scored + 1, self.latency_ms + latency
        return StreamWindow(
            start=clip.samples[0].seconds,
            end=clip.samples[-1].seconds,
            time=clip.time,
            scores=scores,
            labels=[(name, score) for name, score in pairs if score >= self.threshold],
            latency_ms=latency,
            dropped=dropped,
            dropped_frames=missed,
        )


class _Slot:
    """Place for one window, the newest, between the thread that reads and the one that scores."""

    def __init__(self, wait: bool) -> None:
        """wait: until there is place, instead of dropping the window that is there."""
        self.ended = False
        self.error: Exception | None = None
        self._wait, self._turn = wait, threading.Condition()
        self._clip: SampledClip | None = None
        self.dropped, self._closed = 0, False

    def put(self, clip: SampledClip) -> None:
        """Leave a window to be scored."""
        with self._turn:
            while self._wait and self._clip is not None and not self.ended:
                self._turn.wait(POLL)
            self.dropped += self._clip is not None
            self._clip = clip
            self._turn.notify_all()

    def take(self) -> tuple[SampledClip, int] | None:
        """Wait for a window; with the number dropped so far. None at the end.

        Raises what reading raised.
        """
        with self._turn:
            while self._clip is None and not self._closed and not self.ended:
                self._turn.wait(POLL)
            clip, self._clip = self._clip, None
            self._turn.notify_all()
            if clip is not None and not self.ended:
                return clip, self.dropped
            if self.error is not None and not self.ended:
                raise self.error
            self.dropped += clip is not None
            return None

    def close(self) -> None:
        """There are no more frames."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()

    def end(self) -> None:
        """Nobody wants more windows."""
        with self._turn:
            self.ended = True
            self._turn.notify_all()
