"""Augmented clips side by side, as an animated picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from video_gc.atomic import atomic_path
from video_gc.data.augment import AugmentConfig, sided_labels
from video_gc.data.dataset import Batch, TrainingClips, Trouble, VideoViews, collate
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.mixing import mix_clips
from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.progress import say

SUFFIXES = (".webp", ".gif", ".png")
GAP = 4
"""Pixels between the clips of a grid."""
USUAL = Normalisation()


def augmented_grid(
    index: VideoIndex,
    clip: ClipConfig,
    augment: AugmentConfig,
    *,
    flip: float,
    draws: int,
    seed: int = 0,
) -> tuple[np.ndarray, int]:
    """Frames (T, H, W, 3), uint8, of a grid: a row for each video, a column for each draw.

    The first column is the clip as it is tested, the others are what training sees in epoch 0, 1,
    …; a column is a batch, which mixup and cutmix mix. Returns the number of rows too: a damaged
    video is left out, with a line.

    Raises DataError where no video can be read.
    """
    while True:
        try:
            return _grid(index, clip, augment, flip=flip, draws=draws, seed=seed), len(index)
        except _DamagedError as error:
            if len(index) == 1:
                raise DataError(str(error)) from None
            say(f"Left out: {error}", style="yellow")
            index = index.take(np.delete(np.arange(len(index)), error.row))


class _DamagedError(Exception):
    """A video that cannot be read, and its row."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.reason)
        self.row = trouble.video


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


def write_animation(file: Path, frames: np.ndarray, *, rate: float = 8.0) -> Path:
    """Write uint8 frames (T, H, W, 3) as WebP, GIF or animated PNG that plays for ever.

    rate: frames per second. Raises ValueError for another kind of file.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{file}: an animated picture is written as {', '.join(SUFFIXES)}")
    pictures = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    with atomic_path(file) as part:
        pictures[0].save(
            part,
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / rate),
            loop=0,
        )
    return file


def _pictures(
    batch: Batch, augment: AugmentConfig | None, step: int, classes: int, seed: int = 0
) -> np.ndarray:
    """uint8 (N, T, H, W, 3) of a batch, after everything that training does to it."""
    for trouble in batch.troubles:
        if trouble.kind == "damaged":
            raise _DamagedError(trouble)
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
