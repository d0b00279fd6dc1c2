"""Turned, mirrored, stretched and grey videos: shown as arithmetic on the coded pictures says."""

from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2.functional import resize

from tests.conftest import slow
from tests.decode.videos import displayed, encode, pixels, placed
from video_gc.data.reading import colour_code
from video_gc.data.transforms import planes_to_rgb
from video_gc.decode.ffmpeg.graph import FilterGraph
from video_gc.decode.ffmpeg.presentation import presentation_of
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box, OpenError, VideoReader
from video_gc.decode.whole_frames import TIME_BASE

SMALL = (48, 64)
MATRICES = [m for m in product((-1, 0, 1), repeat=4) if abs(m[0] * m[3] - m[1] * m[2]) == 1
            and not (m[0] and m[1]) and not (m[2] and m[3])]  # fmt: skip
"""a, b, c, d of the eight orientations: a pixel (x, y) is shown at (a x + c y, b x + d y)."""
QUICK_PIXELS = {
    ("p.mp4", Fraction(2)), ("p.mkv", Fraction(16, 15)), ("p.avi", Fraction(8, 9)),
}  # fmt: skip


def coded(path: Path, index: int) -> np.ndarray:
    """A frame as it lies in the file."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    picture: np.ndarray = frames[index].to_ndarray(format="rgb24")
    return picture


def scaled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    channels = torch.from_numpy(picture.copy()).permute(2, 0, 1)
    return resize(channels, list(size), antialias=True).permute(1, 2, 0).numpy()


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference, grey levels; 255 for another size."""
    return float(np.abs(one.astype(int) - other).mean()) if one.shape == other.shape else 255.0


def from_planes(reader: VideoReader, index: int) -> np.ndarray:
    """A frame by way of its planes, as a training on the GPU sees it."""
    planes = torch.from_numpy(reader.read([index], form="yuv"))[None]
    code = torch.tensor([colour_code(reader.colour)])
    return planes_to_rgb(planes, code, rounded=True)[0, 0].numpy()


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("suffix", ["mp4", slow("mkv")])
def test_eight_orientations(tmp_path: Path, matrix: tuple[int, ...], suffix: str) -> None:
    path = encode(tmp_path / f"m.{suffix}", "libx264", size=SMALL, setup=displayed(matrix))
    expected = placed(coded(path, 3), matrix)
    with open_video(path) as reader:
        assert reader.size == expected.shape[:2] == (SMALL if matrix[0] else SMALL[::-1])
        np.testing.assert_array_equal(reader.read([3])[0], expected)
        part = reader.read([3], crop=Box(4, 8, 32, 30))[0]
        small = reader.read([3], crop=Box(4, 8, 32, 30), size=(15, 16))[0]
        planes = from_planes(reader, 3)
    np.testing.assert_allclose(part.astype(int), expected[8:38, 4:36], atol=2)
    assert distance(small, scaled(expected[8:38, 4:36], (15, 16))) < 2
    assert distance(planes, expected) < 2.5
    others = [placed(coded(path, 3), other) for other in MATRICES if other != matrix]
    assert min(distance(expected, other) for other in others) > 10  # none passes for another


@pytest.mark.parametrize("size", [(47, 63), *(slow(s) for s in ((48, 63), (47, 64)))])
@pytest.mark.parametrize("matrix", MATRICES)
def test_odd_sizes_keep_their_colours_in_place(
    tmp_path: Path, matrix: tuple[int, ...], size: tuple[int, int]
) -> None:
    plain = encode(tmp_path / "plain.mp4", "mpeg4", {"q": "2"}, size=size)
    turned = encode(tmp_path / "t.mp4", "mpeg4", {"q": "2"}, size=size, setup=displayed(matrix))
    with open_video(plain) as before, open_video(turned) as after:
        np.testing.assert_array_equal(after.read([3])[0], placed(before.read([3])[0], matrix))


@pytest.mark.parametrize(
    ("matrix", "nearest"),
    [
        ((0.9, 0.44, -0.44, 0.9), (1, 0, 0, 1)),
        ((-0.5, -0.87, -0.87, 0.5), (0, -1, -1, 0)),
        ((-2, 0, 0, 2), (-1, 0, 0, 1)),
        ((0, 0, 0, 0), (1, 0, 0, 1)),
        ((1, 1, 1, 1), (1, 0, 0, 1)),
    ],
)
def test_other_matrices_are_taken_for_the_nearest(
    tmp_path: Path, matrix: tuple[float, ...], nearest: tuple[int, ...]
) -> None:
    path = encode(tmp_path / "m.mp4", "libx264", size=SMALL, setup=displayed(matrix))
    with open_video(path) as reader:
        np.testing.assert_array_equal(reader.read([3])[0], placed(coded(path, 3), nearest))


@pytest.mark.parametrize(
    ("options", "matrix"),
    [("flip=horizontal", (-1, 0, 0, 1)), ("rotate=90:flip=vertical", (0, -1, -1, 0))],
)
def test_an_orientation_in_the_codec(tmp_path: Path, options: str, matrix: tuple[int, ...]) -> None:
    """H.264 says it in a message, which FFmpeg repeats at a few frames only."""
    plain = encode(tmp_path / "plain.ts", "libx264", {"g": "9"}, size=SMALL)
    path = tmp_path / "told.ts"
    with av.open(str(plain)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        insert = av.bitstream.BitStreamFilterContext(
            f"h264_metadata=display_orientation=insert:{options}", stream
        )
        for packet in old.demux(stream):
            for changed in insert.filter(packet) if packet.size else ():
                changed.stream = copy
                new.mux(changed)
    with open_video(path) as reader:
        for index in (20, 0, 5):
            found = reader.read([index])[0]
            np.testing.assert_array_equal(found, placed(coded(plain, index), matrix))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_images_with_the_orientation_of_a_camera(tmp_path: Path, suffix: str) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:12, :40], picture[20:, 50:] = (250, 120, 20), (10, 90, 200)
    for number in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = number  # Orientation
        folder = tmp_path / str(number)
        folder.mkdir()
        file = folder / f"1.{suffix}"
        Image.fromarray(picture).save(file, exif=exif, quality=95, subsampling=0)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
        with open_video(folder) as reader:
            assert reader.size == expected.shape[:2]
            assert distance(reader.read([0])[0], expected) < 1


@pytest.mark.parametrize(
    ("name", "pixel"),
    [
        (name, pixel) if (name, pixel) in QUICK_PIXELS else slow(name, pixel)
        for name in ("p.mp4", "p.mkv", "p.avi")
        for pixel in (Fraction(2), Fraction(16, 15), Fraction(8, 9), Fraction(1, 2))
    ],
)
def test_pixels_that_are_not_square(tmp_path: Path, pixel: Fraction, name: str) -> None:
    path = encode(tmp_path / name, "libx264", size=(96, 128), setup=pixels(pixel))
    width = round(128 * pixel)
    expected = scaled(coded(path, 3), (96, width))
    with open_video(path) as reader:
        assert reader.size == (96, width)
        assert distance(reader.read([3])[0], expected) < 1.5
        box = Box(11, 8, 50, 64)
        part = expected[8:72, 11:61]
        assert distance(reader.read([3], crop=box)[0], part) < 1.5
        assert distance(reader.read([3], crop=box, size=(32, 40))[0], scaled(part, (32, 40))) < 4
        right = Box(width - 1, 0, 1, 96)
        assert reader.read([3], crop=right, size=(8, 8)).shape == (1, 8, 8, 3)
        with pytest.raises(ValueError, match="outside the picture"):
            reader.read([3], crop=Box(width - 10, 0, 11, 8))


def test_a_box_of_whole_coded_pixels_is_scaled_once(tmp_path: Path) -> None:
    """2:1, even edges: what comes is what the same box of the coded picture would give."""
    wide = encode(tmp_path / "wide.mp4", "libx264", size=(96, 128), setup=pixels(Fraction(2)))
    square = encode(tmp_path / "square.mp4", "libx264", size=(96, 128))
    with open_video(wide) as one, open_video(square) as other:
        found = one.read([3], crop=Box(20, 8, 100, 64), size=(32, 40))
        np.testing.assert_array_equal(
            found, other.read([3], crop=Box(10, 8, 50, 64), size=(32, 40))
        )


@pytest.mark.parametrize(
    "patch",
    [
        (1, 65535),
        (0, 1),
        (2048, 2043),
        *(slow(patch) for patch in ((65535, 1), (1, 0), (1, 11), (0, 0))),
    ],
)
def test_absurd_and_nearly_square_pixels_are_square(tmp_path: Path, patch: tuple[int, int]) -> None:
    path = encode(tmp_path / "p.mp4", "libx264", size=(96, 128), setup=pixels(Fraction(2)))
    content = path.read_bytes()
    place = content.index(b"pasp") + 4
    sides = b"".join(side.to_bytes(4, "big") for side in patch)
    path.write_bytes(content[:place] + sides + content[place + 8 :])
    with open_video(path) as reader:
        # without a word of the container the codec's counts
        assert reader.size == ((96, 256) if 0 in patch else (96, 128))


def test_a_turned_picture_is_stretched_before_it_is_turned(tmp_path: Path) -> None:
    def both(stream: Any) -> None:
        pixels(Fraction(2))(stream)
        displayed((0, -1, -1, 0))(stream)

    path = encode(tmp_path / "both.mp4", "libx264", size=(96, 128), setup=both)
    expected = placed(scaled(coded(path, 3), (96, 256)), (0, -1, -1, 0))
    with open_video(path) as reader:
        assert reader.size == (256, 96)
        assert distance(reader.read([3])[0], expected) < 1.5
        assert distance(from_planes(reader, 3), expected) < 3


GREY = {"gray": 8, "gray10le": 10, "gray12le": 12, "gray16le": 16}


@pytest.mark.parametrize("span", [0, 1, 2])
@pytest.mark.parametrize("name", [*GREY, "gbrp", "yuv420p", "yuvj420p", "yuv444p10le"])
def test_each_route_shows_the_same_brightness(tmp_path: Path, name: str, span: int) -> None:
    """FFmpeg's rule: grey, RGB and JPEG's planes are full range, others what their tag says."""
    level, path = 84, tmp_path / ("level.avi" if name == "gbrp" else "level.mkv")
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("utvideo" if name == "gbrp" else "ffv1", rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuv420p" if name == "yuvj420p" else name
        stream.codec_context.color_range = 2 if name == "yuvj420p" else span
        for _ in range(3):
            frame: Any = av.VideoFrame(64, 48, stream.pix_fmt)
            bits = frame.format.components[0].bits
            for number, plane in enumerate(frame.planes):
                value = (level if number == 0 or name == "gbrp" else 128) << (bits - 8)
                size = 2 if bits > 8 else 1
                plane.update(value.to_bytes(size, "little") * (plane.buffer_size // size))
            frame.color_range = stream.codec_context.color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    limited = name.startswith("yuv") and name != "yuvj420p" and span != 2
    expected = (level - 16) * 255 / 219 if limited else level
    with open_video(path) as reader:
        assert reader.colour.full_range == (name in GREY or (name[:3] == "yuv" and not limited))
        # swscale rounds 10-bit colours down by up to two levels on the way to RGB
        rgb, planes = reader.read([1])[0].astype(float), from_planes(reader, 1).astype(float)
    assert np.abs(rgb - expected).max() < (2.5 if "10" in name else 1)
    assert np.abs(planes - expected).max() < 2


@pytest.mark.parametrize("matrix", [0, 1, 2, 3, 4, 5, 6, 7, 9, 10])
def test_each_matrix_is_the_same_by_both_routes(tmp_path: Path, matrix: int) -> None:
    path = encode(tmp_path / "m.mkv", "ffv1", size=SMALL)
    with av.open(str(path)) as container:
        frame: Any = next(container.decode(video=0))
    frame.colorspace = matrix
    shown = presentation_of(frame)
    rgb = FilterGraph(frame, TIME_BASE, shown).convert(frame)
    planes = torch.from_numpy(FilterGraph(frame, TIME_BASE, shown, form="yuv").convert(frame))
    code = torch.tensor([colour_code(shown.colour)])
    again = planes_to_rgb(planes[None, None].clone(), code, rounded=True)[0, 0].numpy()
    assert distance(again, rgb) < 2.5


def test_colours_that_ffmpeg_cannot_convert_are_named(tmp_path: Path) -> None:
    params = {"x264-params": "colormatrix=YCgCo"}
    path = encode(tmp_path / "ycgco.mp4", "libx264", params, size=SMALL)
    with pytest.raises(OpenError, match=r"ycgco.mp4: .*cannot convert its colours \(YCgCo, .* 8"):
        open_video(path)
