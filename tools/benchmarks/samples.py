"""The pieces of work that decoders are timed on, and whether they brought the right frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from benchmarks.videos import Video
from video_gc.data.crops import crop_boxes, random_crop, random_resized_crop, scaled_size
from video_gc.data.sampling import ClipConfig, Part, fixed_clips, training_clip
from video_gc.decode.reader import Box

SAMPLES = {
    "8x8": "training sample: 8 frames, stride 8, random start, random crop to 224",
    "32x2": "training sample: 32 frames, stride 2, random start, random crop to 224",
    "views": "30 views of one video: 10 clips of 8×8, 3 crops of 256, short side 256",
}
CROPS = ("area", "short-side")
"""random-resized crop (8 to 100 % of the picture), or short side 256 to 320 and a crop of 224"""
Clip = np.ndarray | Tensor
LUMA = torch.tensor([65.481, 128.553, 24.966]) / 255
"""RGB → Y of BT.601, 16…235"""


@dataclass(frozen=True)
class Sample:
    """Frames and crops that are wanted of a video."""

    windows: np.ndarray
    """frame indices (K, T)"""
    boxes: Sequence[Box]
    """crops of each window: of the picture, or of the scaled one"""
    crop: int
    """height and width of a clip"""
    scaled: tuple[int, int] | None = None
    """(height, width) to scale the picture to before it is cropped, for views; in training a
    box is scaled to `crop`"""

    @property
    def wanted(self) -> list[int]:
        """The distinct frames, rising."""
        return [int(index) for index in np.unique(self.windows)]

    @property
    def clips(self) -> int:
        """How many come out."""
        return len(self.windows) * len(self.boxes)


def draw(name: str, video: Video, random: np.random.Generator, crop: str = CROPS[0]) -> Sample:
    """One of SAMPLES of a video; the views of a video are always the same."""
    part = Part(0, video.frames, video.rate)
    if name == "views":
        config = ClipConfig(frames=8, stride=8)
        scaled = scaled_size(video.size, config.test_short_side, even=True)
        boxes = crop_boxes(scaled, config.test_crop, 3, even=True)
        return Sample(fixed_clips(config, part, 10), boxes, config.test_crop, scaled)
    frames, stride = map(int, name.split("x"))
    config = ClipConfig(frames=frames, stride=stride, crop_area=[0.08, 1.0])
    window = training_clip(config, part, random)
    if crop == "area":
        box = random_resized_crop(video.size, (0.08, 1.0), (3 / 4, 4 / 3), random)
    else:
        box = random_crop(video.size, config.crop, (256, 320), random)
    return Sample(window[None], [box], config.crop)


def cut(frames: Tensor, indices: Sequence[int], sample: Sample) -> list[Tensor]:
    """Crop and scale with torchvision, as the peers' users do.

    frames: (U, 3, H, W), the frames `indices` of the video, rising. Returns a (T, 3, h, w) for
    each window and box.
    """
    places = np.searchsorted(indices, sample.windows)
    size = [sample.crop, sample.crop]
    if sample.scaled is None:
        return [
            functional.resized_crop(
                frames[window], box.top, box.left, box.height, box.width, size, antialias=True
            )
            for window in places
            for box in sample.boxes
        ]
    frames = functional.resize(frames, list(sample.scaled), antialias=True)
    return [
        frames[window][..., box.top : box.top + box.height, box.left : box.left + box.width]
        for window in places
        for box in sample.boxes
    ]


def difference(clips: Sequence[Clip], others: Sequence[Clip]) -> float:
    """Mean absolute difference of the brightness, in grey levels; infinite for other shapes.

    Each clip is (T, h, w, 3), (T, 3, h, w), or planes (T, 3 h / 2, w).
    """
    if len(clips) != len(others):
        return float("inf")
    found = []
    for one, other in zip(map(_brightness, clips), map(_brightness, others), strict=True):
        if one.shape != other.shape:
            return float("inf")
        found.append((one - other).abs().mean().item())
    return float(np.mean(found)) if found else float("inf")


def _brightness(clip: Clip) -> Tensor:
    """(T, h, w)."""
    tensor = torch.as_tensor(np.ascontiguousarray(clip) if isinstance(clip, np.ndarray) else clip)
    if tensor.ndim == 3:
        return tensor[:, : tensor.shape[2]].float()  # the crops are square
    if tensor.shape[-1] != 3:
        tensor = tensor.movedim(1, -1)
    return tensor.float() @ LUMA + 16
