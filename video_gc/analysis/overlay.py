"""Frames in a row, plain or under a heat map, and the colours of that map."""

import numpy as np
from matplotlib import colormaps

STRENGTH = 0.65  # opacity of the heat map at the highest attention
COLOURS = "inferno"


def strip(frames: np.ndarray, count: int = 8) -> np.ndarray:
    """`count` frames, evenly spaced, side by side: (T, H, W, 3) → (H, count·W, 3) uint8."""
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    gap = np.full((frames.shape[1], 2, 3), 255, np.uint8)
    parts = [part for index in chosen for part in (frames[index], gap)]
    return np.concatenate(parts[:-1], axis=1)


def heat(frames: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Lay attention (T, H, W) in 0…1 over uint8 frames (T, H, W, 3) as colour."""
    return _mix(frames.mean(axis=3, keepdims=True), attention)


def colour_bar(height: int, width: int) -> np.ndarray:
    """Colours of `heat` for 0…1 from left to right over mid grey: uint8 (H, W, 3)."""
    ramp = np.broadcast_to(np.linspace(0, 1, width), (height, width))
    return _mix(np.full((height, width, 1), 128.0), ramp)


def _mix(grey: np.ndarray, attention: np.ndarray) -> np.ndarray:
    colours = colormaps[COLOURS](attention)[..., :3] * 255
    share = STRENGTH * attention[..., None]
    return (grey * (1 - share) + colours * share).round().clip(0, 255).astype(np.uint8)
