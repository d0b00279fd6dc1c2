"""Write frames to an H.264 file with PyAV, for the generated data set, overlays and tests."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from video_gc.atomic import atomic_path


def write_video(
    path: str | os.PathLike[str],
    frames: np.ndarray,
    *,
    fps: float = 30.0,
    crf: int = 18,
    keyframe_interval: int = 250,
    preset: str = "superfast",
) -> Path:
    """Encode uint8 RGB frames (T, H, W, 3) as H.264 4:2:0 and return the path.

    H and W must be even. Equal frames give equal bytes with one encoder thread and a preset without
    macroblock trees (ultrafast, superfast): with x264's slower ones, 73 of 160 files differed.
    The file appears under its name only when it is complete.

    Raises ValueError on another shape or dtype, or on odd sizes.
    """
    path = Path(path)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"frames must be uint8 (T, H, W, 3), not {frames.dtype} {frames.shape}")
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        raise ValueError(f"H.264 4:2:0 needs even sizes, not {width}×{height}")
    muxer = _muxer(path)
    with atomic_path(path) as part, av.open(part, "w", format=muxer) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "preset": preset, "g": str(keyframe_interval)}
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _muxer(path: Path) -> str:
    muxers = {".mp4": "mp4", ".mkv": "matroska", ".avi": "avi", ".mov": "mov"}
    if path.suffix not in muxers:
        raise ValueError(f"{path.name}: a video is written as one of {', '.join(muxers)}")
    return muxers[path.suffix]
