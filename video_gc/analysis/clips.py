"""The examined videos, with one centre view of each as in the network's tests."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from video_gc.data.annotations.folder_scan import find_videos, is_video
from video_gc.data.batches.loader import view_loader
from video_gc.data.batches.workers import guarded_workers
from video_gc.data.config import DataConfig
from video_gc.data.crops import crop_boxes, scaled_size
from video_gc.data.dataset import VideoProblem, VideoViews
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.reading import Decoding, crop_frames
from video_gc.data.sampling import ClipConfig, fixed_clips
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.deploy.choices import clips_in_call
from video_gc.evaluate.tested_videos import EvaluatedVideos, subset_of, videos_to_test
from video_gc.progress import progress_bar
from video_gc.train.checkpoint import CheckpointContents


@dataclass(frozen=True)
class View:
    """The clip of one video for the network."""

    frames: np.ndarray
    """uint8 (T, H, W, 3)"""
    times: np.ndarray
    """(T,), seconds into the video"""


def read_view(
    path: str | os.PathLike[str],
    clip: ClipConfig,
    decoding: Decoding | None = None,
    segment: tuple[float, float] | None = None,
) -> View:
    """The centre crop of the centre clip of a video, or of a segment (seconds) of it.

    Raises DecodeError or OSError if it cannot be read.
    """
    decoding = decoding or Decoding()
    with decoding.open(path) as reader:
        part = decoding.part(reader, segment, timed=True)
        indices = fixed_clips(clip, part, 1)[0]
        size = scaled_size(reader.size, clip.test_short_side)
        frames = reader.read(indices.tolist(), size=size)
        times = reader.times[indices]
    return View(crop_frames(frames, crop_boxes(size, clip.test_crop, 1)[0]), times)


@dataclass
class Clips:
    """One centre clip of each video in `index`, prepared for the network, batch after batch.

    An unreadable video is left out and recorded in `damaged`; one that is too short is padded as in
    tests (its last frame repeated), and recorded in `short`.
    """

    index: VideoIndex
    clip: ClipConfig
    normalisation: Normalisation
    device: torch.device
    decoding: Decoding = field(default_factory=Decoding)
    workers: int = 0
    damaged: dict[int, VideoProblem] = field(default_factory=dict)
    short: dict[int, VideoProblem] = field(default_factory=dict)

    @property
    def sound(self) -> list[int]:
        """The rows not found damaged."""
        return [row for row in range(len(self.index)) if row not in self.damaged]

    def batches(
        self, doing: str, rows: Sequence[int] | None = None
    ) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Clips (N, C, T, H, W) on the device and their rows of the index, with a progress bar."""
        sound = self.sound if rows is None else [row for row in rows if row not in self.damaged]
        views = VideoViews(
            self.index, self.clip, clips=1, crops=1, decoding=self.decoding, rows=sound
        )
        size = clips_in_call(self.clip.test_shape, self.device.type)
        with guarded_workers(self.workers), progress_bar() as progress:
            task = progress.add_task(doing, total=len(sound))
            for batch in view_loader(
                views,
                micro_batch=size,
                workers=self.workers,
                group=size,
                device=self.device,
            ):
                known = len(self.damaged)
                for problem in batch.problems:
                    if problem.kind in ("damaged", "short"):
                        kept = self.damaged if problem.kind == "damaged" else self.short
                        kept[problem.video] = problem
                if batch.clips is not None:
                    clips = batch.clips.to(self.device, non_blocking=True)
                    yield prepare_clips(clips, self.normalisation), batch.videos.numpy()
                progress.advance(task, len(self.damaged) - known + len(batch.videos))

    def view(self, row: int) -> View:
        """`read_view` of one video."""
        path, segment = self.index.path(row), self.index.segment(row)
        return read_view(path, self.clip, self.decoding, segment)

    def prepared(self, view: View) -> Tensor:
        """(1, C, T, H, W) of a view, prepared for the network."""
        frames = torch.from_numpy(view.frames[None]).to(self.device)
        return prepare_clips(frames, self.normalisation)


def find_clips(
    checkpoint: Path,
    contents: CheckpointContents,
    videos: Sequence[Path] = (),
    *,
    root: Path | None = None,
    count: int | None = None,
    seed: int = 0,
) -> tuple[VideoIndex, int]:
    """`count` of the videos, spread over their classes, in an order drawn with `seed`.

    videos: files, folders and `path label` lists; by default the run's test videos. A video's label
    comes from its list, else from its folder (VIDEO or below) if that is a class of the network,
    else it is -1. Returns the number of all videos, too.

    Raises FileNotFoundError, ValueError for contents that do not fit the checkpoint, DataError.
    """
    trained = DataConfig(**contents.config.get("data", {}))
    if videos:
        parts = [_part(checkpoint, contents, trained, video, root) for video in videos]
        whole = parts[0] if len(parts) == 1 else _together(parts)
    else:
        whole = videos_to_test(checkpoint, contents, trained, None, None).index
    order = np.random.default_rng(seed).permutation(len(whole))
    chosen = subset_of(EvaluatedVideos(whole.take(order), None), count or len(whole)).index
    return chosen, len(whole)


def _part(
    checkpoint: Path,
    contents: CheckpointContents,
    trained: DataConfig,
    video: Path,
    root: Path | None,
) -> VideoIndex:
    """The videos of one file, folder or list."""
    if not video.exists():
        raise FileNotFoundError(f"{video}: no such video, folder or list")
    if video.is_file() and not is_video(video.name):
        try:
            return videos_to_test(checkpoint, contents, trained, video, root).index
        except UnicodeDecodeError:
            raise DataError(f"{video}: neither a video (.mp4, .mkv, …) nor a list") from None
    paths = find_videos(video, utf8=True) if video.is_dir() else [video]
    above = video.absolute().parent if video.is_dir() else video.absolute().parent.parent
    known = {name: number for number, name in enumerate(contents.names)}
    folders = [path.absolute().relative_to(above).parts[:-1] for path in paths]
    labels = [next((known[part] for part in parts if part in known), -1) for parts in folders]
    if trained.multi_label:
        return VideoIndex.build(paths, [[]] * len(paths), contents.names, multi_label=True)
    return VideoIndex.build(paths, labels, contents.names)


def _together(parts: Sequence[VideoIndex]) -> VideoIndex:
    """Several indices as one, with absolute paths."""
    every = [(part, row) for part in parts for row in range(len(part))]
    segments = [part.segment(row) or (None, None) for part, row in every]
    multi_label = parts[0].multi_label
    return VideoIndex.build(
        [Path(part.path(row)).absolute() for part, row in every],
        [
            np.flatnonzero(part.target(row)) if multi_label else part.target(row)
            for part, row in every
        ],
        parts[0].names,
        multi_label=multi_label,
        start=[start for start, _ in segments],
        end=[end for _, end in segments],
    )
