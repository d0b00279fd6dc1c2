"""Write H.264 files with PyAV, from frames in memory or from another video.

`transcode` makes a smaller video, with closer key frames and the same frames and times. A random
clip is decoded from the key frame before it, so key frames 250 frames apart (x264's default) cost a
training clip of 8×8 about twice the pictures that it needs.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from video_gc.atomic import atomic_path
from video_gc.decode.ffmpeg.container import opened
from video_gc.decode.ffmpeg.presentation import is_wide
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError, VideoReader
from video_gc.subprocess_call import heartbeat


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
    macroblock trees (ultrafast, superfast): with x264's slower presets, 73 of 160 files differed.
    The file gets its name only when it is complete.

    Raises ValueError for another shape or dtype, or for odd sizes.
    """
    path = Path(path)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"frames must be uint8 (T, H, W, 3), not {frames.dtype} {frames.shape}")
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        raise ValueError(f"H.264 4:2:0 needs even sizes, not {width}×{height}")
    muxer = muxer_of(path)
    with atomic_path(path) as part, av.open(part, "w", format=muxer) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "preset": preset, "g": str(keyframe_interval)}
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@contextmanager
def growing_video(path: Path) -> Iterator[Callable[[np.ndarray, float], None]]:
    """Yield a function that adds a frame, uint8 RGB (H, W, 3), shown from the given second on.

    The first frame is shown from 0 s, and decides the size (made even); others are scaled to it.
    The file is valid when the block ends. Raises ValueError for a name that no video has.
    """
    last = -1
    with av.open(path, "w", format=muxer_of(path)) as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "23", "preset": "superfast"}
        unit = stream.codec_context.time_base = stream.time_base = Fraction(1, FINEST)
        first: float | None = None

        def add(picture: np.ndarray, seconds: float) -> None:
            nonlocal first, last
            frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if first is None:
                first = seconds
                stream.width, stream.height = (max(n // 2, 1) * 2 for n in picture.shape[1::-1])
            frame = frame.reformat(stream.width, stream.height, "yuv420p")
            last = max(round((seconds - first) / unit), last + 1)  # x264 rejects equal stamps
            frame.pts, frame.time_base = last, unit
            container.mux(stream.encode(frame))

        yield add
        if first is not None:
            container.mux(stream.encode(None))


def muxer_of(path: Path) -> str:
    """FFmpeg's name of the format. Raises ValueError for a name that no video has."""
    muxers = {".mp4": "mp4", ".mkv": "matroska", ".avi": "avi", ".mov": "mov"}
    if path.suffix not in muxers:
        raise ValueError(f"{path.name}: a video is written as one of {', '.join(muxers)}")
    return muxers[path.suffix]


MATRICES = {"bt709": 1, "bt601": 6, "bt2020": 9, "smpte240m": 7}  # ISO/IEC 23091-2, 8.3
BT709, UNSPECIFIED = 1, 2  # primaries and transfer functions, 8.1 and 8.2
FINEST = 90_000  # Hz, for time stamps if the source has none, as in MPEG
MOST = 10**9  # Hz; MP4 stores the rate of time stamps in 32 bits


def transcode(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    short_side: int | None = 256,
    keyframe_interval: int = 32,
    crf: int = 20,
    preset: str = "fast",
    enlarge: bool = False,
    time_limit: float = 60.0,
) -> int:
    """Write the video of `source` to the MP4 file `target`; return the number of frames.

    short_side: smaller of height and width, pixels; the other in proportion, both even.
        A smaller video keeps its size unless `enlarge`; None keeps every size.
    keyframe_interval: the largest distance of key frames, frames; scene cuts add others.
    crf, preset: x264's quality (lower is better and larger) and effort.

    Every frame is kept, at its own time (variable rates stay variable), the first at 0 s. The copy
    has the reader's pictures: upright, with square pixels and standard range; it keeps the matrix,
    range and primaries of their colours. Sound is dropped.

    Raises DecodeError if the source is damaged or the result lacks frames, ValueError for an
    unusable option.
    """
    if short_side is not None and short_side < 2:
        raise ValueError(f"short_side ({short_side}) must be at least 2")
    if keyframe_interval < 1:
        raise ValueError(f"keyframe_interval ({keyframe_interval}) must be at least 1")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf ({crf}) must be in 0…51")
    with open_video(source, time_limit=time_limit) as reader:
        count = len(reader)
        height, width = target_size(reader.size, short_side, enlarge=enlarge)
        unit, primaries, transfer = _source_tags(source)
        stamps = _stamps(reader, unit)
        layout = "yuvj420p" if reader.colour.full_range else "yuv420p"
        with av.open(os.fspath(target), "w", format="mp4") as container:
            stream: Any = container.add_stream(
                "libx264", rate=Fraction(reader.rate).limit_denominator(1001)
            )
            stream.width, stream.height, stream.pix_fmt = width, height, layout
            stream.options = {"crf": str(crf), "preset": preset, "g": str(keyframe_interval)}
            stream.codec_context.thread_count = 1
            stream.codec_context.time_base = stream.time_base = unit
            stream.codec_context.colorspace = MATRICES[reader.colour.matrix]
            stream.codec_context.color_range = 2 if reader.colour.full_range else 1
            stream.codec_context.color_primaries = primaries
            stream.codec_context.color_trc = transfer
            frames = reader.frames(range(count), size=(height, width), form="yuv")
            for index, planes in frames:
                frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format=layout)
                frame.pts, frame.time_base = int(stamps[index]), unit
                frame.duration = int(stamps[index + 1] - stamps[index])
                frame.colorspace = stream.codec_context.colorspace
                frame.color_range = stream.codec_context.color_range
                container.mux(stream.encode(frame))
                heartbeat()
            container.mux(stream.encode(None))
    _verify(source, target, count)
    return count


def target_size(
    size: tuple[int, int], short_side: int | None, *, enlarge: bool = False
) -> tuple[int, int]:
    """(height, width) with this short side, in proportion, both even."""
    factor = 1.0 if short_side is None else short_side / min(size)
    factor = factor if enlarge else min(factor, 1.0)
    height, width = (max(2 * round(side * factor / 2), 2) for side in size)
    return height, width


def _source_tags(source: str | os.PathLike[str]) -> tuple[Fraction, int, int]:
    """A unit of time in which every time stamp of the source is a whole number, and the numbers of
    the copy's primaries and transfer function."""
    if Path(source).is_dir():
        return Fraction(1, FINEST), UNSPECIFIED, UNSPECIFIED
    with opened(source) as (_, stream):
        base, context = stream.time_base, stream.codec_context
        tags = int(context.color_primaries), int(context.color_trc)
        if is_wide(context):
            tags = BT709, BT709  # the reader converts to it
    if base is None or base.denominator > MOST:
        return Fraction(1, FINEST), *tags
    return Fraction(1, base.denominator), *tags


def _stamps(reader: VideoReader, unit: Fraction) -> np.ndarray:
    """Start of each frame, and end of the last one: int64 (frames + 1,), rising."""
    times = reader.times
    last = times[-1] - times[-2] if len(times) > 1 else 1 / reader.rate
    stamps = np.rint(np.append(times, times[-1] + last) / float(unit)).astype(np.int64)
    order = np.arange(len(stamps))  # x264 rejects equal stamps
    return np.maximum.accumulate(stamps - order) + order


def _verify(source: str | os.PathLike[str], target: str | os.PathLike[str], count: int) -> None:
    with open_video(target) as written:
        if len(written) != count:
            raise DecodeError(source, f"{len(written)} of {count} frames could be written")
