"""Frames by index equal a sequential decode with nothing in between; damage is named."""

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import counted_frames
from video_gc.decode.open import open_video
from video_gc.decode.pyav import Reader
from video_gc.decode.reader import Box, DecodeError, Request
from video_gc.decode.whole_frames import FrameReader
from video_gc.decode.write import write_video


def plain_decode(path: Path) -> list[np.ndarray]:
    """All frames with PyAV's own conversion, turned as a player turns them."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        return [
            np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
            for frame in container.decode(stream)
        ]


def test_frames_equal_a_sequential_decode(video: Path) -> None:
    expected = plain_decode(video)
    with open_video(video) as reader:
        assert len(reader) == len(expected) == 40
        assert reader.size == (48, 64)
        assert reader.rate == 30
        indices = [39, 0, 7, 7, 21]
        frames = reader.read(indices)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, np.stack([expected[i] for i in indices]))


def test_a_reader_can_be_read_again(video: Path) -> None:
    with open_video(video) as reader:
        np.testing.assert_array_equal(reader.read([5]), reader.read([5]))


def test_what_comes_back_is_what_was_written(tmp_path: Path) -> None:
    frames = counted_frames(12)
    with open_video(write_video(tmp_path / "fine.mp4", frames, crf=1)) as reader:
        found = reader.read(range(12)).astype(int)
    brightness = np.array([0.299, 0.587, 0.114])  # 4:2:0 blurs the colours of the bar
    error = np.abs((found - frames) @ brightness).mean((1, 2))
    shifted = np.abs((found[1:] - frames[:-1]) @ brightness).mean((1, 2))
    assert (error[1:] < 0.5 * shifted).all()


def test_crop_and_scale(video: Path) -> None:
    whole = plain_decode(video)[3]
    with open_video(video) as reader:
        cropped = reader.read([3], crop=Box(11, 7, 20, 30))[0]
        scaled = reader.read([3], crop=Box(10, 8, 20, 30), size=(15, 10))[0]
    assert cropped.shape == (30, 20, 3)
    brightness = np.array([0.299, 0.587, 0.114])  # chroma is sampled anew on an odd start
    right, beside = (cropped @ brightness - whole[7:37, x : x + 20] @ brightness for x in (11, 10))
    assert np.abs(right).mean() < 0.5 * np.abs(beside).mean()
    assert scaled.shape == (15, 10, 3)
    expected = whole[8:38, 10:30].reshape(15, 2, 10, 2, 3).mean((1, 3))
    assert np.abs(scaled - expected).mean() < 8


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied_before_the_crop(video: Path, tmp_path: Path, degrees: int) -> None:
    turned = tmp_path / "turned.mp4"
    with av.open(str(video)) as source, av.open(str(turned), "w") as sink:
        stream = source.streams.video[0]
        copy = sink.add_stream_from_template(stream)
        copy.set_display_rotation(degrees)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copy
                sink.mux(packet)
    expected = plain_decode(turned)[2]
    assert expected.shape == ((48, 64, 3) if degrees == 180 else (64, 48, 3))
    with open_video(turned) as reader:
        assert reader.size == expected.shape[:2]
        np.testing.assert_array_equal(reader.read([2])[0], expected)
        cropped = reader.read([2], crop=Box(4, 8, 16, 20))[0]
    np.testing.assert_allclose(cropped, expected[8:28, 4:20], atol=2)


def test_avi_without_time_stamps_is_counted_by_decoding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "old.avi", counted_frames(33))
    expected = plain_decode(path)
    with open_video(path) as reader:
        assert len(reader) == len(expected) == 33
        np.testing.assert_array_equal(reader.read([0, 32]), [expected[0], expected[32]])


def test_a_recording_that_starts_in_the_middle_is_counted_by_decoding(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", counted_frames(60), keyframe_interval=20)
    middle = tmp_path / "middle.mkv"
    with av.open(str(whole)) as source, av.open(str(middle), "w") as sink:
        stream = source.streams.video[0]
        copy = sink.add_stream_from_template(stream)
        for number, packet in enumerate(source.demux(stream)):
            if packet.size and number >= 7:  # no key frame before number 20
                packet.stream = copy
                sink.mux(packet)
    expected = plain_decode(middle)
    assert len(expected) < 53
    with open_video(middle) as reader:
        assert len(reader) == len(expected)
        np.testing.assert_array_equal(reader.read([len(expected) - 1])[0], expected[-1])


def test_little_is_decoded(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing after the last wanted frame, and no picture that nothing refers to."""
    with open_video(video) as reader:
        assert isinstance(reader, Reader)
        decoded = 0
        take = reader._codec.decode

        def counting(packet: object, *, wanted: bool) -> tuple[list[object], str | None]:
            nonlocal decoded
            frames, cause = take(packet, wanted=wanted)
            decoded += len(frames)
            return frames, cause

        monkeypatch.setattr(reader._codec, "decode", counting)
        reader.read([0, 16])
    assert decoded <= 0.8 * 17


def test_several_clips_come_from_one_decode(video: Path) -> None:
    expected = plain_decode(video)
    with open_video(video) as reader:
        requests = [Request([3, 9, 3]), Request([9], Box(10, 4, 16, 12)), Request([])]
        requests.append(Request([30, 5], size=(24, 32)))
        clips = reader.read_clips(requests)
        alone = [reader.read(r.indices, crop=r.crop, size=r.size) for r in requests]
    for clip, single in zip(clips, alone, strict=True):
        np.testing.assert_array_equal(clip, single)
    np.testing.assert_array_equal(clips[0], [expected[3], expected[9], expected[3]])
    assert [len(clip) for clip in clips] == [3, 1, 0, 2]


def test_frames_stream_in_rising_order_from_any_source(video: Path) -> None:
    expected = plain_decode(video)
    sources = (str(video), video.read_bytes(), io.BytesIO(video.read_bytes()), video.open("rb"))
    for source in sources:
        with open_video(source) as reader:
            found = list(reader.frames([30, 2, 9, 2]))
        assert [index for index, _ in found] == [2, 9, 30]
        for index, frame in found:
            np.testing.assert_array_equal(frame, expected[index])
    sources[-1].close()


def test_times_are_those_of_the_frames(tmp_path: Path) -> None:
    stamps = np.cumsum([0, 1, 2, 1, 5, 1, 1, 3, 1, 1, 2, 1])
    path = tmp_path / "uneven.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for stamp, frame in zip(stamps, counted_frames(len(stamps)), strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = int(stamp) + 50, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with open_video(path) as reader:
        np.testing.assert_allclose(reader.times, stamps / 25, atol=1e-3)
        assert reader.codec == "h264"


def test_indices_outside_are_an_error(video: Path) -> None:
    with open_video(video) as reader:
        for indices in ([40], [-1, 3]):
            with pytest.raises(IndexError, match="there is no frame"):
                reader.read(indices)
        assert list(reader.frames([])) == []


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("zero-byte", r"zero-byte.mp4: the file is empty \(0 bytes\)"),
        (
            "truncated",
            r"truncated.mp4: cannot be read .*; perhaps it was cut off, or is no video\)$",
        ),
        ("text", r"text.mp4: cannot be read as a video \(Invalid data"),
        ("audio-only", "audio-only.mp4: there is no video in the file, only other streams"),
    ],
)
def test_damage_is_named(damaged: dict[str, Path], kind: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        open_video(damaged[kind])


def test_missing_file_and_unknown_decoder(video: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.mp4: no such file"):
        open_video("nowhere.mp4")
    with pytest.raises(ValueError, match="decoder .'avpy'. must be one of auto, pyav"):
        open_video(video, "avpy")


def test_frames_in_memory_are_read_like_a_file() -> None:
    frames = counted_frames(9)
    with FrameReader(frames, rate=12) as reader:
        assert (len(reader), reader.size, reader.rate) == (9, (48, 64), 12)
        np.testing.assert_array_equal(reader.read([8, 0]), frames[[8, 0]])
        scaled = reader.read([2], crop=Box(0, 0, 48, 48), size=(24, 24))
        with pytest.raises(IndexError, match="no frame 9; frames are 0…8"):
            reader.read([9])
    expected = frames[2, :48, :48].reshape(24, 2, 24, 2, 3).mean((1, 3))
    assert np.abs(scaled[0] - expected).mean() < 8
    with pytest.raises(ValueError, match="uint8"):
        FrameReader(frames.astype(np.float32))


def test_write_video_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    for frames, message in (
        (np.zeros((2, 5, 4, 3), np.uint8), "needs even sizes, not 4×5"),
        (np.zeros((2, 4, 4), np.uint8), "must be uint8"),
        (np.zeros((0, 4, 4, 3), np.uint8), "must be uint8"),
    ):
        with pytest.raises(ValueError, match=message):
            write_video(tmp_path / "x.mp4", frames)
    with pytest.raises(ValueError, match=r"x.gif: a video is written as one of .mp4"):
        write_video(tmp_path / "x.gif", np.zeros((1, 4, 4, 3), np.uint8))
    assert not list(tmp_path.iterdir())  # nothing half-written either


def test_equal_frames_give_equal_files(tmp_path: Path) -> None:
    one, two = (write_video(tmp_path / n, counted_frames(10)) for n in ("1.mp4", "2.mp4"))
    assert one.read_bytes() == two.read_bytes()


def test_decode_needs_neither_torch_nor_the_rest_of_the_house() -> None:
    code = "import sys; import video_gc.decode.pyav, video_gc.decode.write; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
