"""The videos of the decoding benchmarks, with the wanted frames and crops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from video_gc.atomic import atomic_path
from video_gc.data.crops import crop_boxes, random_resized_crop, scaled_size
from video_gc.data.sampling import ClipConfig, FrameRange, fixed_clips, training_clip
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box
from video_gc.decode.write import write_video
from video_gc.progress import track

MADE = {  # name: width, height, largest distance of key frames
    "made340_g250.mp4": (340, 256, 250),
    "made340_g12.mp4": (340, 256, 12),
    "made720_g250.mp4": (1280, 720, 250),
}
SPARSE, DENSE = "made340_g250.mp4", "made340_g12.mp4"
"""Of the size of Kinetics' copies; with long or short distances of key frames."""
RATE, FRAMES = 30, 300
LOOPS = 90
"""Number of ten-second clips in 15 minutes."""
SAMPLES = {
    "8x8": "training sample: 8 frames, stride 8, random start, random crop to 224",
    "32x2": "training sample: 32 frames, stride 2, random start, random crop to 224",
    "views": "30 views of one video: 10 clips of 8×8, 3 crops of 256, short side 256",
}
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
LUMA = torch.tensor([65.481, 128.553, 24.966]) / 255
"""RGB → Y of BT.601, 16…235"""


@dataclass(frozen=True)
class Video:
    """A file, and the facts needed to draw samples."""

    path: Path
    size: tuple[int, int]
    """(height, width)"""
    rate: float
    times: np.ndarray
    """start of each frame, seconds"""
    group: float
    """mean distance of key frames, in frames"""

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def part(self) -> FrameRange:
        """All frames, for sampling."""
        return FrameRange(0, self.frames, self.rate)


@dataclass(frozen=True)
class Sample:
    """Wanted frames and crops of a video."""

    windows: np.ndarray
    """frame indices (K, T)"""
    boxes: Sequence[Box]
    """crops of each window: in the original picture, or in the scaled one"""
    crop: int
    """height and width of a clip"""
    scaled: tuple[int, int] | None = None
    """(height, width) of the picture before it is cropped, for views; in training a box is scaled
    to `crop`"""

    @property
    def wanted(self) -> list[int]:
        """The distinct wanted frames, rising."""
        return [int(index) for index in np.unique(self.windows)]

    @property
    def clips(self) -> int:
        """Number of clips that come out."""
        return len(self.windows) * len(self.boxes)


def look_at(path: Path) -> Video:
    """Open a video. Raises what `open_video` raises."""
    with open_video(path, "pyav") as reader:
        size, rate, times = reader.size, reader.rate, reader.times
    with av.open(path) as container:
        packets = container.demux(container.streams.best("video"))
        keys = sum(packet.is_keyframe for packet in packets if packet.size)
    return Video(path, size, rate, times, len(times) / max(keys, 1))


def draw(name: str, video: Video, random: np.random.Generator) -> Sample:
    """One of SAMPLES for a video; the views of a video are always the same."""
    if name == "views":
        config = ClipConfig(frames=8, stride=8)
        return views_of(video, config, fixed_clips(config, video.part, 10), 3, even=True)
    frames, stride = map(int, name.split("x"))
    config = ClipConfig(frames=frames, stride=stride, crop_area=[*AREA])
    window = training_clip(config, video.part, random)
    box = random_resized_crop(video.size, AREA, ASPECT, random)
    return Sample(window[None], [box], config.crop)


def views_of(
    video: Video, clip: ClipConfig, windows: np.ndarray, crops: int, *, even: bool = False
) -> Sample:
    """Test crops of these windows (K, T)."""
    scaled = scaled_size(video.size, clip.test_short_side, even=even)
    boxes = crop_boxes(scaled, clip.test_crop, crops, even=even)
    return Sample(windows, boxes, clip.test_crop, scaled)


def cut(frames: Tensor, indices: Sequence[int], sample: Sample) -> list[Tensor]:
    """Crop and scale with torchvision, as the peers' users do.

    frames: (U, 3, H, W), the frames `indices` of the video, rising. Returns a (T, 3, h, w) for
    each window and box.
    """
    size = [sample.crop, sample.crop]
    if sample.scaled is not None:
        frames = functional.resize(frames, list(sample.scaled), antialias=True)

    def crop(clip: Tensor, box: Box) -> Tensor:
        edges = (box.top, box.left, box.height, box.width)
        if sample.scaled is None:
            return functional.resized_crop(clip, *edges, size, antialias=True)
        return functional.crop(clip, *edges)

    places = np.searchsorted(indices, sample.windows)
    return [crop(frames[window], box) for window in places for box in sample.boxes]


def difference(clips: Sequence[Any], others: Sequence[Any]) -> float:
    """Mean absolute difference of the brightness, in grey levels; infinite for other shapes.

    Each clip is an array or a tensor: (T, h, w, 3), (T, 3, h, w), or planes (T, 3 h / 2, w).
    """
    pairs = list(zip(map(_brightness, clips), map(_brightness, others), strict=False))
    same = len(clips) == len(others) and all(one.shape == other.shape for one, other in pairs)
    if not same or not pairs:
        return float("inf")
    return float(np.mean([(one - other).abs().mean().item() for one, other in pairs]))


def made_videos(
    folder: Path, names: Sequence[str] = tuple(MADE), frames: int = FRAMES
) -> list[Path]:
    """These default videos, in `folder`; missing ones are encoded."""
    for name in names:
        if not (folder / name).is_file():
            encode(folder / name, *MADE[name], frames)
    return [folder / name for name in names]


def encode(path: Path, width: int, height: int, group: int, frames: int = FRAMES) -> Path:
    """H.264 as commonly encoded: x264 medium (up to 3 B-frames), crf 23, 4:2:0, 30 Hz.

    group: largest distance of key frames, in frames.
    """
    pictures = track(_pictures(width, height, frames), f"Making {path.name}", frames)
    clip = np.stack(list(pictures))
    return write_video(path, clip, fps=RATE, crf=23, keyframe_interval=group, preset="medium")


def repeat(source: Path, path: Path, times: int = LOOPS) -> Path:
    """The packets of `source` repeated `times` times, without encoding."""
    if path.is_file():
        return path
    with atomic_path(path) as part, av.open(source) as own, av.open(part, "w") as container:
        stream: Any = own.streams.best("video")
        out = container.add_stream_from_template(stream)
        packets = [p for p in own.demux(stream) if p.size]
        length = max(p.pts + p.duration for p in packets) - min(p.pts for p in packets)
        for number in range(times):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts = packet.pts + number * length
                copy.dts = packet.dts + number * length
                copy.duration, copy.is_keyframe = packet.duration, packet.is_keyframe
                copy.time_base, copy.stream = stream.time_base, out
                container.mux(copy)
    return path


def _pictures(width: int, height: int, frames: int) -> Iterator[np.ndarray]:
    """A panning textured background, moving textured patches, and some noise."""
    random = np.random.default_rng(0)
    background = _texture(random, height + 64, 2 * width)
    unit = height // 4
    patches = [_texture(random, unit, unit) for _ in range(5)]
    noise = random.normal(0, 2.5, (4, height, width, 1))
    for number in range(frames):
        t = number / RATE
        left = int((0.5 + 0.5 * np.sin(0.5 * t)) * width)
        top = int(32 + 31 * np.sin(1.3 * t))
        picture = background[top : top + height, left : left + width].copy()
        for k, patch in enumerate(patches):
            x = int((0.5 + 0.5 * np.sin((0.7 + 0.3 * k) * t + k)) * (width - unit))
            y = int((0.5 + 0.5 * np.cos((0.9 + 0.2 * k) * t + 2 * k)) * (height - unit))
            picture[y : y + unit, x : x + unit] = patch
        grain = np.roll(noise[number % 4], number * 37, axis=1)
        yield np.clip(picture + grain, 0, 255).astype(np.uint8)


def _texture(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Float (height, width, 3), 0…255, with detail at every scale as in photographs."""
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    falloff = 1 / np.maximum(np.hypot(y, x), 1 / max(height, width)) ** 1.3
    shape = (3, *falloff.shape)
    waves = falloff * (random.normal(size=shape) + 1j * random.normal(size=shape))
    waves[1:] = 0.5 * waves[1:] + waves[:1]  # mostly grey
    texture = np.fft.irfft2(waves, (height, width)).transpose(1, 2, 0)
    return 128 + 45 * (texture - texture.mean()) / texture.std()


def _brightness(clip: Any) -> Tensor:
    """(T, h, w)."""
    tensor = torch.as_tensor(np.ascontiguousarray(clip) if isinstance(clip, np.ndarray) else clip)
    if tensor.ndim == 3:
        return tensor[:, : tensor.shape[2]].float()  # the crops are square
    if tensor.shape[-1] != 3:
        tensor = tensor.movedim(1, -1)
    return tensor.float() @ LUMA + 16
