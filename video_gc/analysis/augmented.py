"""A grid of augmented clips."""

from dataclasses import replace

import numpy as np
import torch

from video_gc.data.augment import AugmentConfig, mix_clips, sided_labels
from video_gc.data.batches.batch import Batch, collate
from video_gc.data.dataset import TrainingClips, VideoProblem, VideoViews
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.progress import say

GAP = 4
"""Pixels between the clips of a grid."""
USUAL = Normalisation()


def augmented_grid(
    index: VideoIndex,
    clip: ClipConfig,
    augment: AugmentConfig,
    *,
    rows: int,
    flip: float,
    draws: int,
    seed: int = 0,
) -> tuple[np.ndarray, int]:
    """Frames (T, H, W, 3), uint8, of a grid: a row for each video, a column for each draw.

    The first column is the test clip, the others are the training clips of epochs 0, 1, …; a column
    is a batch, in which mixup and cutmix mix. Also returns the number of rows: `rows` videos,
    spread over the index. A damaged video is replaced by the next one, with a message; there are
    fewer rows if the index has no more videos.

    Raises DataError if no video can be read.
    """
    chosen = list(np.unique(np.linspace(0, len(index) - 1, rows).astype(int)))
    spare = list(np.setdiff1d(np.arange(len(index)), chosen))
    while True:
        taken = index.take(np.array(chosen))
        try:
            return _grid(taken, clip, augment, flip=flip, draws=draws, seed=seed), len(chosen)
        except _DamagedError as error:
            if len(chosen) == 1 and not spare:
                raise DataError(str(error)) from None
            say(f"Left out: {error}", style="yellow")
            damaged = chosen.pop(error.row)
            if spare:  # the nearest, usually of the same class
                near = min(spare, key=lambda row: abs(row - damaged))
                spare.remove(near)
                chosen.insert(error.row, near)


class _DamagedError(Exception):
    """An unreadable video, and its row."""

    def __init__(self, problem: VideoProblem) -> None:
        super().__init__(problem.reason)
        self.row = problem.video


def _grid(
    index: VideoIndex,
    clip: ClipConfig,
    augment: AugmentConfig,
    *,
    flip: float,
    draws: int,
    seed: int,
) -> np.ndarray:
    plain = replace(clip, test_crop=clip.crop, test_short_side=max(clip.crop, clip.short_side[0]))
    views = VideoViews(index, plain, clips=1, crops=1)
    columns = [_pictures(collate(list(views)), None, 0, len(index.names))]
    data = TrainingClips(
        index, replace(clip, repeats=1), seed=seed, flip=flip, sided=sided_labels(index.names)
    )
    for epoch in range(draws):
        batch = collate([data[(epoch, row)] for row in range(len(index))])
        columns.append(_pictures(batch, augment, epoch, len(index.names), seed))
    return np.concatenate([_column(column) for column in columns], axis=2)


def _pictures(
    batch: Batch, augment: AugmentConfig | None, step: int, classes: int, seed: int = 0
) -> np.ndarray:
    """uint8 (N, T, H, W, 3) of a batch, after all augmentation of the training."""
    for problem in batch.problems:
        if problem.kind == "damaged":
            raise _DamagedError(problem)
    assert batch.clips is not None
    clips = prepare_clips(batch.clips, USUAL, batch.flips, augment=augment, seeds=batch.seeds)
    if augment is not None:
        clips, _ = mix_clips(clips, batch.labels, augment, classes=classes, seed=seed, step=step)
    mean, std = torch.tensor(USUAL.mean), torch.tensor(USUAL.std)
    pictures = (clips.permute(0, 2, 3, 4, 1) * std + mean) * 255
    return pictures.round().clamp(0, 255).to(torch.uint8).numpy()


def _column(clips: np.ndarray) -> np.ndarray:
    """(N, T, H, W, 3) → the clips one below the other, (T, N (H + gap), W + gap, 3)."""
    spaced = np.pad(clips, ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    number, frames, height, width, _ = spaced.shape
    return spaced.transpose(1, 0, 2, 3, 4).reshape(frames, number * height, width, 3)
