"""Videos → rows, in order: what one shard, or one actor of an engine, does.

A few processes decode the next videos while one thread owns the network. The windows of a video go
through it by themselves, so a row does not depend on the videos beside it, and equals what
`Recognizer.predict` gives, bit for bit.
"""

import math
import os
import platform
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from video_gc.cores import cores
from video_gc.decode.reader import DecodeError, TooLargeError
from video_gc.deploy.exported import is_exported
from video_gc.predict.decoders import START, Decoders, ReadLimits, TooLongError, Windows
from video_gc.predict.features import StageFeatures
from video_gc.predict.recognizer import Recognizer, best_classes
from video_gc.predict.segments import SegmentOptions, check_windows, find_segments
from video_gc.scale.source import TooManyBytesError, read_listed
from video_gc.subprocess_call import ProcessStuck

WHAT = ("scores", "features", "segments")
SKIPPED = (TooLargeError, TooLongError, TooManyBytesError)
"""Errors of a sound video that is beyond a limit."""
AHEAD = 4
"""Videos in work for each process that decodes."""

_LABEL = [("label", pa.string()), ("score", pa.float32())]
_TIMES = [("start", pa.float64()), ("end", pa.float64())]
COMMON = pa.schema(
    [
        ("row", pa.int64()),
        ("path", pa.string()),
        ("status", pa.string()),
        ("cause", pa.string()),
        ("rate", pa.float64()),
        ("seconds", pa.float64()),
        ("damaged_frames", pa.int32()),
        ("weights", pa.string()),
        ("machine", pa.string()),
        ("process", pa.int64()),
        ("finished", pa.timestamp("ms", "UTC")),
    ]
)
"""The columns of all tables; docs/scale.md explains them."""
COLUMNS = {
    "scores": [
        ("start", pa.list_(pa.float64())),
        ("end", pa.list_(pa.float64())),
        ("top", pa.list_(pa.struct(_LABEL))),
        ("scores", pa.list_(pa.float32())),
    ],
    "features": [
        ("start", pa.list_(pa.float64())),
        ("end", pa.list_(pa.float64())),
        ("features", pa.list_(pa.list_(pa.float32()))),
    ],
    "segments": [("segments", pa.list_(pa.struct(_LABEL + _TIMES)))],
}
"""What is written → its further columns."""

Row = dict[str, Any]


@dataclass(kw_only=True)
class ScoreOptions:
    """What is written of each video."""

    what: str = "scores"
    """scores, features or segments"""
    top: int = 5
    """of scores: number of best classes beside all scores"""
    layer: str = "res5"
    """of features: a stage or a residual block"""
    pool: bool = False
    """of features: one row for each video, the mean over its windows"""
    overlap: float | None = None
    """share of a window that the next one sees too; default: 0.5 for segments, else 0"""
    max_mb: float = 2048
    """largest file of an address, MiB"""
    max_seconds: float = math.inf
    """longest video, seconds"""

    def __post_init__(self) -> None:
        if self.what not in WHAT:
            raise ValueError(f"what ({self.what!r}) must be one of {', '.join(WHAT)}")
        for name in ("top", "max_mb", "max_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} ({getattr(self, name)}) must be above 0")
        if self.overlap is None:
            self.overlap = SegmentOptions().overlap if self.what == "segments" else 0.0
        SegmentOptions(overlap=self.overlap)  # checks it

    @property
    def schema(self) -> pa.Schema:
        """Of the table."""
        return pa.schema([*COMMON, *(pa.field(*column) for column in COLUMNS[self.what])])

    @property
    def identity(self) -> Row:
        """The options that change what is written."""
        used = {"scores": ("top",), "features": ("layer", "pool"), "segments": ()}[self.what]
        names = ("what", "overlap", "max_mb", "max_seconds", *used)
        return {
            name: None if (value := getattr(self, name)) == math.inf else value for name in names
        }


@dataclass(kw_only=True)
class Work:
    """What is made of each video, and by what."""

    checkpoint: Path
    options: ScoreOptions
    device: str | None = None
    precision: str = "auto"
    backend: str = "auto"
    micro_batch: int | None = None
    """windows in one call; default: as `Recognizer`"""
    decoders: int | None = None
    """processes that decode, in each process that scores; default: one for each core, at most 8"""
    timeout: float = 60.0
    """seconds in which a video must give a frame"""

    def __post_init__(self) -> None:
        if not 0 < self.timeout < math.inf:
            raise ValueError(f"timeout ({self.timeout}) must be above 0, and finite")

    def recognizer(self) -> Recognizer:
        """Load the network. Raises as `Recognizer`."""
        watched = self.options.what == "features" and not is_exported(self.checkpoint)
        return Recognizer(
            self.checkpoint,
            device=self.device,
            precision=self.precision,
            backend="eager" if watched and self.backend == "auto" else self.backend,
            micro_batch=self.micro_batch,
        )


def computed_by(recognizer: Recognizer, options: ScoreOptions) -> Callable[[Tensor], Tensor]:
    """Clips (n, 3, T, H, W) → their rows of scores or features (n, …).

    Raises ValueError for a layer or windows that the network does not have.
    """
    if options.what == "features":
        return StageFeatures(recognizer, options.layer)
    if options.what == "segments":
        check_windows(recognizer.contract)
    return recognizer.scores


class Scorer:
    """Makes the rows of videos; close it, or use it in a `with` block.

    Raises ValueError for a layer or windows that the network does not have.
    """

    def __init__(self, recognizer: Recognizer, work: Work) -> None:
        self.recognizer, self.timeout, self.options = recognizer, work.timeout, work.options
        self._compute = computed_by(recognizer, work.options)
        self.alive: Callable[[], object] = lambda: None
        """called after each call of the network and each video"""
        self._stop = threading.Event()
        self.decoders = Decoders(work.decoders or min(cores(), 8))
        self._decoding = threading.Semaphore(self.decoders.count)
        # one more: while it waits for the network, all processes decode
        self._videos = ThreadPoolExecutor(self.decoders.count + 1, "video")
        self._network = ThreadPoolExecutor(1, "network")

    def rows(self, videos: Iterable[tuple[int, str]]) -> Generator[Row, None, None]:
        """Yield a row for each (number, path), in their order; see `ScoreOptions.schema`.

        One call at a time. Stopping early ends the videos in work at their next window.

        Raises FloatingPointError for a network whose scores are not finite, and OSError if no
        process can be started.
        """
        pending: deque[Future[Row]] = deque()
        self._stop.clear()
        try:
            for number, path in videos:
                pending.append(self._videos.submit(self._row, number, path))
                if len(pending) >= AHEAD * self.decoders.count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            self._stop.set()
            for each in pending:
                each.cancel()

    def close(self) -> None:
        """End the threads after the videos in work, and the processes."""
        self._videos.shutdown()
        self._network.shutdown()
        self.decoders.close()

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _row(self, number: int, path: str) -> Row:
        """The row of a video, whatever it is."""
        found: Mapping[str, Any]
        try:
            found = {"status": "ok"} | self._scored(path)
        except SKIPPED as error:
            found = {"status": "skipped", "cause": error.reason}
        except DecodeError as error:
            found = {"status": "error", "cause": error.reason}
        except ProcessStuck:
            cause = f"gave no frame within {self.timeout:g} s (--timeout)"
            found = {"status": "error", "cause": cause}
        self.alive()
        return {
            "row": number,
            "path": path,
            "weights": self.recognizer.contract.weights,
            "machine": platform.node(),
            "process": os.getpid(),
            "finished": datetime.now(UTC),
            **found,
        }

    def _scored(self, path: str) -> Row:
        if not path:
            raise DecodeError(path, "the list has no path here")
        options, recognizer = self.options, self.recognizer
        limits = ReadLimits(recognizer.max_pixels, options.max_seconds, self.timeout)
        asked = path, recognizer.contract, limits, options.overlap, options.max_mb
        batch, made = list[np.ndarray](), list[Future[Tensor]]()
        damaged = 0

        def compute() -> None:
            made.append(self._network.submit(self._run, np.stack(batch)))
            batch.clear()
            if len(made) > 1:  # one is computed while the next is decoded
                made[-2].result()

        with (
            self._decoding,
            closing(
                self.decoders.run(lambda: self.timeout, read_listed, *asked, wait=START)
            ) as items,
        ):
            windows: Windows = next(items)
            for item in items:
                if self._stop.is_set():
                    raise DecodeError(path, "scoring was ended")  # nobody reads this row
                if isinstance(item, np.ndarray):
                    batch.append(item)
                    if len(batch) == recognizer.micro_batch:
                        compute()
                else:
                    damaged = item
        if batch:
            compute()
        about = {"rate": windows.rate, "seconds": windows.seconds, "damaged_frames": damaged}
        return about | self._content(windows, torch.cat([each.result() for each in made]))

    @torch.inference_mode()
    def _run(self, views: np.ndarray) -> Tensor:
        made = self._compute(self.recognizer.prepare(views))
        self.alive()
        return made

    def _content(self, windows: Windows, rows: Tensor) -> Row:
        """The columns of a kind of table, from the rows (K, …) of the windows."""
        names = self.recognizer.names
        start, end = (list(each) for each in zip(*windows.times, strict=True))
        if self.options.what == "segments":
            times = np.array(start), np.array(end)
            found = find_segments(rows.numpy(), *times, names, SegmentOptions())
            return {"segments": [asdict(each) for each in found]}
        if self.options.what == "features":
            if self.options.pool:
                rows, start, end = rows.mean(0, keepdim=True), start[:1], end[-1:]
            return {"start": start, "end": end, "features": list(rows.numpy())}
        mean = rows.mean(0)
        top = [{"label": n, "score": s} for n, s in best_classes(mean, names, self.options.top)]
        return {"start": start, "end": end, "top": top, "scores": mean.numpy()}
