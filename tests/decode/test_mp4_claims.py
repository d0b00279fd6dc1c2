"""What an MP4 claims is bounded by its size before FFmpeg makes memory for it; sound files pass."""

import io
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import slow
from tests.decode.rewrite import box, encoded, full, write_mp4
from tests.decode.test_sizes import CHILD
from tests.decode.videos import kinds, moving_frames
from video_gc.decode.ffmpeg.source import Bytes
from video_gc.decode.frame_table import mp4_claims
from video_gc.decode.frame_table.mp4_claims import check_claims
from video_gc.decode.open import open_video
from video_gc.decode.reader import OpenError, StuckError

ROOT = Path(__file__).parents[2]
MANY = 8_000_000
ALIKE = {
    b"stsz": full(0, [1000, MANY]),
    b"stsc": full(0, [1], [1, MANY, 1]),
    b"stts": full(0, [1], [MANY, 512]),
    b"ctts": full(0, [1], [MANY, 512]),
}
"""samples of 1000 bytes each"""


def with_sound(path: Path, codec: str, movflags: str, seconds: int = 30) -> Path:
    """A small picture, and sound of more samples than are free."""
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as file:
        video = file.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = file.add_stream(codec, rate=48000)
        sound.layout = "mono"
        picture = av.VideoFrame.from_ndarray(moving_frames(48, 64, 1)[0], format="rgb24")
        for number in range(25 * seconds):
            picture.pts, picture.time_base = number, Fraction(1, 25)
            file.mux(video.encode(picture))
            noise = av.AudioFrame.from_ndarray(
                np.zeros((1, 1920), np.int16), format="s16", layout="mono"
            )
            noise.sample_rate, noise.pts, noise.time_base = 48000, 1920 * number, Fraction(1, 48000)
            file.mux(sound.encode(noise))
        file.mux(video.encode(None))
        file.mux(sound.encode(None))
    return path


@pytest.fixture(scope="module")
def liars(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of a few kB, or at most 1 MB, for which FFmpeg alone takes some 100 MiB and more."""
    folder = tmp_path_factory.mktemp("claims")
    stream, samples = encoded("h264_no_b")
    sound = list(samples)

    def write(name: str, tables: dict[bytes, bytes]) -> bytes:
        return write_mp4(folder / f"{name}.mp4", stream, sound, tables).read_bytes()

    made = {"alike": write("alike", ALIKE)}
    made["unlisted"] = write("unlisted", {b"stsz": full(0, [1000, MANY])})
    again = [1000, 0, 0x10000]
    made["edits"] = write("edits", {b"elst": full(0, [80_000], *[again] * 80_000)})
    whole = made["alike"]
    made["hidden"] = whole.replace(b"moov", b"hoov")  # FFmpeg looks there too
    at = whole.index(b"stbl") - 4
    made["clipped"] = whole[:at] + b"\x7f\0\0\0" + whole[at + 4 :]  # longer than what it is in
    at = whole.index(b"moov") - 4
    packed = box(b"cmvd", (len(whole) - at).to_bytes(4, "big") + zlib.compress(whole[at:]))
    made["packed"] = whole[:at] + box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + packed))
    bomb = box(b"cmvd", (1 << 31).to_bytes(4, "big") + zlib.compress(bytes(1000)))
    made["bomb"] = whole[:at] + box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + bomb))
    fragments = io.BytesIO()
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(fragments, "w", format="mp4", options=flags) as file:
        copy = file.add_stream_from_template(stream, opaque=True)
        for sample in samples:
            packet = av.Packet(sample.data)
            packet.pts = packet.dts = sample.pts
            packet.time_base, packet.is_keyframe = Fraction(1, 12800), sample.key
            packet.duration, packet.stream = 512, copy
            file.mux(packet)
    content = bytearray(fragments.getvalue())
    at = content.index(b"trun") + 4
    content[at : at + 8] = full(0, [MANY])[:3] + b"\1" + MANY.to_bytes(4, "big")
    made["fragment"] = bytes(content)
    for name, what in made.items():
        (folder / f"{name}.mp4").write_bytes(what)
    return {name: folder / f"{name}.mp4" for name in made}


def test_what_is_claimed_takes_no_memory(liars: dict[str, Path], video: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(video), *map(str, liars.values())],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 2 * len(liars)
    for name, outcome, memory in found:
        path = Path(name)
        assert memory < 30, (path.name, memory)  # MiB
        if path.stem == "bomb":
            assert (
                "its compressed head claims 2,147,483,648 bytes, and at most 67,108,864" in outcome
            )
            continue
        said = re.search(r"claim ([\d,]+) samples .* the file has ([\d,]+) bytes", outcome)
        assert said, (path.name, outcome)
        claimed, size = (int(number.replace(",", "")) for number in said.groups())
        assert size == path.stat().st_size
        assert claimed >= 80_000 * 24  # the least of them


@pytest.mark.parametrize("name", kinds(".mp4", ".mkv", ".ts"))
def test_usual_files_claim_nothing_that_they_do_not_list(
    kind: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(mp4_claims, "FREE", 0)
    content = kind(name).read_bytes()
    check = mp4_claims._Claims(name, 0, 60.0)
    check.walk(Bytes(io.BytesIO(content)), 0, len(content))  # raises for a single sample


@pytest.mark.parametrize(
    ("codec", "movflags"),
    [
        ("pcm_s16le", "faststart"),
        ("pcm_alaw", "frag_keyframe+empty_moov"),
        *(
            slow(codec, movflags)
            for codec, movflags in (
                ("pcm_s16le", ""), ("pcm_s16le", "frag_keyframe+empty_moov"),
                ("pcm_alaw", ""), ("pcm_alaw", "faststart"),
            )
        ),
    ],
)  # fmt: skip
def test_sound_of_samples_that_are_alike(tmp_path: Path, codec: str, movflags: str) -> None:
    """Also where the file is cut off, and its head promises more than is left."""
    path = with_sound(tmp_path / "sound.mov", codec, movflags)
    with open_video(path) as reader:
        assert len(reader) == 750
    if movflags:
        content = path.read_bytes()
        with open_video(content[: len(content) // 3], damage="report") as reader:
            assert 200 < len(reader) < 300


def test_a_part_that_is_shown_twice(tmp_path: Path) -> None:
    stream, samples = encoded("h264_no_b")
    twice = full(0, [2], *[[960, 0, 0x10000]] * 2)
    path = write_mp4(tmp_path / "twice.mp4", stream, list(samples), {b"elst": twice})
    with open_video(path, damage="report") as reader:
        assert len(reader) == 48


def test_a_head_of_very_many_boxes_ends_at_the_limit() -> None:
    content = box(b"moov", box(b"name", b"") * 10_000)
    with pytest.raises(StuckError, match=r"within 0 s \(time_limit\)"):
        check_claims(Bytes(io.BytesIO(content)), "boxes.mp4", 0.0)
    check_claims(Bytes(io.BytesIO(content)), "boxes.mp4", 60.0)


def test_tables_that_are_read_beyond_their_ends() -> None:
    """FFmpeg reads as many rows as a table says, whatever follows it, and then goes back."""
    table = box(b"trak", box(b"stts", full(0, [300_000])))
    content = box(b"moov", table * 5)
    with pytest.raises(OpenError, match=r"claim 1,\d{3},\d{3} samples"):
        check_claims(Bytes(io.BytesIO(content)), "rows.mp4", 60.0)
