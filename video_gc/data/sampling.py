"""Which frames and which part of the picture a clip sees. Arithmetic only: no files, no frames.

A clip is T frames, τ apart; its span is (T - 1) τ + 1 frames of the video. Where a video is
shorter than the span, its last frame is repeated.
"""

from dataclasses import dataclass, field

import numpy as np

from video_gc.decode.reader import Box


@dataclass(kw_only=True)
class ClipConfig:
    """What one forward pass sees: T frames at stride τ, and the crops."""

    frames: int = 8
    """T, frames in a clip"""
    stride: int = 8
    """τ, frames of the video from one frame of the clip to the next"""
    crop: int = 224
    """height and width of a training crop, pixels"""
    short_side: list[int] = field(default_factory=lambda: [256, 320])
    """smallest and largest short side the video is scaled to in training, pixels"""
    test_crop: int = 256
    """height and width of a test crop, pixels"""
    test_short_side: int = 256
    """short side at test time, pixels"""

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "crop", "test_crop", "test_short_side"):
            if getattr(self, name) < 1:
                raise ValueError(f"clip.{name} ({getattr(self, name)}) must be at least 1")
        if len(self.short_side) != 2 or self.short_side[0] > self.short_side[1]:
            raise ValueError(f"clip.short_side ({self.short_side}) must be [smallest, largest]")
        if self.crop > self.short_side[0]:
            raise ValueError(
                f"clip.crop ({self.crop}) must not exceed clip.short_side ({self.short_side[0]})"
            )
        if self.test_crop > self.test_short_side:
            raise ValueError(
                f"clip.test_crop ({self.test_crop}) must not exceed "
                f"clip.test_short_side ({self.test_short_side})"
            )

    @property
    def span(self) -> int:
        """Frames of the video from the first to the last frame of a clip."""
        return (self.frames - 1) * self.stride + 1


def random_clip(length: int, frames: int, stride: int, random: np.random.Generator) -> np.ndarray:
    """Indices (T,) of a dense clip that starts anywhere in a video of `length` frames."""
    last_start = max(length - (frames - 1) * stride - 1, 0)
    return _clip(int(random.integers(last_start + 1)), length, frames, stride)


def uniform_clips(length: int, frames: int, stride: int, clips: int) -> np.ndarray:
    """Indices (K, T) of K clips spread evenly from the start to the end; one clip is centred."""
    last_start = max(length - (frames - 1) * stride - 1, 0)
    starts = np.linspace(0, last_start, clips) if clips > 1 else np.array([last_start / 2])
    return np.stack([_clip(int(start), length, frames, stride) for start in starts])


def consecutive_clips(length: int, frames: int, stride: int) -> np.ndarray:
    """Indices (K, T) of windows that follow each other; the last one ends with the video."""
    span = (frames - 1) * stride + 1
    last_start = max(length - span, 0)
    starts = sorted({*range(0, last_start + 1, span), last_start})
    return np.stack([_clip(start, length, frames, stride) for start in starts])


def _clip(start: int, length: int, frames: int, stride: int) -> np.ndarray:
    return np.minimum(start + stride * np.arange(frames), length - 1)


def random_crop(
    size: tuple[int, int], crop: int, short_side: tuple[int, int], random: np.random.Generator
) -> Box:
    """The box that a crop×crop window covers after scaling the short side to a random length.

    size: (height, width) of the video. The short side is drawn evenly from `short_side`, as in
    Simonyan and Zisserman (2015); the window lies anywhere.
    """
    height, width = size
    side = max(round(min(size) * crop / random.uniform(*short_side)), 1)
    left, top = random.integers(width - side + 1), random.integers(height - side + 1)
    return Box(int(left), int(top), side, side)


def scaled_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(height, width) after scaling the short side to `short_side`, in proportion."""
    factor = short_side / min(size)
    return max(round(size[0] * factor), short_side), max(round(size[1] * factor), short_side)


def crop_boxes(size: tuple[int, int], crop: int, crops: int) -> list[Box]:
    """One centred crop×crop box, or three along the longer side, in a picture of `size`.

    Raises ValueError for any other number.
    """
    if crops not in (1, 3):
        raise ValueError(f"crops ({crops}) must be 1 or 3")
    height, width = size
    places = [0.5] if crops == 1 else [0.0, 0.5, 1.0]
    along_x = [place if width >= height else 0.5 for place in places]
    along_y = [0.5 if width >= height else place for place in places]
    return [
        Box(int((width - crop) * x), int((height - crop) * y), crop, crop)
        for x, y in zip(along_x, along_y, strict=True)
    ]
