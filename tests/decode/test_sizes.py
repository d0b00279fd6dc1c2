"""What a file claims of its size is bounded before it is decoded, and so is what it is scaled to."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.decode.videos import encode, moving_frames, remux
from video_gc.data.crops import crop_boxes, scaled_size
from video_gc.data.reading import stream_views
from video_gc.data.sampling import ClipConfig, frame_range, window_clips
from video_gc.decode.open import open_video
from video_gc.decode.reader import (
    MAX_PIXELS,
    Box,
    CorruptError,
    DecodeError,
    OpenError,
    Request,
    TooLargeError,
)

ROOT = Path(__file__).parents[2]
CHILD = """
import json, sys
import numpy
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))
found = []
with open_video(sys.argv[1]) as reader:  # what the libraries take for themselves
    reader.read([0], size=(16, 16))
for path in sys.argv[2:]:
    for source in (path, open(path, "rb").read()):
        before = peak()
        try:
            with open_video(source, damage="report") as reader:
                reader.read([len(reader) - 1], size=(16, 16))
            outcome = "read"
        except DecodeError as error:
            outcome = str(error)
        found.append((path, outcome, peak() - before))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """16384×4096 in some kB: one picture of one colour, and what a header alone can claim."""
    folder = tmp_path_factory.mktemp("large")
    mp4 = folder / "large.mp4"
    with av.open(str(mp4), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16384, 4096, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "51", "x264-params": "rc-lookahead=0"}
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame(16384, 4096, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        file.mux(stream.encode(frame))
        del frame
        file.mux(stream.encode(None))
    made = {"mp4": mp4}
    for suffix in ("ts", "mkv", "h264"):
        made[suffix] = remux(mp4, folder / f"large.{suffix}", lambda packets: packets)
    size = struct.pack(">HH", 30000, 30000)
    jpegs = encode(folder / "small.avi", "mjpeg", pix_fmt="yuvj420p", size=(48, 64)).read_bytes()
    made["mjpeg"] = folder / "large.avi"
    made["mjpeg"].write_bytes(jpegs.replace(b"\x08" + struct.pack(">HH", 48, 64), b"\x08" + size))
    made["gif"] = folder / "large.gif"
    Image.fromarray(moving_frames()[0]).save(made["gif"])
    content = made["gif"].read_bytes()
    made["gif"].write_bytes(content[:6] + struct.pack("<HH", 30000, 30000) + content[10:])
    made["png"] = folder / "large.png"
    Image.new("L", (64, 48)).save(made["png"])
    head = b"IHDR" + struct.pack(">II", 30000, 30000) + b"\x08\0\0\0\0"
    head += struct.pack(">I", zlib.crc32(head))
    content = made["png"].read_bytes()
    made["png"].write_bytes(content[:12] + head + content[33:])
    return made


def test_what_is_too_large_takes_no_memory(large: dict[str, Path], video: Path) -> None:
    assert max(path.stat().st_size for path in large.values()) < 500_000
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(video), *map(str, large.values())],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for path, outcome, memory in json.loads(done.stdout):
        assert f"{MAX_PIXELS:,}" in outcome, (path, outcome)
        assert memory < 60, (path, memory)  # MiB; one picture of 16384×4096 has 96


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_the_error_says_both_numbers(large: dict[str, Path], decoder: str) -> None:
    if decoder == "decord" and not find_spec("decord"):
        pytest.skip("decord is not installed")
    message = rf"picture of 16384×4096 has 67,108,864 pixels, and at most {MAX_PIXELS:,} are"
    with pytest.raises(TooLargeError, match=message):
        open_video(large["mp4"], decoder)


def test_the_bound_can_be_moved(large: dict[str, Path], video: Path, tmp_path: Path) -> None:
    with open_video(video, max_pixels=64 * 48) as reader:
        assert reader.read([0, 39]).shape == (2, 48, 64, 3)
        with pytest.raises(TooLargeError, match="128×96 has 12,288 pixels, and at most 3,072"):
            reader.read([0], size=(96, 128))
        with pytest.raises(TooLargeError, match=r"17 frames of 64×48 .* 52,224 .* 49,152"):
            reader.read(range(17))
        assert len(list(reader.frames(range(40)))) == 40  # one after the other is no clip
    for options in ({"max_pixels": 64 * 48 - 1}, {"decoder": "decord", "max_pixels": 100}):
        if options.get("decoder") and not find_spec("decord"):
            continue
        with pytest.raises(TooLargeError, match=r"64×48 has 3,072 pixels"):
            open_video(video, **options)  # type: ignore[arg-type]
    shutil.copy(large["png"], tmp_path / "1.png")
    with pytest.raises(OpenError, match=rf"1.png cannot be decoded .*{MAX_PIXELS:,}"):
        open_video(tmp_path)
    Image.fromarray(moving_frames()[0]).save(tmp_path / "1.png")
    with pytest.raises(TooLargeError, match="128×96 has 12,288 pixels"):
        open_video(tmp_path, max_pixels=1000)
    with pytest.raises(ValueError, match=r"max_pixels \(0\) must be at least 1"):
        open_video(video, max_pixels=0)


@pytest.mark.parametrize("size", [(2, 4096), (4096, 2)])
def test_a_very_wide_picture_is_not_scaled_to_gigabytes(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = encode(tmp_path / "wide.mkv", "ffv1", size=size, pix_fmt="yuv444p")
    clip = ClipConfig(frames=8, stride=2, test_crop=256, test_short_side=256)
    with open_video(path) as reader:
        assert reader.size == size
        scaled = scaled_size(reader.size, clip.test_short_side)
        spans = window_clips(clip, frame_range(reader.times, reader.rate))
        with pytest.raises(TooLargeError, match=r"524288.*\d{3},\d{3}.* and at most "):
            next(stream_views(reader, spans, crop_boxes(scaled, 256, 1), scaled))
        with pytest.raises(TooLargeError):
            reader.read([0], size=scaled)
        small = reader.read([0], crop=Box(0, 0, 2, 2), size=(224, 224))  # as in training
        assert small.shape == (1, 224, 224, 3)


def test_a_size_that_grows_inside_the_stream(tmp_path: Path) -> None:
    """MJPEG may change its size with each picture: FFmpeg's own bound holds there."""
    path = encode(tmp_path / "grows.avi", "mjpeg", pix_fmt="yuvj420p", size=(48, 64))
    content = bytearray(path.read_bytes())
    size = b"\x08" + struct.pack(">HH", 48, 64)
    place = content.index(size, content.index(size, len(content) // 2) + 1)
    content[place : place + 5] = b"\x08" + struct.pack(">HH", 30000, 30000)
    with open_video(bytes(content), damage="report") as reader:
        frames = reader.read(range(len(reader)))
        assert frames.shape[1:] == (48, 64, 3)
        assert len(reader.damaged) >= 1
    with open_video(bytes(content)) as reader, pytest.raises(CorruptError):
        reader.read(range(len(reader)))


def test_stamps_that_claim_a_thousand_years(kind: Callable[[str], Path], tmp_path: Path) -> None:
    def spread(packets):  # type: ignore[no-untyped-def]
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = number * 10**12
            yield packet

    path = remux(kind("h264_no_b.avi"), tmp_path / "years.nut", spread)
    clip = ClipConfig(frames=8, stride=2, target_fps=25.0)
    with open_video(path) as reader, pytest.raises(ValueError, match=r"lasts .* s by its 66 time"):
        window_clips(clip, frame_range(reader.times, reader.rate))


def test_requests_that_ask_for_nothing_are_not_too_large(video: Path) -> None:
    with open_video(video) as reader:
        (clip,) = reader.read_clips([Request([])])
        assert not clip.size
        with pytest.raises(DecodeError):
            reader.read([0], size=(1 << 16, 1 << 16))
    assert np.prod((4320, 8192)) == MAX_PIXELS
