"""Small files of many kinds, encoded with PyAV: where decoders are known to differ."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.conftest import slow

COUNT, HEIGHT, WIDTH, RATE = 66, 96, 128, 25
NO_SCENES = "scenecut=0:threads=1:lookahead-threads=1:sliced-threads=0"


def moving_frames(height: int = HEIGHT, width: int = WIDTH, count: int = COUNT) -> np.ndarray:
    """A soft texture that pans, under light that changes: each frame is far from its neighbours."""
    random = np.random.default_rng(7)
    texture = random.integers(0, 180, (height // 8 + 2, 60, 1)).astype(np.float32)
    texture = texture.repeat(8, 0).repeat(8, 1)
    colour = np.linspace([0, 25, 40], [40, 10, 0], texture.shape[1])  # soft: chroma is subsampled
    texture = texture + colour
    frames = []
    for index in range(count):
        left = (5 * index) % (texture.shape[1] - width)
        light = 30 * np.sin(index * 1.7) + 25
        frames.append(np.clip(texture[:height, left : left + width] + light, 0, 255))
    return np.stack(frames).astype(np.uint8)


def encode(
    path: Path,
    codec: str,
    options: dict[str, str] | None = None,
    *,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (HEIGHT, WIDTH),
    stamps: Callable[[int], int] = lambda index: index,
    container: dict[str, str] | None = None,
    setup: Callable[[Any], object] = lambda stream: None,
    interlaced: bool = False,
) -> Path:
    """Encode `moving_frames` (`stamps`: frame → time in 1/RATE s; `setup`: what else is set)."""
    with av.open(str(path), "w", options=container or {}) as file:
        stream: Any = file.add_stream(codec, rate=RATE)
        stream.height, stream.width = size
        stream.pix_fmt, stream.codec_context.thread_count = pix_fmt, 1
        if interlaced:
            stream.codec_context.flags |= 1 << 18 | 1 << 29  # AV_CODEC_FLAG_INTERLACED_DCT, _ME
        stream.options = options or {}
        setup(stream)
        for index, picture in enumerate(moving_frames(*size)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamps(index), Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    end_real_time()
    return path


def end_real_time() -> None:
    """Give back the real-time priority that libsvtav1 takes where root runs it, and keeps."""
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def displayed(matrix: tuple[float, ...]) -> Callable[[Any], None]:
    """Give a stream the display matrix of the numbers a, b, c, d: a pixel (x, y) is shown at
    (a x + c y, b x + d y)."""
    a, b, c, d = (round(65536 * number) for number in matrix)
    return lambda stream: stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])


def placed(picture: np.ndarray, matrix: tuple[int, ...]) -> np.ndarray:
    """The coded picture (H, W, 3) as such a matrix of 0, 1 and -1 shows it, pixel by pixel."""
    a, b, c, d = matrix
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    across, down = a * x + c * y, b * x + d * y
    across, down = across - across.min(), down - down.min()
    shown = np.empty((down.max() + 1, across.max() + 1, 3), np.uint8)
    shown[down, across] = picture
    return shown


def pixels(shape: Fraction) -> Callable[[Any], None]:
    """Give a stream pixels of that width over height."""

    def setup(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = shape

    return setup


def remux(source: Path, path: Path, change: Callable[[Iterator[Any]], Iterator[Any]]) -> Path:
    """Copy the video's packets into another file, as `change` leaves them."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in change(packet for packet in old.demux(stream) if packet.size):
            packet.stream = copy
            new.mux(packet)
    return path


def x264(**options: object) -> dict[str, str]:
    """Options for libx264, repeatable."""
    extra = ":".join(f"{key.replace('_', '-')}={value}" for key, value in options.items())
    return {"crf": "20", "preset": "veryfast", "x264-params": f"{NO_SCENES}:{extra}"}


def _hide_start(packets: Iterator[Any]) -> Iterator[Any]:
    """Time stamps so early that the container hides the first frames: an edit list."""
    shift = None
    for packet in packets:
        if shift is None:
            shift = int(7 / RATE / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        yield packet


MAKERS: dict[str, Callable[[Path], object]] = {
    "h264_closed.mp4": lambda p: encode(p, "libx264", x264(keyint=15, bframes=3)),
    "h264_many_b.mp4": lambda p: encode(
        p, "libx264", x264(keyint=40, bframes=8, b_adapt=0, b_pyramid="normal")
    ),
    "h264_open.mp4": lambda p: encode(
        p, "libx264", x264(keyint=12, min_keyint=12, bframes=3, b_adapt=0, open_gop=1)
    ),
    "h264_intra_refresh.mp4": lambda p: encode(
        p, "libx264", x264(keyint=12, intra_refresh=1, bframes=0)
    ),
    "h264_b.avi": lambda p: encode(p, "libx264", x264(keyint=20, bframes=3, b_adapt=0)),
    "h264_no_b.avi": lambda p: encode(p, "libx264", x264(keyint=20, bframes=0)),
    "h264.ts": lambda p: encode(p, "libx264", x264(keyint=15, bframes=2)),
    "h264_fragmented.mp4": lambda p: encode(
        p,
        "libx264",
        x264(keyint=15, bframes=2),
        container={"movflags": "frag_keyframe+empty_moov"},
    ),
    "h264_10bit.mp4": lambda p: encode(p, "libx264", x264(keyint=20), pix_fmt="yuv420p10le"),
    "h264_odd_444.mp4": lambda p: encode(
        p, "libx264", x264(keyint=20), pix_fmt="yuv444p", size=(71, 97)
    ),
    "h264_rotated.mp4": lambda p: encode(
        p, "libx264", x264(keyint=20), setup=lambda stream: stream.set_display_rotation(90)
    ),
    "h264_mirrored.mp4": lambda p: encode(
        p, "libx264", x264(keyint=20), setup=displayed((-1, 0, 0, 1))
    ),
    "h264_transposed.mkv": lambda p: encode(
        p, "libx264", x264(keyint=20), setup=displayed((0, 1, 1, 0))
    ),
    "h264_wide_pixels.mp4": lambda p: encode(
        p, "libx264", x264(keyint=20), setup=pixels(Fraction(16, 11))
    ),
    "ffv1_grey.mkv": lambda p: encode(p, "ffv1", {"g": "12"}, pix_fmt="gray"),
    "h264_interlaced.mp4": lambda p: encode(
        p, "libx264", x264(keyint=20, tff=1, bframes=2), interlaced=True
    ),
    "h264_uneven.mp4": lambda p: encode(
        p, "libx264", x264(keyint=20, bframes=2), stamps=lambda i: i + 3 * (i // 7) + i // 20
    ),
    "h264_late.mkv": lambda p: encode(
        p, "libx264", x264(keyint=20, bframes=2), stamps=lambda i: i + 5 * RATE
    ),
    "h264_edit_list.mp4": lambda p: remux(
        encode(p.with_suffix(".mov"), "libx264", x264(keyint=20, bframes=2)), p, _hide_start
    ),
    "hevc.mp4": lambda p: encode(
        p, "libx265", {"x265-params": "keyint=15:bframes=3:log-level=error:pools=1", "crf": "22"}
    ),
    "mpeg4_b.mp4": lambda p: encode(p, "mpeg4", {"bf": "2", "g": "12", "q": "3"}),
    "mpeg4_b.avi": lambda p: encode(p, "mpeg4", {"bf": "2", "g": "12", "q": "3"}),
    "mpeg4.avi": lambda p: encode(p, "mpeg4", {"g": "12", "q": "3"}),
    "mpeg2.mpg": lambda p: encode(p, "mpeg2video", {"bf": "2", "g": "12", "b": "1M"}),
    "vp9.webm": lambda p: encode(p, "libvpx-vp9", {"g": "20", "crf": "30", "cpu-used": "8"}),
    "av1.mp4": lambda p: encode(
        p, "libsvtav1", {"preset": "12", "crf": "35", "svtav1-params": "keyint=20:lp=1"}
    ),
    "wmv2.wmv": lambda p: encode(p, "wmv2", {"g": "12", "b": "1M"}),
    "flv1.flv": lambda p: encode(p, "flv", {"g": "12", "b": "1M"}),
}

USUAL = {
    "av1.mp4", "h264.ts", "h264_10bit.mp4", "h264_b.avi", "h264_closed.mp4", "h264_edit_list.mp4",
    "h264_fragmented.mp4", "h264_interlaced.mp4", "h264_open.mp4", "h264_rotated.mp4",
    "h264_uneven.mp4", "mpeg2.mpg", "mpeg4_b.avi", "vp9.webm", "wmv2.wmv",
}  # fmt: skip
"""those that the quick suite decodes; the others are slow"""


def kinds(*suffixes: str) -> list[Any]:
    """The names of all files with these suffixes (all without any), as parameters of a test."""
    found = sorted(name for name in MAKERS if name.endswith(suffixes or ("",)))
    return [n if n in USUAL else slow(n) for n in found]


def make(folder: Path, name: str) -> Path | None:
    """The file of that name; None where PyAV has no encoder for it."""
    path = folder / name
    if not path.exists():
        os.environ.setdefault("SVT_LOG", "1")  # errors only
        try:
            MAKERS[name](path)
        except (av.codec.codec.UnknownCodecError, av.FFmpegError):
            path.unlink(missing_ok=True)
            return None
    return path
