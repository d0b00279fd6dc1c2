"""Small videos that hardware decoders have read wrongly, and the frames that are right."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 25
HIDDEN = 7
"""Frames before the start that an edit list sets."""
TALL, SHORT = 544, 530
"""Rows; both are coded as 544, so that one hardware decoder could serve both."""
FRAMES, GOP = 24, 12


def moving(count: int, height: int, width: int) -> np.ndarray:
    """uint8 RGB frames (T, H, W, 3): soft diagonal waves that move, each row unlike the next."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    frames = [
        np.stack([
            128 + 90 * np.sin((x + 2 * y) / 23 + t / 3),
            128 + 90 * np.sin((2 * x - y) / 31 - t / 4),
            128 + 60 * np.sin(y / 17 + t / 5),
        ], axis=2)
        for t in range(count)
    ]  # fmt: skip
    return np.stack(frames).astype(np.uint8)


def encode(
    path: Path,
    codec: str,
    size: tuple[int, int],
    *,
    pixels: str = "yuv420p",
    setup: Callable[[Any], object] = lambda stream: None,
) -> Path:
    """`moving` of (height, width), setup: what else the stream gets."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=RATE)
        stream.height, stream.width = size
        stream.pix_fmt, stream.codec_context.thread_count = pixels, 1
        stream.options = {"g": str(GOP), "preset": "veryfast"} if codec == "libx264" else {}
        setup(stream)
        for number, picture in enumerate(moving(FRAMES, *size)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def hide_start(source: Path, path: Path) -> Path:
    """The same packets, so early that the container hides the first frames: an edit list."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in _packets(old, stream):
            shift = int(HIDDEN / RATE / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copy
            new.mux(packet)
    return path


def turned(stream: Any) -> None:
    """Say in the container that the picture is shown turned."""
    stream.set_display_rotation(90)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    yield from (packet for packet in container.demux(stream) if packet.size)


def make(folder: Path) -> dict[str, Path]:
    """The files, by what is special about them."""
    h264, small = "libx264", (256, 320)
    files = {
        f"{TALL} rows": encode(folder / "tall.mp4", h264, (TALL, 480)),
        f"{SHORT} rows": encode(folder / "short.mp4", h264, (SHORT, 480)),
        "plain": encode(folder / "plain.mp4", h264, small),
        "rotated": encode(folder / "rotated.mp4", h264, small, setup=turned),
        "4:4:4": encode(folder / "full.mp4", h264, small, pixels="yuv444p"),
        "FFV1": encode(folder / "ffv1.mkv", "ffv1", small),
    }
    return files | {"edit list": hide_start(files["plain"], folder / "edited.mp4")}
