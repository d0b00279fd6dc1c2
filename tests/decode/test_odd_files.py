"""Files that are no plain video, and requests that are none: one clear error, or the right frames."""

import io
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.conftest import counted_frames
from tests.decode.fuzz import digest, sequential
from tests.decode.test_pyav import plain_decode
from tests.decode.videos import RATE, encode, moving_frames, remux, x264
from video_gc.decode.frame_table import packets
from video_gc.decode.known_faults import kind_of
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box, CorruptError, NoVideoError, OpenError
from video_gc.decode.video_facts import examine
from video_gc.decode.write import write_video

Kind = Callable[[str], Path]


def test_the_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound: Any = container.add_stream("aac", rate=16000, layout="mono")
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(counted_frames(1)[0], format="rgb24")
        container.mux(cover.encode(frame))
        container.mux(cover.encode(None))
        silence = np.zeros((1, 16000), np.float32)
        audio = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        audio.sample_rate = 16000
        container.mux(sound.encode(audio))
        container.mux(sound.encode(None))
    with pytest.raises(NoVideoError, match=r"song.mp4: there is no video"):
        open_video(path)


def test_a_list_of_files_opens_none_of_them(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_text(f"ffconcat version 1.0\nfile {video}\n")
    with pytest.raises(OpenError, match=r"list.mp4: "):
        open_video(path)


def test_a_colon_in_a_name_is_no_protocol(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("http:a.mp4").write_bytes(video.read_bytes())
    with open_video("http:a.mp4") as reader:
        assert len(reader) == 40


def test_a_title_in_another_encoding_hinders_nobody(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "title.mkv"
    with av.open(str(video)) as source, av.open(str(path), "w") as sink:
        sink.metadata["title"] = "Cafe noir"
        copy = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = copy
                sink.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"Cafe noir", b"Caf\xe9 noir"))
    with open_video(path) as reader:
        assert len(reader) == 40
    kind = kind_of(path)
    assert kind is not None
    assert kind.codec == "h264"
    assert examine(path).status == "ok"


def test_a_codec_that_nobody_knows(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "unknown.mp4"
    path.write_bytes(video.read_bytes().replace(b"avc1", b"zzz9"))
    with pytest.raises(OpenError, match=r"unknown.mp4: "):
        open_video(path)


def test_planes_of_a_video_that_is_coded_in_rgb(tmp_path: Path) -> None:
    path = encode(tmp_path / "rgb.mkv", "libx264rgb", {"crf": "1"}, pix_fmt="rgb24")
    with open_video(path) as reader:
        assert not reader.colour.full_range
        planes = reader.read([3], form="yuv")[0]
        rgb = reader.read([3])[0].astype(int)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format="yuv420p")
    found = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(found.mean((0, 1)) - rgb.mean((0, 1))).max() < 2.5


@pytest.mark.parametrize(
    ("crop", "size"),
    [
        (Box(10, 0, 64, 48), None),
        (Box(-1, 0, 8, 8), None),
        (Box(0, 0, 0, 8), None),
        (None, (0, 10)),
        (None, (-1, 10)),
    ],
)
def test_what_lies_outside_the_picture_is_an_error(
    video: Path, crop: Box | None, size: tuple[int, int] | None
) -> None:
    with open_video(video) as reader, pytest.raises(ValueError, match=r"sound.mp4: .*(48|least)"):
        reader.read([0], crop=crop, size=size)


def test_two_reads_at_a_time_are_refused(video: Path) -> None:
    with open_video(video) as reader:
        frames = reader.frames(range(20))
        next(frames)
        reader.read([3])
        with pytest.raises(RuntimeError, match="another read"):
            list(frames)


def test_a_trimmed_file_is_sound(tmp_path: Path, kind: Kind) -> None:
    assert examine(kind("h264_edit_list.mp4")).status == "ok"


def test_a_long_file_that_is_cut_off_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index promises every frame; what is there can be read, in windows too."""
    monkeypatch.setattr(packets, "LONG", 0.0)
    whole = encode(
        tmp_path / "whole.mp4", "libx264", x264(g=10), container={"movflags": "faststart"}
    )
    expected = plain_decode(whole)
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with open_video(path, damage="report") as reader:
        assert 10 < len(reader) < len(expected)
        assert len(reader.times) == len(reader)
        np.testing.assert_array_equal(reader.read([7])[0], expected[7])


def test_damage_in_a_counted_file_concerns_all_that_was_stored_after_it(kind: Kind) -> None:
    for name in ("mpeg4_b.avi", "h264_b.avi"):
        content = bytearray(kind(name).read_bytes())
        with av.open(str(kind(name))) as container:
            stored = [p for p in container.demux(container.streams.video[0]) if p.size]
        start, size = stored[4].pos, stored[4].size
        content[start + size // 3 : start + size] = bytes(size - size // 3)
        with open_video(bytes(content), damage="report") as reader:
            frames, damaged = reader.read(range(len(reader))), reader.damaged
        clean = np.stack(plain_decode(kind(name)))
        assert len(frames) == len(clean)
        error = np.abs(frames.astype(int) - clean).mean((1, 2, 3))
        assert error.max() > 3
        assert not [i for i in np.flatnonzero(error > 3) if int(i) not in damaged]


@pytest.mark.parametrize("name", ["mpeg4_b.mp4", "wmv2.wmv", "ffv1_grey.mkv"])
def test_what_begins_between_key_frames_is_decoded_as_by_a_new_decoder(
    tmp_path: Path, kind: Kind, name: str
) -> None:
    """FFmpeg's decoders keep something when they are flushed, and take the first frames by it."""
    path = remux(kind(name), tmp_path / "late.avi", lambda packets: islice(packets, 1, None))
    expected = sequential(path)
    assert len(expected) >= 54
    with open_video(path, damage="report") as reader:
        for _ in range(2):
            frames = [digest(frame) for _, frame in reader.frames(range(len(reader)))]
            assert frames == expected


def test_nothing_is_asked_of_a_video_that_lost_everything(video: Path) -> None:
    """Where no frame at all can be had there is nothing to put in its place."""
    content = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        places = [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size]
    for start, size in places[1:]:
        content[start : start + size] = bytes(size)
    with open_video(bytes(content), damage="report") as reader:
        try:
            frames = reader.read([30])
        except CorruptError:
            return
        assert frames.shape == (1, 48, 64, 3)
        assert 30 in reader.damaged


def test_frames_that_write_video_made_have_the_times_of_their_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slow.mp4", moving_frames()[:10], fps=12.5)
    with open_video(path) as reader:
        np.testing.assert_allclose(reader.times, np.arange(10) / 12.5, atol=1e-6)


def test_sound_that_begins_late_ends_no_reading(tmp_path: Path) -> None:
    """The header of the file names the video only; PyAV looks the late stream up where none is."""
    path = tmp_path / "late.flv"
    with av.open(str(path), "w") as file:
        video: Any = file.add_stream("flv", rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound: Any = file.add_stream("mp3", rate=44100, layout="mono")
        for index, picture in enumerate(counted_frames(400)):  # longer than what is probed
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            file.mux(video.encode(frame))
            if index > 300:
                silence = np.zeros((1, 1152), np.float32)
                audio = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
                audio.sample_rate, audio.pts = 44100, index * 44100 // RATE
                audio.time_base = Fraction(1, 44100)
                file.mux(sound.encode(audio))
    content = bytearray(path.read_bytes())
    content[4] = 1  # the header's flags: video, no sound
    expected = plain_video(bytes(content))
    for size in range(1, 30, 3):
        _ = [bytes([255]) * size for _ in range(200)]  # what lies in memory decides
        with open_video(bytes(content)) as reader:
            assert len(reader) == len(expected)
    with open_video(bytes(content)) as reader:
        np.testing.assert_array_equal(reader.read([5, 350]), expected[[5, 350]])
    path.write_bytes(content)
    assert examine(path).status == "ok"


def plain_video(content: bytes) -> np.ndarray:
    """All frames, packet by packet."""
    with av.open(io.BytesIO(content)) as container:
        stream, frames = container.streams.video[0], []
        with suppress(IndexError):
            for packet in container.demux(stream):
                frames += stream.decode(packet) if packet.size else []
        return np.stack([frame.to_ndarray(format="rgb24") for frame in [*frames, *stream.decode()]])
