"""Decoded clips in memory, for videos of which a training sees the same clips in each epoch.

Opening and decoding a file of a few small frames takes longer than a small network's step.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor

from video_gc.data.shards.packed import PackedVideo

About = TypeVar("About")
FileState = tuple[int, ...]


@dataclass(frozen=True)
class Kept(Generic[About]):
    """What was read of a file in a state, and what to know of it."""

    state: FileState
    about: About
    clips: list[np.ndarray]
    """private copies: who gets clips may change them"""

    def copies(self) -> list[np.ndarray]:
        """The clips, for somebody."""
        return [clip.copy() for clip in self.clips]


class KeptClips(Generic[About]):
    """The clips of each video (a row of an index), as long as its file does not change.

    limit: most bytes of clips. needed: bytes of the clips of all videos. If they exceed the limit,
    nothing is kept: a small part of a large set would take much memory and save little time.
    """

    def __init__(self, limit: int, needed: int) -> None:
        self.limit = limit if needed <= limit else 0
        self.bytes = 0
        self._kept: dict[int, Kept[About]] = {}
        self._varying: set[int] = set()

    def state(self, video: int, path: str | os.PathLike[str]) -> FileState | None:
        """The state of a file whose clips may be kept; None if not. Take it before opening.

        A folder has none: its time does not change when an image in it is written again.
        """
        if not self.limit or video in self._varying:
            return None
        if isinstance(path, PackedVideo):  # a shard does not change under its index
            return 0, 0, path.size, path.offset, 0
        try:
            found = os.stat(path)
        except (OSError, ValueError):  # whoever opens it says what is wrong
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        # the time of the last change of its state shows a copy that keeps the other time
        times = found.st_mtime_ns, found.st_ctime_ns
        return found.st_dev, found.st_ino, found.st_size, *times

    def get(self, video: int, state: FileState | None) -> Kept[About] | None:
        """What is kept of a video whose file is in `state`."""
        kept = self._kept.get(video)
        if kept is not None and kept.state != state:
            self._drop(video)
            return None
        return kept

    def keep(
        self,
        video: int,
        state: FileState | None,
        about: About,
        clips: Sequence[np.ndarray | Tensor],
    ) -> None:
        """Keep copies of the clips, unless there is no state or no room."""
        if state is None:
            return
        self._drop(video)
        copies = [np.array(clip) for clip in clips]
        size = sum(clip.nbytes for clip in copies)
        if self.bytes + size <= self.limit:
            self.bytes += size
            self._kept[video] = Kept(state, about, copies)

    def give_up(self, video: int) -> None:
        """Keep nothing of a video any more, because its clips differ from epoch to epoch."""
        self._drop(video)
        self._varying.add(video)

    def _drop(self, video: int) -> None:
        kept = self._kept.pop(video, None)
        if kept is not None:
            self.bytes -= sum(clip.nbytes for clip in kept.clips)
