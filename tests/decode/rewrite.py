"""Odd but playable files: the packets of small encodings under other stamps, flags and tables."""

import io
import os
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.decode.videos import NO_SCENES, end_real_time

RATE, BASE = 25, 12800
HEVC = "keyint=8:min-keyint=8:scenecut=0:log-level=error:pools=1:frame-threads=1"
ENCODINGS: dict[str, tuple[str, dict[str, str]]] = {
    "h264_b": ("libx264", {"x264-params": f"{NO_SCENES}:keyint=9:bframes=3:b-adapt=0"}),
    "h264_no_b": ("libx264", {"x264-params": f"{NO_SCENES}:keyint=7:bframes=0"}),
    "h264_open": (
        "libx264",
        {"x264-params": f"{NO_SCENES}:keyint=8:min-keyint=8:bframes=3:b-adapt=0:open-gop=1"},
    ),
    "hevc_b": ("libx265", {"x265-params": f"{HEVC}:bframes=3:open-gop=0"}),
    "hevc_open": ("libx265", {"x265-params": f"{HEVC}:bframes=3:open-gop=1"}),
    "mpeg4": ("mpeg4", {"g": "8", "bf": "2", "q": "3"}),
    "mpeg2": ("mpeg2video", {"g": "8", "bf": "2", "b": "1M"}),
    "vp9": ("libvpx-vp9", {"g": "8", "crf": "30", "cpu-used": "8"}),
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "keyint=8:lp=1"}),
    "ffv1": ("ffv1", {"g": "6"}),
    "vp8": ("libvpx", {"g": "8", "b": "300k"}),
    "msmpeg4v2": ("msmpeg4v2", {"g": "8"}),
    "msmpeg4": ("msmpeg4", {"g": "8"}),
    "wmv1": ("wmv1", {"g": "8"}),
    "mpeg1": ("mpeg1video", {"g": "8", "bf": "2"}),
    "mjpeg": ("mjpeg", {}),
    "png": ("png", {}),
}
"""name → encoder and its options; groups of pictures are short"""
FORMATS = {"mjpeg": "yuvj420p", "png": "rgb24"}
CODED_APART = ("ffv1", "vp8", "msmpeg4v2", "msmpeg4", "wmv1", "mpeg1", "mjpeg", "png")


@dataclass(frozen=True)
class Sample:
    """A compressed picture. Stamps count in 1/BASE s."""

    data: bytes = field(repr=False)
    pts: int
    dts: int
    key: bool


def numbered_frames(count: int, first: int = 0) -> np.ndarray:
    """Frames (48, 64) that show their number in binary, over a disc that moves."""
    y, x = np.mgrid[:48, :64]
    frames = np.empty((count, 48, 64, 3), np.uint8)
    for at in range(count):
        number = first + at
        bits = (number >> np.arange(8) & 1).repeat(8)
        disc = (x - 5 * number % 64) ** 2 + (y - 32) ** 2 < 100
        frames[at] = np.where(disc[..., None], (220, 60, 40), (70, 90, 120))
        frames[at, :12] = np.where(bits, 230, 20)[None, :, None]
    return frames


def number_of(frame: np.ndarray) -> int:
    """The number that a frame shows."""
    bits = frame[2:10, 4:64:8].mean((0, 2)) > 125
    return int(bits @ (1 << np.arange(8)))


@cache
def encoded(name: str, first: int = 0, count: int = 24) -> tuple[Any, tuple[Sample, ...]]:
    """(a stream to copy parameters from, the packets) of frames first…first+count-1.

    Their stamps begin at 0. Raises UnknownCodecError where there is no encoder.
    """
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    codec, options = ENCODINGS[name]
    file = io.BytesIO()
    with av.open(file, "w", format="nut" if name in CODED_APART else "matroska") as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, FORMATS.get(name, "yuv420p")
        stream.codec_context.thread_count = 1
        for at, picture in enumerate(numbered_frames(count, first)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    end_real_time()
    source = av.open(io.BytesIO(file.getvalue()))
    stream = source.streams.video[0]
    packets = [packet for packet in source.demux(stream) if packet.size]
    numbers = [round(packet.pts * stream.time_base * RATE) for packet in packets]
    delay = max(at - number for at, number in enumerate(numbers))  # of pictures that others follow
    step = BASE // RATE
    return stream, tuple(
        Sample(bytes(packet), number * step, (at - delay) * step, packet.is_keyframe)
        for at, (number, packet) in enumerate(zip(numbers, packets, strict=True))
    )


def mux(path: Path, stream: Any, samples: list[Sample]) -> Path:
    """A file of the format that its suffix says; stamps of decoding must rise."""
    early = min(min(sample.dts for sample in samples), 0)
    with av.open(str(path), "w") as file:
        copy = file.add_stream_from_template(stream, opaque=True)
        for sample in samples:
            packet = av.Packet(sample.data)
            packet.pts, packet.dts = sample.pts - early, sample.dts - early
            packet.time_base, packet.is_keyframe = Fraction(1, BASE), sample.key
            packet.duration, packet.stream = BASE // RATE, copy
            file.mux(packet)
    return path


def write_mp4(
    path: Path, stream: Any, samples: list[Sample], claims: dict[bytes, bytes] | None = None
) -> Path:
    """An MP4 whose tables say exactly this, whatever a muxer would refuse.

    Samples may be empty; stamps of decoding must not fall. claims: other tables in place of those
    of the samples, or `elst`, an edit list.
    """
    real = next(sample for sample in samples if sample.data)
    whole = mux(path, stream, [replace(real, pts=at, dts=at) for at in range(2)]).read_bytes()
    boxes = dict(_boxes(whole))
    steps = np.diff([sample.dts for sample in samples], append=samples[-1].dts + BASE // RATE)
    offsets = [sample.pts - sample.dts for sample in samples]
    keys = [number for number, sample in enumerate(samples, 1) if sample.key]
    file_type = box(b"ftyp", boxes[b"ftyp"])
    tables = {
        b"stts": full(0, [len(samples)], *([1, int(step)] for step in steps)),
        b"ctts": full(1, [len(samples)], *([1, offset] for offset in offsets)),
        b"stss": full(0, [len(keys)], keys) if len(keys) < len(samples) else b"",
        b"stsz": full(0, [0, len(samples)], [len(sample.data) for sample in samples]),
        b"stsc": full(0, [1], [1, len(samples), 1]),
        b"stco": full(0, [1], [len(file_type) + 8]),
    } | (claims or {})
    body = b"".join(sample.data for sample in samples)
    head = _rebuilt(b"moov", boxes[b"moov"], tables)
    path.write_bytes(file_type + box(b"mdat", body) + head)
    return path


def with_keys(samples: list[Sample], keys: set[int]) -> list[Sample]:
    """The same under other flags."""
    return [replace(sample, key=at in keys) for at, sample in enumerate(samples)]


def _rebuilt(kind: bytes, content: bytes, tables: dict[bytes, bytes]) -> bytes:
    """A box with other tables of samples in it, and no edit list but one of them."""
    if kind == b"stbl":
        kept = [box(name, inner) for name, inner in _boxes(content) if name == b"stsd"]
        made = [box(name, table) for name, table in tables.items() if table and name != b"elst"]
        return box(kind, b"".join(kept + made))
    if kind == b"edts":
        return box(kind, box(b"elst", tables[b"elst"])) if b"elst" in tables else b""
    if kind not in (b"moov", b"trak", b"mdia", b"minf"):
        return box(kind, content)
    return box(kind, b"".join(_rebuilt(name, inner, tables) for name, inner in _boxes(content)))


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + size]))
        at += size
    return found


def box(kind: bytes, content: bytes) -> bytes:
    """A box of an MP4."""
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def full(version: int, *rows: list[int]) -> bytes:
    """What is in a box with a version: numbers of 32 bits."""
    values = [value for row in rows for value in row]
    return bytes([version, 0, 0, 0]) + np.array(values, ">i4").tobytes()
