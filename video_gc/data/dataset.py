"""Videos → samples: clips of a video for training, all views of a video for testing.

All randomness of a training sample derives from (seed, epoch, index), for any number of workers. An
unreadable file becomes a VideoProblem, which is passed on with the samples.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from video_gc.data.crops import crop_boxes, random_crop, random_resized_crop, scaled_size
from video_gc.data.index import VideoIndex
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig, fixed_clips, training_clip
from video_gc.decode.reader import Box, Request, VideoReader, decode_error

MAX_REPLACEMENTS = 10
NO_FRAMES = np.empty(0, np.uint8)


@dataclass(frozen=True)
class VideoProblem:
    """One problem of one file."""

    path: str
    kind: str
    """damaged, short (fewer frames than a clip spans), or fell_back (decoded on the CPU)"""
    reason: str
    video: int
    """row in the index"""


@dataclass(frozen=True)
class Sample:
    """One clip for the device."""

    clip: np.ndarray | Tensor
    """uint8 (T, H, W, 3), or 4:2:0 planes (T, 3 H / 2, W); empty if nothing could be read"""
    label: int | np.ndarray
    """class number, or multi-hot float32 (classes,)"""
    video: int
    """row in the index"""
    flip: bool = False
    seed: int = 0
    """of its augmentation"""
    colour: int = 0
    """conversion of its planes to RGB; see `colour_code`"""
    problems: list[VideoProblem] = field(default_factory=list)


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
        """The same batch in shared memory. Raises RuntimeError if there is no room."""
        for value in vars(self).values():
            if isinstance(value, Tensor):
                value.share_memory_()
        return self

    def pin_memory(self) -> "Batch":
        """The same batch with clips and labels in page-locked memory; torch's loader calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        clips = None if self.clips is None else function(self.clips)
        return replace(self, clips=clips, labels=function(self.labels))


class TrainingClips(Dataset[list[Sample]]):
    """Random clips and crops of each video, indexed by (epoch, row): clip.repeats of them.

    flip: probability of a mirrored clip; classes in `sided` are never mirrored.
    A damaged video is replaced by another one, also drawn from (seed, epoch, index). After 10
    unreadable videos the sample has no frames.

    Raises ValueError for planes of an odd crop.
    """

    def __init__(
        self,
        index: VideoIndex,
        clip: ClipConfig,
        *,
        seed: int,
        flip: float,
        sided: Collection[int] = (),
        decoding: Decoding | None = None,
    ) -> None:
        self.index, self.clip, self.seed, self.flip = index, clip, seed, flip
        self.sided, self.decoding = frozenset(sided), decoding or Decoding()
        self.decoding.check_even(clip, "crop")

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: tuple[int, int]) -> list[Sample]:
        epoch, row = key
        random = np.random.default_rng((self.seed, epoch, row))
        problems: list[VideoProblem] = []
        video = row
        for _ in range(MAX_REPLACEMENTS):
            try:
                return self._samples(video, random, problems)
            except Exception as error:  # no decoder error may end a training
                problems.append(_problem(self.index.path(video), error, video))
                video = int(random.integers(len(self.index)))
        return [Sample(NO_FRAMES, self.index.target(row), row, problems=problems)]

    def _samples(
        self, video: int, random: np.random.Generator, problems: list[VideoProblem]
    ) -> list[Sample]:
        clip, label = self.clip, self.index.target(video)
        requests: list[Request] = []
        draws: list[tuple[bool, int]] = []
        with self.decoding.open(self.index.path(video)) as reader:
            timed = clip.target_fps is not None
            part = self.decoding.part(reader, self.index.segment(video), timed=timed)
            for _ in range(clip.repeats):
                indices = training_clip(clip, part, random)
                box = self._crop(reader.size, random)
                requests.append(Request(indices.tolist(), box, (clip.crop, clip.crop)))
                flip = bool(random.random() < self.flip) and not self._has_side(label)
                draws.append((flip, int(random.integers(2**63))))
            clips = self.decoding.read(reader, requests)
            found = _notes(reader, part.length, clip, video)
            colour = self.decoding.colour(reader)
        samples = [
            Sample(frames, label, video, flip, seed, colour)
            for frames, (flip, seed) in zip(clips, draws, strict=True)
        ]
        samples[0].problems.extend([*problems, *found])
        return samples

    def _crop(self, size: tuple[int, int], random: np.random.Generator) -> Box:
        clip = self.clip
        if clip.crop_area is None:
            return random_crop(size, clip.crop, (clip.short_side[0], clip.short_side[1]), random)
        area, aspect = clip.crop_area, clip.crop_aspect
        return random_resized_crop(size, (area[0], area[1]), (aspect[0], aspect[1]), random)

    def _has_side(self, label: int | np.ndarray) -> bool:
        numbers = [label] if isinstance(label, int) else np.flatnonzero(label).tolist()
        return not self.sided.isdisjoint(numbers)


class VideoViews:
    """Every view of every video; each video is opened and decoded once.

    Views come in the order of their last frames, so only frames of unfinished views are held:
    memory does not grow with the number of views. A damaged video ends with a sample without
    frames; its earlier views must not be scored. With 10 crops every second one is marked as
    flipped.

    rows: rows of the index to read; all by default.

    Raises ValueError for a number of crops other than 1, 3 and 10, or for planes of an odd crop.
    """

    def __init__(
        self,
        index: VideoIndex,
        clip: ClipConfig,
        *,
        clips: int,
        crops: int,
        decoding: Decoding | None = None,
        rows: Sequence[int] | None = None,
    ) -> None:
        self.index, self.clip, self.clips, self.crops = index, clip, clips, crops
        self.rows: Sequence[int] = range(len(index)) if rows is None else rows
        self.decoding = decoding or Decoding()
        self._even = self.decoding.transfer == "yuv"
        self.decoding.check_even(clip, "test_crop", "test_short_side")
        crop_boxes((clip.test_short_side,) * 2, clip.test_crop, crops)  # refuse wrong numbers early

    def __iter__(self) -> Iterator[Sample]:
        for video in self.rows:
            yield from self.views(video)

    def views(self, video: int) -> Iterator[Sample]:
        """The views of one video."""
        clip, path, label = self.clip, self.index.path(video), self.index.target(video)
        problems: list[VideoProblem] = []
        mirrors = (False, True) if self.crops == 10 else (False,)
        try:
            with self.decoding.open(path) as reader:
                timed = clip.target_fps is not None
                part = self.decoding.part(reader, self.index.segment(video), timed=timed)
                size = scaled_size(reader.size, clip.test_short_side, even=self._even)
                windows = fixed_clips(clip, part, self.clips)
                boxes = crop_boxes(size, clip.test_crop, self.crops, even=self._even)
                colour = self.decoding.colour(reader)
                for number, view in enumerate(self.decoding.views(reader, windows, boxes, size)):
                    if number == 0:
                        problems = _notes(reader, part.length, clip, video)
                    for mirrored in mirrors:
                        yield Sample(view, label, video, mirrored, 0, colour, problems)
                        problems = []
        except Exception as error:  # no decoder error may end a test
            problems.append(_problem(path, error, video))
            yield Sample(NO_FRAMES, label, video, problems=problems)


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


def _problem(path: Path, error: Exception, video: int) -> VideoProblem:
    return VideoProblem(str(path), "damaged", str(decode_error(path, error)), video)


def _notes(reader: VideoReader, length: float, clip: ClipConfig, video: int) -> list[VideoProblem]:
    """The problem of a readable video, if any."""
    notes, path, span = [], reader.path, clip.span(reader.rate)
    if length < span:
        if clip.sampling == "segments":
            remedy = "some are seen several times"
        else:
            remedy = "it is looped" if clip.past_end == "loop" else "the last frame is repeated"
        frames = f"{round(length)} frames, fewer than the {span} that a clip spans"
        reason = f"{path}: {frames}; {remedy}"
        notes.append(VideoProblem(path, "short", reason, video))
    if reader.fell_back:
        reason = f"{path}: the GPU cannot decode this {reader.codec}; the CPU did"
        notes.append(VideoProblem(path, "fell_back", reason, video))
    return notes
