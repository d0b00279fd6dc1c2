"""Samples → a batch of tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from video_gc.data.dataset import Sample, VideoProblem

SMALL = ("labels", "videos", "flips", "seeds", "colours")
"""The small tensors of a batch."""


@dataclass(frozen=True)
class Batch:
    """A batch of samples; `clips` is None if all of them failed."""

    clips: Tensor | None
    """uint8 (N, T, H, W, 3), or planes (N, T, 3 H / 2, W)"""
    labels: Tensor
    """int64 (N,), or multi-hot float32 (N, classes)"""
    videos: Tensor
    flips: Tensor
    seeds: Tensor
    """int64 (N,), for the augmentation"""
    colours: Tensor
    """int64 (N,), see `colour_code`"""
    problems: list[VideoProblem]

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its clips and labels on `device`.

        The rest stays on the host, which reads it.
        """
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def share_memory(self) -> "Batch":
        """The same batch, its clips in shared memory. Raises RuntimeError if there is no room."""
        if self.clips is not None:
            self.clips.share_memory_()
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Of a batch on the host: its clips alone go to another process in shared memory.

        Each shared tensor costs about 0.2 ms, and the others are small.
        """
        numbers = {name: getattr(self, name).numpy() for name in SMALL}
        return _received, (self.clips, numbers, self.problems)

    def pin_memory(self) -> "Batch":
        """The same batch with clips and labels in page-locked memory; torch's loader calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        clips = None if self.clips is None else function(self.clips)
        return replace(self, clips=clips, labels=function(self.labels))


def _received(
    clips: Tensor | None, numbers: dict[str, np.ndarray], problems: list[VideoProblem]
) -> Batch:
    tensors = {name: torch.from_numpy(value) for name, value in numbers.items()}
    return Batch(clips=clips, problems=problems, **tensors)


def collate(samples: Sequence[Sample | list[Sample]]) -> Batch:
    """Stack samples; samples without frames leave only their problems.

    Clips of one video must not be neighbours, because mixing blends neighbours: the first clips of
    all videos come first, then the second clips.
    """
    videos = [item if isinstance(item, list) else [item] for item in samples]
    every = [sample for turn in zip_longest(*videos) for sample in turn if sample is not None]
    whole = [sample for sample in every if len(sample.clip)]

    def numbers(name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor([getattr(sample, name) for sample in whole], dtype=dtype)

    labels = np.array([sample.label for sample in whole])
    batch = Batch(
        torch.stack([torch.as_tensor(sample.clip) for sample in whole]) if whole else None,
        torch.from_numpy(labels if labels.ndim == 2 else labels.astype(np.int64)),
        numbers("video", torch.long),
        numbers("flip", torch.bool),
        numbers("seed", torch.long),
        numbers("colour", torch.long),
        [problem for sample in every for problem in sample.problems],
    )
    # here the training sees an error; torch's pinning thread would only print it
    return batch if get_worker_info() is None else batch.share_memory()
