"""A row of numbers for each window of a long video, kept on disk part by part.

The numbers are the scores of the classes, or features (features.py). Videos are decoded once, and
frames are held only as long as windows need them. A killed run loses at most `PART` windows.
"""

import json
import os
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.progress import Progress
from torch import Tensor

from video_gc.atomic import remove_stale_parts
from video_gc.decode.ffmpeg.paths import file_status
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError, VideoReader, decode_error
from video_gc.escape import readable
from video_gc.outputs import Outputs
from video_gc.predict.recognizer import Recognizer
from video_gc.predict.views import ahead, window_frames, window_times
from video_gc.progress import progress_bar

FORMAT = 2
PART = 512
"""Least number of windows in a part, which ends with a call of the network: a resumed video has the
same calls."""
UNFINISHED = "unfinished"
"""The folder of parts, beside the finished files."""
SCORES = "scores"
"""The layer whose rows are probabilities of the classes."""
DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""Errors of reading an .npz file that is missing, damaged or of another kind."""

T = TypeVar("T")


@dataclass(frozen=True)
class WindowRows:
    """The rows of a video."""

    video: str
    """its path"""
    rows: np.ndarray
    """(K, C) float32"""
    start: np.ndarray
    """(K,) seconds from the first frame"""
    end: np.ndarray
    rate: float
    """mean frame rate of the video, Hz"""
    damaged: np.ndarray
    """frames used that are damaged"""

    @property
    def centre(self) -> np.ndarray:
        """(K,) seconds: the middle of each window."""
        return (self.start + self.end) / 2

    @property
    def window(self) -> float:
        """Length of a window, s."""
        return round(float(np.median(self.end - self.start)), 6)

    @property
    def stride(self) -> float:
        """Distance of two windows, s; 0 if there is one. The last two may be nearer."""
        return round(float(np.median(np.diff(self.centre))), 6) if len(self.rows) > 1 else 0.0

    def pooled(self) -> "WindowRows":
        """One row: the mean, for the whole video."""
        mean = self.rows.mean(0, keepdims=True)
        return replace(self, rows=mean, start=self.start[:1], end=self.end[-1:])


@dataclass(frozen=True)
class RowFiles:
    """Makes the rows of videos, and keeps them in a folder: `NAME.npz`.

    A file is used again if the video, the weights and all options are the same.
    """

    recognizer: Recognizer
    folder: Path
    layer: str
    compute: Callable[[Tensor], Tensor]
    """clips (n, 3, T, H, W) → rows (n, C) on the CPU"""
    overlap: float = 0.0
    pool: bool = False
    """keep one row for each video, the mean"""

    @cached_property
    def outputs(self) -> Outputs:
        """The folder's files that are ours."""
        remove_stale_parts(self.folder)
        remove_stale_parts(self.folder / UNFINISHED)
        return Outputs(self.folder)

    def rows(self, video: Path, progress: Progress) -> tuple[Path, WindowRows]:
        """The file of a video, and its rows: read if they are there, else computed and written.

        Raises DecodeError for an unreadable video, OSError if the folder cannot be written.
        """
        path = os.path.abspath(video)
        with _reading(path):
            identity = self._identity(path)
        stem = self._stem(path)
        file = self.folder / f"{stem}.npz"
        kept = _read(file, identity)
        if kept is not None:
            return file, _window_rows(kept, self._key)
        every = self._computed(path, stem, identity, progress)
        found = every.pooled() if self.pool else every
        with self.outputs.path(file.name) as part:
            np.savez(part, **self._content(found, every, identity))
        parts = Outputs(self.folder / UNFINISHED)
        for name in parts.names():
            if name.rsplit(".", 2)[0] == stem:
                parts.remove(name)
        with suppress(OSError):  # other videos are not finished
            parts.folder.rmdir()
        return file, found

    @property
    def _key(self) -> str:
        return SCORES if self.layer == SCORES else "features"

    def _identity(self, path: str) -> str:
        """All that the rows depend on, as JSON."""
        status = file_status(path)
        about = {
            "format": FORMAT,
            "video": [path, status.st_size, status.st_mtime_ns],
            **self.recognizer.identity,
            "layer": self.layer,
            "overlap": self.overlap,
            "pool": self.pool,
        }
        return json.dumps(about, sort_keys=True)

    def _stem(self, path: str) -> str:
        """The name of a video's file, which is no other video's."""
        name = readable("_".join(Path(path).parts[-2:]))
        while True:
            stem = self.outputs.free(name, ".npz", _part("", 0))  # parts have longer names
            with suppress(*DAMAGED), opened(self.folder / f"{stem}.npz") as kept:
                if str(kept["video"]) != readable(path):
                    continue
            return stem

    def _computed(self, path: str, stem: str, identity: str, progress: Progress) -> WindowRows:
        parts = Outputs(self.folder / UNFINISHED)
        done: list[dict[str, Any]] = []
        while (kept := _read(parts.folder / _part(stem, len(done)), identity)) is not None:
            done.append(kept)
        with _reading(path):
            reader = open_video(path, damage="report", max_pixels=self.recognizer.max_pixels)
        with reader:
            with _reading(path):
                windows = window_frames(self.recognizer.contract, reader, self.overlap)
            first = sum(len(part["rows"]) for part in done)
            task = progress.add_task(readable(Path(path).name), total=len(windows), completed=first)
            advance = partial(progress.advance, task)
            try:
                with closing(self._parts(reader, windows[first:], advance)) as computed:
                    for rows in computed:
                        damaged = np.array(sorted(reader.damaged), np.int64)  # or of a later part
                        done.append({"rows": rows, "damaged": damaged, "identity": identity})
                        if sum(len(part["rows"]) for part in done) < len(windows):
                            with parts.path(_part(stem, len(done) - 1)) as file:
                                np.savez(file, **done[-1])
            finally:
                progress.remove_task(task)
            with _reading(path):
                start, end = np.array(window_times(reader, windows)).T
                rate = reader.rate
        return WindowRows(
            path,
            np.concatenate([part["rows"] for part in done]),
            start=start,
            end=end,
            rate=rate,
            damaged=np.unique(np.concatenate([part["damaged"] for part in done])),
        )

    def _parts(
        self, reader: VideoReader, windows: np.ndarray, advance: Callable[[int], None]
    ) -> Generator[np.ndarray]:
        """Yield the rows of `PART` windows, or of the last ones."""
        pending: list[np.ndarray] = []
        made = self.recognizer.views(reader, windows)
        with _reading(reader.path), closing(ahead(made)) as batches:
            for views in batches:
                clips = self.recognizer.prepare(views)
                pending.append(self.compute(clips).float().numpy())
                advance(len(clips))
                if sum(map(len, pending)) >= PART:
                    yield np.concatenate(pending)
                    pending = []
        if pending:
            yield np.concatenate(pending)

    def _content(self, found: WindowRows, every: WindowRows, identity: str) -> dict[str, Any]:
        """The arrays of a file; docs/long_videos.md explains them. every: not pooled."""
        contract = self.recognizer.contract
        content = {
            self._key: found.rows,
            "centre": found.centre,
            "start": found.start,
            "end": found.end,
            "rate": found.rate,
            "windows": len(every.rows),
            "window": every.window,
            "stride": every.stride,
            "damaged": found.damaged,
            "layer": self.layer,
            "weights": contract.weights,
            "video": readable(found.video),
            "identity": identity,
        }
        return content | ({"names": np.array(contract.names)} if self.layer == SCORES else {})


def each_video(
    videos: Sequence[Path], work: Callable[[Path, Progress], T]
) -> Iterator[T | DecodeError]:
    """Yield the result of `work` for each video, or its DecodeError, below a bar of videos.

    Other errors are not of the video: the disk is full, or the folder cannot be written.
    """
    with progress_bar() as progress:
        for video in progress.track(videos, description="Videos"):
            try:
                done = work(video, progress)
            except DecodeError as error:
                yield error
                continue
            yield done


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Any error inside is of the video."""
    try:
        yield
    except Exception as error:  # a file can make decoders raise anything
        raise decode_error(path, error) from error


@contextmanager
def opened(file: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of an .npz file, each read when it is asked for; raises `DAMAGED`."""
    with file.open("rb") as stream, np.load(stream) as kept:  # np.load leaves bad files open
        yield kept


def _part(stem: str, number: int) -> str:
    return f"{stem}.{number:05d}.npz"


def _read(file: Path, identity: str) -> dict[str, Any] | None:
    """The content of a file; None if it is missing, damaged, or of another video or options."""
    try:
        with opened(file) as kept:
            if str(kept["identity"]) == identity:
                return dict(kept)
    except DAMAGED:
        pass
    return None


def _window_rows(kept: dict[str, Any], key: str) -> WindowRows:
    return WindowRows(
        str(kept["video"]),
        kept[key],
        start=kept["start"],
        end=kept["end"],
        rate=float(kept["rate"]),
        damaged=kept["damaged"],
    )
