"""Soft-edged shapes on plain or graded backgrounds, for the generated data set."""

import colorsys
from dataclasses import dataclass

import numpy as np

SIZE = 40  # pixels, height and width
NUM_FRAMES = 8
FROM_MIDDLE = np.arange(NUM_FRAMES) - (NUM_FRAMES - 1) / 2
"""The time of each frame, in frames from the middle of the clip."""


@dataclass(frozen=True)
class Track:
    """An object's position per frame and its size: x, y (T,), radius, in pixels."""

    x: np.ndarray
    y: np.ndarray
    radius: float
    hue: float | None = None
    """of its bright, saturated colour: a part of the circle of colours; None for any colour"""
    frame: int | None = None
    """the only frame that shows it; None for all"""


def background(random: np.random.Generator) -> np.ndarray:
    """Float frames (T, H, W, 3) in 0…1: two close colours, from one side to the other."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    angle = random.uniform(0, 2 * np.pi)
    mix = x * np.cos(angle) + y * np.sin(angle)
    middle, slope = random.uniform(0.35, 0.6, 3), random.uniform(-0.1, 0.1, 3)
    picture = (middle + mix[..., None] * slope).astype(np.float32)
    return np.repeat(picture[None], NUM_FRAMES, 0)


def colour(random: np.random.Generator, hue: float | None = None) -> np.ndarray:
    """A colour brighter or darker than every background, or one of a hue."""
    if hue is not None:
        return np.array(colorsys.hsv_to_rgb(hue % 1, *random.uniform(0.9, 1.0, 2)))
    bright = random.uniform(0.8, 1.0, 3)
    return bright if random.integers(2) else 1 - bright


def paint(canvas: np.ndarray, track: Track, random: np.random.Generator) -> np.ndarray:
    """Draw one object over the frames, with soft edges. Its shape is random, and so is its
    colour unless it has a hue.

    Pixels farther than radius + 0.5 from its centre, along x or y, stay as they are.
    """
    y, x = np.mgrid[:SIZE, :SIZE]
    dx, dy = x - track.x[:, None, None], y - track.y[:, None, None]
    distance = (
        np.hypot(dx, dy),
        np.maximum(abs(dx), abs(dy)) * 1.15,
        np.maximum(abs(dx) + abs(dy), 1.4 * np.maximum(abs(dx), abs(dy))) * 0.8,
    )[random.integers(3)]
    cover = np.clip(track.radius - distance + 0.5, 0, 1)[..., None].astype(np.float32)
    if track.frame is not None:
        cover[np.arange(NUM_FRAMES) != track.frame] = 0
    return canvas + cover * (colour(random, track.hue).astype(np.float32) - canvas)
