"""Videos → samples: one clip of a video for training, all views of a video for testing.

All randomness of a training sample derives from (seed, epoch, index), whatever the number of
workers. A file that cannot be read becomes a Trouble that travels with the samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from video_gc.data.annotations import VideoIndex
from video_gc.data.sampling import (
    ClipConfig,
    crop_boxes,
    random_clip,
    random_crop,
    scaled_size,
    uniform_clips,
)
from video_gc.data.views import stream_views
from video_gc.decode.reader import DecodeError, open_video, read_frames

MAX_REPLACEMENTS = 10
NO_FRAMES = np.empty(0, np.uint8)


@dataclass(frozen=True)
class Trouble:
    """One thing that went wrong with one file."""

    path: str
    kind: str
    """damaged, or short (fewer frames than a clip spans: the last one is repeated)"""
    reason: str
    video: int
    """row in the index"""


@dataclass(frozen=True)
class Sample:
    """One clip on its way to the device."""

    clip: np.ndarray
    """uint8 (T, H, W, 3); empty where nothing could be read"""
    label: int
    video: int
    """row in the index"""
    flip: bool = False
    troubles: list[Trouble] = field(default_factory=list)


@dataclass(frozen=True)
class Batch:
    """Samples put together; `clips` is None where every one of them failed."""

    clips: Tensor | None
    """uint8 (N, T, H, W, 3)"""
    labels: Tensor
    videos: Tensor
    flips: Tensor
    troubles: list[Trouble]

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory; torch's loader calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            None if self.clips is None else function(self.clips),
            function(self.labels),
            function(self.videos),
            function(self.flips),
            self.troubles,
        )


class TrainingClips(Dataset[Sample]):
    """A random dense clip and crop of each video, indexed by (epoch, row).

    A damaged video is replaced by another one, drawn from (seed, epoch, index) too. After 10 that
    cannot be read the sample has no frames.
    """

    def __init__(self, index: VideoIndex, clip: ClipConfig, *, seed: int, flip: float) -> None:
        self.index, self.clip, self.seed, self.flip = index, clip, seed, flip

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, row = key
        random = np.random.default_rng((self.seed, epoch, row))
        troubles: list[Trouble] = []
        video = row
        for _ in range(MAX_REPLACEMENTS):
            try:
                return self._sample(video, random, troubles)
            except (DecodeError, OSError) as error:
                path = str(self.index.paths[video])
                troubles.append(Trouble(path, "damaged", str(error), video))
                video = int(random.integers(len(self.index)))
        return Sample(NO_FRAMES, int(self.index.labels[row]), row, troubles=troubles)

    def _sample(self, video: int, random: np.random.Generator, troubles: list[Trouble]) -> Sample:
        clip, path = self.clip, self.index.paths[video]
        with open_video(path) as reader:
            if len(reader) < clip.span:
                troubles.append(_short(path, len(reader), clip, video))
            indices = random_clip(len(reader), clip.frames, clip.stride, random)
            short_side = clip.short_side[0], clip.short_side[1]
            box = random_crop(reader.size, clip.crop, short_side, random)
            frames = read_frames(reader, indices.tolist(), box=box, size=(clip.crop, clip.crop))
        flip = bool(random.random() < self.flip)
        return Sample(frames, int(self.index.labels[video]), video, flip, troubles)


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, row) in an order that (seed, epoch) alone decides; Lightning calls `set_epoch`."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        return iter([(self.epoch, int(row)) for row in order])


class VideoViews(IterableDataset[Sample]):
    """Every view of every video, each video opened and decoded once.

    Views leave in the order in which their last frame is decoded, so that only the frames of
    unfinished views are held: memory does not grow with their number. A damaged video ends with a
    sample without frames; its earlier views must not be scored.
    """

    def __init__(self, index: VideoIndex, clip: ClipConfig, *, clips: int, crops: int) -> None:
        self.index, self.clip, self.clips, self.crops = index, clip, clips, crops

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for video in range(first, len(self.index), step):
            yield from self.views(video)

    def views(self, video: int) -> Iterator[Sample]:
        """The views of one video."""
        clip, path, label = self.clip, self.index.paths[video], int(self.index.labels[video])
        troubles: list[Trouble] = []
        try:
            with open_video(path) as reader:
                if len(reader) < clip.span:
                    troubles.append(_short(path, len(reader), clip, video))
                size = scaled_size(reader.size, clip.test_short_side)
                windows = uniform_clips(len(reader), clip.frames, clip.stride, self.clips)
                boxes = crop_boxes(size, clip.test_crop, self.crops)
                for _, view in stream_views(reader, windows, boxes, size):
                    yield Sample(view, label, video, troubles=troubles)
                    troubles = []
        except (DecodeError, OSError) as error:
            troubles.append(Trouble(str(path), "damaged", str(error), video))
            yield Sample(NO_FRAMES, label, video, troubles=troubles)


def collate(samples: list[Sample]) -> Batch:
    """Stack samples; those without frames leave only their troubles."""
    whole = [sample for sample in samples if sample.clip.size]
    return Batch(
        torch.from_numpy(np.stack([sample.clip for sample in whole])) if whole else None,
        torch.tensor([sample.label for sample in whole], dtype=torch.long),
        torch.tensor([sample.video for sample in whole], dtype=torch.long),
        torch.tensor([sample.flip for sample in whole], dtype=torch.bool),
        [trouble for sample in samples for trouble in sample.troubles],
    )


def _short(path: object, length: int, clip: ClipConfig, video: int) -> Trouble:
    reason = f"{path}: {length} frames, fewer than the {clip.span} that a clip spans"
    return Trouble(str(path), "short", reason, video)
