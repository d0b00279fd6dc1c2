"""The videos that decoding is measured on, made here where none are given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from video_gc.atomic import atomic_path
from video_gc.decode.open import open_video
from video_gc.progress import track

MADE = {  # name: width, height, frames from one key frame to the next at most
    "made340_g250.mp4": (340, 256, 250),
    "made340_g12.mp4": (340, 256, 12),
    "made720_g250.mp4": (1280, 720, 250),
}
SPARSE, DENSE = "made340_g250.mp4", "made340_g12.mp4"
"""Those of the size of Kinetics' copies; many frames or few from one key frame to the next."""
RATE, FRAMES = 30, 300
LOOPS = 90
"""Times that a clip of ten seconds fits into a quarter of an hour."""


@dataclass(frozen=True)
class Video:
    """A file, and what must be known of it to draw samples."""

    path: Path
    size: tuple[int, int]
    """(height, width)"""
    rate: float
    times: np.ndarray
    """seconds of each frame"""
    group: float
    """mean number of frames from one key frame to the next"""

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.times)


def look_at(path: Path) -> Video:
    """Open a video. Raises what `open_video` raises."""
    with open_video(path, "pyav") as reader:
        size, rate, times = reader.size, reader.rate, reader.times
    with av.open(path) as container:
        packets = container.demux(container.streams.best("video"))
        keys = sum(packet.is_keyframe for packet in packets if packet.size)
    return Video(path, size, rate, times, len(times) / max(keys, 1))


def made_videos(
    folder: Path, names: Sequence[str] = tuple(MADE), frames: int = FRAMES
) -> list[Path]:
    """These of the default videos, in `folder`; those that are not there yet are encoded."""
    for name in names:
        if not (folder / name).is_file():
            encode(folder / name, *MADE[name], frames)
    return [folder / name for name in names]


def encode(path: Path, width: int, height: int, group: int, frames: int = FRAMES) -> Path:
    """H.264 as people encode it: x264 medium, crf 23, up to 3 B-frames, 4:2:0, 30 Hz.

    group: frames from one key frame to the next at most.
    """
    with atomic_path(path) as part, av.open(part, "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "medium", "crf": "23", "bf": "3", "g": str(group)}
        for picture in track(_pictures(width, height, frames), f"Encoding {path.name}", frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def repeat(source: Path, path: Path, times: int = LOOPS) -> Path:
    """The packets of `source` `times` over, one after the other, without encoding anything."""
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
    """A textured background that pans, textured patches that move over it, and some noise."""
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
    """Float (height, width, 3), 0…255, with detail at every scale as photographs have it."""
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    falloff = 1 / np.maximum(np.hypot(y, x), 1 / max(height, width)) ** 1.3
    shape = (3, *falloff.shape)
    waves = falloff * (random.normal(size=shape) + 1j * random.normal(size=shape))
    waves[1:] = 0.5 * waves[1:] + waves[:1]  # mostly grey
    texture = np.fft.irfft2(waves, (height, width)).transpose(1, 2, 0)
    return 128 + 45 * (texture - texture.mean()) / texture.std()
