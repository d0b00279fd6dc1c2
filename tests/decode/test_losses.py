"""Lost bytes: what the structure of a container says, and that joins of sound files lose nothing."""

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.conftest import slow
from tests.decode.damage_table import CODECS, sample
from tests.decode.mutate import cut, measure, read_all, swap, zero
from tests.decode.videos import COUNT, HEIGHT, RATE, WIDTH, encode, moving_frames, remux, x264
from video_gc.decode.losses.picture_numbers import TemporalReferences
from video_gc.decode.open import open_video
from video_gc.decode.reader import CorruptError

M2TS = {"mpegts_m2ts_mode": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("losses")


def segment(folder: Path, kind: str, number: int, gap: int = 0, suffix: str = ".ts") -> bytes:
    """One of several recordings that follow each other, or begin anew (gap < 0)."""
    path = folder / f"{kind}-{number}-{gap}{suffix}"
    if not path.exists():
        codec, options, _ = CODECS[kind]
        start = number * (COUNT + gap) if gap >= 0 else 0
        encode(path, codec, options, stamps=lambda i: i + start,
               container=M2TS if suffix == ".m2ts" else None)  # fmt: skip
    return path.read_bytes()


def sequential(content: bytes) -> list[np.ndarray]:
    """Every frame of a plain decode."""
    with av.open(io.BytesIO(content)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("kind", "suffix", "gap"),
    [
        ("h264", ".ts", 0),
        ("mpeg2", ".ts", 500),
        ("h264", ".m2ts", -1),  # from 0 again
        *(
            slow(kind, suffix, gap)
            for kind, suffix in (("h264", ".ts"), ("mpeg2", ".ts"), ("h264", ".m2ts"))
            for gap in (0, 500, -1)
        ),
    ],
)
def test_joined_transport_streams_are_sound(folder: Path, kind: str, suffix: str, gap: int) -> None:
    parts = [segment(folder, kind, number, gap, suffix) for number in range(3)]
    joined = b"".join(parts)
    with open_video(joined, damage="report") as reader:
        assert len(reader) == 3 * COUNT
        reader.read(range(len(reader)))
        assert not reader.damaged
    assert len(sequential(joined)) == 3 * COUNT


def test_a_transport_stream_without_one_of_its_segments_is_sound(folder: Path) -> None:
    """An edited recording: the counters jump, and the next segment can be decoded alone."""
    whole = segment(folder, "h264", 0)
    tables = [at for at in range(0, len(whole), 188) if pid(whole, at) == 0]
    keys = [at for at, *_ in pictures(folder / "h264-0-0.ts", keys=True)]
    begins = [max(table for table in tables if table < key) for key in keys[1:]]
    content = whole[: begins[0]] + whole[begins[1] :]
    frames, damaged = read_all(content)
    assert len(frames) < COUNT
    assert not damaged


def test_a_lost_transport_packet_hits_its_group_of_pictures_and_moves_nothing(folder: Path) -> None:
    whole = segment(folder, "h264", 0)
    at, position = next(
        (at + 188, position)
        for at, size, position in pictures(folder / "h264-0-0.ts", keys=True)
        if position and size > 400
    )
    _, damaged = read_all(whole[:at] + whole[at + 188 :])
    assert set(damaged.values()) == {"concealed"}
    assert min(damaged) >= position - 2
    assert max(damaged) < position + 15


def test_frames_behind_lost_pictures_are_displaced(folder: Path) -> None:
    whole = segment(folder, "h264", 0)
    found = pictures(folder / "h264-0-0.ts", keys=False)
    content = whole[: found[20][0]] + whole[found[23][0] :]
    clean, _ = read_all(whole)
    frames, damaged = read_all(content)
    assert len(frames) == COUNT - 3
    moved = [i for i, frame in enumerate(frames) if np.any(frame != clean[i])]
    assert set(moved) <= damaged.keys()
    assert all(damaged[index] == "displaced" for index in range(30, COUNT - 3))
    with open_video(content) as reader:
        reader.read(range(15))
        with pytest.raises(CorruptError, match=r"frame 40 of 63 is displaced \(pictures before"):
            reader.read([40])


@pytest.mark.parametrize(
    ("name", "mutate"),
    [
        ("h264.ts", zero),
        ("wmv2.wmv", swap),
        slow("h264.avi", cut),
        slow("mpeg4_b.mkv", zero),
        slow("mpeg4.avi", zero),
        slow("h264.mkv", zero),
        slow("h264.flv", zero),
        slow("h264.flv", cut),
        slow("h264.mpg", cut),
        slow("mpeg2.mpg", cut),
    ],
)
def test_displaced_frames_are_reported(
    folder: Path, name: str, mutate: Callable[[Path, int], bytes]
) -> None:
    found = measure(sample(folder, name), mutate, range(3))
    assert found.displaced >= 10  # else this shows nothing
    assert found.displaced_reported >= 0.97 * found.displaced


def test_flash_files_of_other_writers_are_sound(folder: Path) -> None:
    """Lengths behind the tags without their heads, numbers of streams, kinds that FFmpeg passes by, zeros last,
    and two files in one: none of it changes a picture."""
    whole = sample(folder, "flv1.flv").read_bytes()
    lengths, streams = bytearray(whole), bytearray(whole)
    at = 13
    while at < len(whole):
        size = int.from_bytes(whole[at + 1 : at + 4], "big")
        streams[at + 8 : at + 11] = b"\0\0\1"
        lengths[at + 11 + size : at + 15 + size] = size.to_bytes(4, "big")
        at += 15 + size
    other = b"\x0f\0\0\5" + bytes(7) + b"other" + (16).to_bytes(4, "big")
    kinds = whole + other
    for content in (bytes(lengths), bytes(streams), kinds, whole + bytes(500), whole + whole):
        frames, damaged = read_all(content)
        assert not damaged
        assert len(frames) == len(sequential(content)) >= COUNT


NUMBERED = {
    "h264.flv": ("libx264", x264(keyint=15, bframes=3, b_adapt=0, b_pyramid="normal")),
    "h264_open.ts": ("libx264", x264(keyint=12, min_keyint=12, bframes=3, b_adapt=0, open_gop=1)),
    "fields.ts": ("libx264", x264(keyint=12, bframes=2, interlaced=1)),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2", "g": "12", "b": "1M"}),
    "mpeg2_fields.ts": ("mpeg2video", {"bf": "2", "g": "12", "b": "1M", "flags": "-cgop+ildct"}),
    "mpeg1.mpg": ("mpeg1video", {"bf": "2", "g": "12", "b": "1M"}),
}


@pytest.mark.parametrize(
    "name",
    [name if name in ("h264_open.ts", "mpeg2.mpg") else slow(name) for name in NUMBERED],
)
def test_numbers_of_pictures_in_sound_files_leave_none_out(folder: Path, name: str) -> None:
    """Joined; of a rate that varies; without a group of pictures and what is shown before the next
    key frame."""
    whole, uneven = folder / f"whole_{name}", folder / f"uneven_{name}"
    codec, options = NUMBERED[name]
    encode(whole, codec, dict(options))
    encode(uneven, codec, dict(options), stamps=lambda index: index + index * index // 7)
    for path in (whole, uneven):
        _, damaged = read_all(path.read_bytes())
        assert not damaged
    if whole.suffix != ".flv":  # FFmpeg passes by the second file
        frames, damaged = read_all(2 * whole.read_bytes())
        assert len(frames) >= 2 * COUNT - 2
        assert not damaged
    trimmed = remux(whole, folder / f"trimmed_{name}", _without_leading)
    assert not read_all(trimmed.read_bytes())[1]


def _without_leading(packets: Iterator[Any]) -> Iterator[Any]:
    found = list(packets)
    keys = [at for at, packet in enumerate(found) if packet.is_keyframe and packet.pts is not None]
    yield from found[: keys[1]]
    shown = [p for p in found[keys[2] :] if p.pts is None or p.pts >= found[keys[2]].pts]
    yield from shown


def test_a_lost_picture_of_program_streams_is_told_by_its_number() -> None:
    """Numbers of I, P and B pictures as they are stored; which of them the gap comes before."""

    def gaps(stored: str, without: int | None = None) -> list[int]:
        references = TemporalReferences()
        pictures = stored.split()
        for at, picture in enumerate(p for i, p in enumerate(pictures) if i != without):
            number, kind = int(picture[1:]), "IPB".index(picture[0]) + 1
            references.read(b"\0\0\1\0" + bytes([number >> 2, (number & 3) << 6 | kind << 3]), at)
        return references.gaps()

    group = "I2 B0 B1 P5 B3 B4 P8 B6 B7"
    stored = " ".join([group] * 4 + ["I0"])
    assert gaps(stored) == []
    lost = {1: [], 4: [3], 6: [3], 8: [6], 12: [14], 14: [12]}  # 1: trimmed or lost, nobody knows
    assert {position: gaps(stored, position) for position in lost} == lost


@pytest.mark.parametrize("size", [400, *(slow(size) for size in (3200, 20_000))])
def test_asf_with_packets_of_any_size_and_sound_between_them_is_sound(
    folder: Path, size: int
) -> None:
    path = folder / f"sound-{size}.wmv"
    with av.open(str(path), "w", container_options={"packet_size": str(size)}) as file:
        video: Any = file.add_stream("wmv2", rate=RATE)
        video.height, video.width, video.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        sound: Any = file.add_stream("wmav2", rate=44100, layout="mono", options={"b": "64k"})
        for index, picture in enumerate(moving_frames()):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            file.mux(video.encode(frame))
            noise = np.random.default_rng(index).normal(0, 0.1, (1, 44100 // RATE))
            audio = av.AudioFrame.from_ndarray(noise.astype(np.float32), "fltp", "mono")
            audio.sample_rate, audio.pts = 44100, index * (44100 // RATE)
            audio.time_base = Fraction(1, 44100)
            file.mux(sound.encode(audio))
        file.mux(video.encode(None))
        file.mux(sound.encode(None))
    content = path.read_bytes()
    assert not read_all(content)[1]
    middle = len(content) // 2
    assert read_all(content[:middle] + bytes(3 * size) + content[middle + 3 * size :])[1]


def test_a_checksum_of_matroska_tells_what_the_codec_cannot(folder: Path) -> None:
    path = sample(folder, "vp9.mkv")
    content = bytearray(path.read_bytes())
    assert not read_all(bytes(content))[1]
    content[len(content) // 2] ^= 1
    assert "concealed" in read_all(bytes(content))[1].values()


def pid(content: bytes, at: int) -> int:
    return (content[at + 1] & 31) << 8 | content[at + 2]


def pictures(path: Path, *, keys: bool) -> list[Any]:
    """(place, size, number) of pictures of a file, or of its key frames only."""
    with av.open(str(path)) as container:
        demuxed = [p for p in container.demux(container.streams.video[0]) if p.size]
    return [(p.pos, p.size, n) for n, p in enumerate(demuxed) if p.is_keyframe or not keys]
