"""Animated pictures in the formats that browsers play."""

from pathlib import Path

import numpy as np
from PIL import Image

from video_gc.outputs import output_path

SUFFIXES = (".webp", ".gif", ".png")


def check_suffix(file: Path) -> None:
    """Raise ValueError if the file name has another suffix."""
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{file}: an animated picture is written as {', '.join(SUFFIXES)}")


def write_animation(file: Path, frames: np.ndarray, *, rate: float = 8.0) -> Path:
    """Write uint8 frames (T, H, W, 3) as WebP, GIF or animated PNG that loops forever.

    rate: frames per second. Raises ValueError for another kind of file.
    """
    check_suffix(file)
    pictures = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    with output_path(file) as part:
        pictures[0].save(
            part,
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / rate),
            loop=0,
        )
    return file
