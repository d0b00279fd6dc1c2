"""A transcoded video: the same frames at the same times, smaller, with close key frames."""

import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import resize

from tests.conftest import counted_frames, slow
from tests.decode.videos import displayed, encode, moving_frames, pixels, placed
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError
from video_gc.decode.video_facts import examine
from video_gc.decode.write import target_size, transcode, write_video


def stamps(path: Path) -> tuple[list[Fraction], list[int]]:
    """Times of the frames in seconds from the first, and the places of key frames among them."""
    with av.open(str(path)) as container:
        frames: Any = list(container.decode(video=0))
        base = frames[0].time_base
        keys = [index for index, frame in enumerate(frames) if frame.key_frame]
        return [(frame.pts - frames[0].pts) * base for frame in frames], keys


def test_times_of_a_variable_rate_are_exact(tmp_path: Path) -> None:
    source = encode(tmp_path / "v.mkv", "libx264", stamps=lambda index: index * (index + 3) // 2)
    count = transcode(source, tmp_path / "t.mp4", short_side=48, keyframe_interval=10)
    times, keys = stamps(tmp_path / "t.mp4")
    expected, _ = stamps(source)
    assert count == len(times) == len(expected) == 66
    assert times == expected
    assert len({b - a for a, b in pairwise(times)}) > 60
    assert max(np.diff([*keys, count])) <= 10
    assert examine(tmp_path / "t.mp4").keyframe_max <= 10


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bframes.mp4", {}),
        slow("full.mp4", {"pix_fmt": "yuvj420p"}),
        slow("bt709.mp4", {"options": {"colorspace": "bt709"}}),
        ("bt709full.mp4", {"options": {"colorspace": "bt709"}, "pix_fmt": "yuvj420p"}),
        slow("deep.mkv", {"pix_fmt": "yuv444p"}),
    ],
)
def test_frames_look_like_the_scaled_source(tmp_path: Path, name: str, options: Any) -> None:
    source = encode(tmp_path / name, "libx264", **options)
    transcode(source, tmp_path / "t.mp4", short_side=64, crf=10)
    with open_video(source) as before, open_video(tmp_path / "t.mp4") as after:
        assert after.size == (64, 86)
        assert after.colour == before.colour
        frames = torch.from_numpy(before.read(range(len(before)))).movedim(-1, 1)
        expected = resize(frames, [64, 86], antialias=True).movedim(1, -1).numpy()
        found = after.read(range(len(after)))
        assert found.shape == expected.shape
    error = np.abs(found.astype(int) - expected).mean((1, 2, 3))
    assert error.max() < 3.5
    # far less than the distance to the neighbours: none is in another's place
    neighbour = np.abs(np.diff(expected.astype(int), axis=0)).mean((1, 2, 3))
    assert np.median(neighbour) > 3 * error.max()


def test_rotation_is_applied(tmp_path: Path) -> None:
    source = encode(
        tmp_path / "r.mp4", "libx264", setup=lambda stream: stream.set_display_rotation(90)
    )
    transcode(source, tmp_path / "t.mp4", short_side=64, crf=10)
    with open_video(tmp_path / "t.mp4") as reader:
        assert reader.size == (86, 64)
        found = reader.read([0, 30])
    with av.open(str(tmp_path / "t.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0
    upright = np.rot90(moving_frames(), axes=(1, 2))[[0, 30]]
    expected = resize(torch.from_numpy(upright.copy()).movedim(-1, 1), [86, 64], antialias=True)
    assert np.abs(found.astype(int) - expected.movedim(1, -1).numpy()).mean() < 4


@pytest.mark.parametrize(
    ("size", "short_side", "enlarge", "expected"),
    [
        ((720, 1280), 256, False, (256, 456)),  # 455.1 to the nearest even number
        ((1280, 720), 256, False, (456, 256)),
        ((240, 320), 256, False, (240, 320)),
        ((240, 320), 256, True, (256, 342)),
        ((257, 341), None, False, (256, 340)),
        ((3, 1000), 2, False, (2, 666)),
    ],
)
def test_sizes(size, short_side, enlarge, expected) -> None:  # type: ignore[no-untyped-def]
    assert target_size(size, short_side, enlarge=enlarge) == expected


def test_one_frame_is_enough(tmp_path: Path) -> None:
    source = write_video(tmp_path / "one.mp4", counted_frames(1))
    assert transcode(source, tmp_path / "t.mp4") == 1
    with open_video(tmp_path / "t.mp4") as reader:
        assert len(reader) == 1
        assert reader.size == (48, 64)


def test_sound_is_dropped(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "s.mp4"), "w") as container:
        picture: Any = container.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound: Any = container.add_stream("aac", rate=16000, layout="mono")
        for frame in counted_frames(5):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        noise = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), np.float32), format="fltp", layout="mono"
        )
        noise.sample_rate = 16000
        for stream, last in ((sound, noise), (sound, None), (picture, None)):
            container.mux(stream.encode(last))
    assert transcode(tmp_path / "s.mp4", tmp_path / "t.mp4") == 5
    with av.open(str(tmp_path / "t.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_damage_is_not_passed_off_as_sound(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    content = bytearray(write_video(tmp_path / "whole.mp4", frames).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    (tmp_path / "hole.mp4").write_bytes(content)
    with pytest.raises(DecodeError, match="hole.mp4: frame"):
        transcode(tmp_path / "hole.mp4", tmp_path / "t.mp4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"short_side": 1}, "short_side (1) must be at least 2"),
        ({"keyframe_interval": 0}, "keyframe_interval (0) must be at least 1"),
        ({"crf": 52}, "crf (52) must be in 0…51"),
    ],
)
def test_wrong_options(video: Path, tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        transcode(video, tmp_path / "t.mp4", **options)


@pytest.mark.parametrize(
    ("matrix", "pixel", "codec", "layout", "span"),
    [
        ((1, 0, 0, 1), 1, "ffv1", "gray", 0),
        ((1, 0, 0, -1), "16/15", "libx264rgb", "rgb24", 0),
        ((-1, 0, 0, -1), 2, "libx264", "yuv420p", 0),
        ((0, 1, 1, 0), "16/15", "libx264", "yuvj420p", 2),
        ((0, 1, -1, 0), 2, "libx264", "yuv420p10le", 1),
        *(
            slow(*values)  # pairwise, with those above
            for values in (
                ((1, 0, 0, 1), 2, "libx264", "yuvj420p", 2),
                ((-1, 0, 0, 1), 2, "libx264", "gray", 0),
                ((-1, 0, 0, 1), "16/15", "libx264", "yuv420p10le", 1),
                ((1, 0, 0, -1), 1, "libx264", "yuvj420p", 2),
                ((-1, 0, 0, -1), 1, "libx264", "yuv420p10le", 2),
                ((0, 1, 1, 0), 1, "libx264rgb", "rgb24", 0),
                ((0, 1, -1, 0), "16/15", "libx264", "gray10le", 1),
                ((0, -1, 1, 0), 1, "libx264", "yuv420p", 2),
                ((0, -1, 1, 0), 2, "libx264rgb", "rgb24", 0),
                ((0, -1, -1, 0), 1, "ffv1", "gray16le", 1),
                ((0, -1, -1, 0), "16/15", "libx264", "yuv420p", 1),
            )
        ),
    ],
)
def test_the_copy_shows_what_the_original_shows(  # type: ignore[no-untyped-def]
    tmp_path: Path, matrix, pixel, codec, layout, span
) -> None:
    shape = Fraction(pixel)

    def setup(stream: Any) -> None:
        displayed(matrix)(stream)
        pixels(shape)(stream)
        stream.codec_context.color_range = span

    options = {} if codec == "ffv1" else {"crf": "4"}
    source = encode(tmp_path / "s.mkv", codec, options, pix_fmt=layout, size=(48, 64), setup=setup)
    with av.open(str(source)) as container:
        coded = list(container.decode(video=0))[20].to_ndarray(format="rgb24")
    stretched = torch.from_numpy(coded).movedim(-1, 0)
    stretched = resize(stretched, [48, round(64 * shape)], antialias=True).movedim(0, -1)
    shown = torch.from_numpy(placed(stretched.numpy(), matrix)).movedim(-1, 0)
    height, width = target_size((shown.shape[1], shown.shape[2]), 40)
    expected = resize(shown, [height, width], antialias=True).movedim(0, -1).numpy()

    transcode(source, tmp_path / "t.mp4", short_side=40, crf=4)
    with av.open(str(tmp_path / "t.mp4")) as container:
        frame = list(container.decode(video=0))[20]
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)
        assert not frame.side_data.get("DISPLAYMATRIX")
        plain = frame.to_ndarray(format="rgb24")  # without any code of ours
    assert plain.shape == expected.shape
    error = plain.astype(int) - expected
    assert np.abs(error).mean() < 4
    assert abs(error.mean()) < 2.5  # neither brighter nor darker
    with open_video(source) as before, open_video(tmp_path / "t.mp4") as after:
        assert after.colour == before.colour
        original = before.read([20], size=(height, width))[0].astype(int)
        assert np.abs(after.read([20])[0] - original).mean() < 3
