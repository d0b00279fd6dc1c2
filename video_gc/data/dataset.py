"""Videos → samples: clips of a video for training, all views of a video for testing.

All randomness of a training sample derives from (seed, epoch, index), for any number of workers. An
unreadable file becomes a VideoProblem, which is passed on with the samples.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from video_gc.data.batches.kept_clips import KeptClips
from video_gc.data.crops import crop_boxes, random_crop, random_resized_crop, scaled_size
from video_gc.data.index import VideoIndex
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig, FrameRange, fixed_clips, training_clip
from video_gc.data.shards.packed import VideoPath
from video_gc.data.shards.store import StoreError
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
class _Seen:
    """What the draws of a training clip need of a video, and what was read of it."""

    part: FrameRange
    size: tuple[int, int]
    colour: int
    notes: list[VideoProblem]
    requests: list[Request]


class TrainingClips(Dataset[list[Sample]]):
    """Random clips and crops of each video, indexed by (epoch, row): clip.repeats of them.

    flip: probability of a mirrored clip; classes in `sided` are never mirrored.
    A damaged video is replaced by another one, also drawn from (seed, epoch, index). After 10
    unreadable videos the sample has no frames.
    keep: most bytes of clips kept for the next epoch, see `KeptClips`. A video of which an epoch
    draws other frames or another crop is no longer kept. Samples do not depend on it.

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
        keep: int = 0,
    ) -> None:
        self.index, self.clip, self.seed, self.flip = index, clip, seed, flip
        self.sided, self.decoding = frozenset(sided), decoding or Decoding()
        self.decoding.check_even(clip, "crop")
        needed = len(index) * clip.repeats * self.decoding.clip_bytes(clip.frames, clip.crop)
        self._kept = KeptClips[_Seen](keep if self.decoding.device == "cpu" else 0, needed)

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
            except StoreError:  # of all videos
                raise
            except Exception as error:  # no decoder error may end a training
                problems.append(_problem(self.index.path(video), error, video))
                video = int(random.integers(len(self.index)))
        return [Sample(NO_FRAMES, self.index.target(row), row, problems=problems)]

    def _samples(
        self, video: int, random: np.random.Generator, problems: list[VideoProblem]
    ) -> list[Sample]:
        path, label = self.index.path(video), self.index.target(video)
        state = self._kept.state(video, path)
        clips: Sequence[np.ndarray | Tensor]
        if kept := self._kept.get(video, state):
            seen, clips, before = kept.about, kept.copies(), random.bit_generator.state
            requests, draws = self._draw(seen.part, seen.size, label, random)
            if requests != seen.requests:
                random.bit_generator.state = before  # the file may have changed by now
                self._kept.give_up(video)
                kept = state = None
        if not kept:
            with self.decoding.open(path) as reader:
                timed = self.clip.target_fps is not None
                part = self.decoding.part(reader, self.index.segment(video), timed=timed)
                requests, draws = self._draw(part, reader.size, label, random)
                clips = self.decoding.read(reader, requests)
                notes = _notes(reader, part.length, self.clip, video)
                seen = _Seen(part, reader.size, self.decoding.colour(reader), notes, requests)
            if part.times is None:  # times may be larger than the clips
                self._kept.keep(video, state, seen, clips)
        samples = [
            Sample(frames, label, video, flip, seed, seen.colour)
            for frames, (flip, seed) in zip(clips, draws, strict=True)
        ]
        samples[0].problems.extend([*problems, *seen.notes])
        return samples

    def _draw(
        self,
        part: FrameRange,
        size: tuple[int, int],
        label: int | np.ndarray,
        random: np.random.Generator,
    ) -> tuple[list[Request], list[tuple[bool, int]]]:
        """The clips to read, and for each one whether it is flipped and its seed."""
        clip = self.clip
        requests: list[Request] = []
        draws: list[tuple[bool, int]] = []
        for _ in range(clip.repeats):
            indices = training_clip(clip, part, random)
            box = self._crop(size, random)
            requests.append(Request(indices.tolist(), box, (clip.crop, clip.crop)))
            flip = bool(random.random() < self.flip) and not self._has_side(label)
            draws.append((flip, int(random.integers(2**63))))
        return requests, draws

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

    rows: rows of the index to read; all by default. keep: most bytes of views kept for the next
    epoch, see `KeptClips`.

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
        keep: int = 0,
    ) -> None:
        self.index, self.clip, self.clips, self.crops = index, clip, clips, crops
        self.rows: Sequence[int] = range(len(index)) if rows is None else rows
        self.decoding = decoding or Decoding()
        self._even = self.decoding.transfer == "yuv"
        self.decoding.check_even(clip, "test_crop", "test_short_side")
        boxes = crop_boxes((clip.test_short_side,) * 2, clip.test_crop, crops)  # or ValueError now
        needed = clips * len(boxes) * self.decoding.clip_bytes(clip.frames, clip.test_crop)
        self._kept = KeptClips[tuple[int, list[VideoProblem]]](
            keep if self.decoding.device == "cpu" else 0, len(self.rows) * needed
        )

    def __iter__(self) -> Iterator[Sample]:
        for video in self.rows:
            yield from self.views(video)

    def views(self, video: int) -> Iterator[Sample]:
        """The views of one video."""
        path, label = self.index.path(video), self.index.target(video)
        problems: list[VideoProblem] = []
        mirrors = (False, True) if self.crops == 10 else (False,)
        try:
            for number, (view, colour, notes) in enumerate(self._read(video, path)):
                problems = list(notes) if number == 0 else []
                for mirrored in mirrors:
                    yield Sample(view, label, video, mirrored, 0, colour, problems)
                    problems = []
        except StoreError:
            raise
        except Exception as error:  # no decoder error may end a test
            problems.append(_problem(path, error, video))
            yield Sample(NO_FRAMES, label, video, problems=problems)

    def _read(
        self, video: int, path: VideoPath
    ) -> Iterator[tuple[np.ndarray | Tensor, int, list[VideoProblem]]]:
        """The frames of each view, with the video's colour and problems."""
        clip = self.clip
        state = self._kept.state(video, path)
        if kept := self._kept.get(video, state):
            yield from ((view, *kept.about) for view in kept.copies())
            return
        views: list[np.ndarray] = []
        notes: list[VideoProblem] = []
        with self.decoding.open(path) as reader:
            timed = clip.target_fps is not None
            part = self.decoding.part(reader, self.index.segment(video), timed=timed)
            size = scaled_size(reader.size, clip.test_short_side, even=self._even)
            windows = fixed_clips(clip, part, self.clips)
            boxes = crop_boxes(size, clip.test_crop, self.crops, even=self._even)
            colour = self.decoding.colour(reader)
            for number, view in enumerate(self.decoding.views(reader, windows, boxes, size)):
                if number == 0:  # a reader may fall back while it decodes
                    notes = _notes(reader, part.length, clip, video)
                if state:
                    views.append(np.array(view))
                yield view, colour, notes
        self._kept.keep(video, state, (colour, notes), views)


def _problem(path: VideoPath, error: Exception, video: int) -> VideoProblem:
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
