"""Soft-edged shapes over drifting backgrounds, for the generated data set."""

from dataclasses import dataclass

import numpy as np

SIZE = 64  # pixels, height and width
NUM_FRAMES = 36


@dataclass(frozen=True)
class Track:
    """An object's position and size per frame: x, y, radius in pixels, each (T,)."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray


def background(random: np.random.Generator) -> np.ndarray:
    """Float frames (T, H, W, 3) in 0…1, still or drifting slowly."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    t = np.arange(NUM_FRAMES)[:, None, None] / NUM_FRAMES
    angle, drift = random.uniform(0, 2 * np.pi), random.uniform(-0.3, 0.3)
    along = x * np.cos(angle) + y * np.sin(angle) + drift * t
    kind = random.integers(4)
    if kind == 0:
        mix = np.zeros((NUM_FRAMES, SIZE, SIZE))
    elif kind == 1:
        mix = np.clip(along, -1, 1) / 2 + 0.5
    elif kind == 2:
        mix = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(2, 5) * along)
    else:
        waves = [
            np.sin(2 * np.pi * (a * x + b * y + c * t) + d)
            for a, b, c, d in zip(*random.uniform(-3, 3, (4, 6)), strict=True)
        ]
        mix = 0.5 + sum(waves) / 12
    dark = random.uniform(0.25, 0.5, 3)
    bright = dark + random.uniform(-0.1, 0.2, 3)
    return (dark + mix[..., None] * (bright - dark)).astype(np.float32)


def colours(random: np.random.Generator) -> list[np.ndarray]:
    """Two colours, each brighter or darker than every background."""
    bright = random.uniform(0.75, 1.0, (2, 3))
    return list(np.where(random.integers(2, size=(2, 1)), bright, 1 - bright))


def paint(
    canvas: np.ndarray, track_: Track, colour: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Draw one object over the frames, with soft edges; its shape is drawn from `random`."""
    y, x = np.mgrid[:SIZE, :SIZE]
    dx = x - track_.x[:, None, None]
    dy = y - track_.y[:, None, None]
    radius = track_.radius[:, None, None]
    distance = (
        np.hypot(dx, dy),
        np.maximum(abs(dx), abs(dy)) * 1.15,
        (abs(dx) + abs(dy)) * 0.85,
        np.maximum(dy, abs(dx) * 0.87 - dy * 0.5) * 1.6,
    )[random.integers(4)]
    cover = np.clip(radius - distance + 0.5, 0, 1)[..., None].astype(np.float32)
    return canvas + cover * (colour.astype(np.float32) - canvas)
