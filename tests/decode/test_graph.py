"""Crop and scale while decoding: near to decoding everything first, alike in rgb and in yuv."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import resize

from tests.conftest import SHARED, counted_frames
from tests.decode.test_pyav import plain_decode
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box
from video_gc.decode.write import write_video

REAL = SHARED / "videos" / "k720_g250.mp4"


def textured(count: int, height: int, width: int) -> np.ndarray:
    """Waves of brightness with some noise, and slower ones of colour, as in a real picture."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    bright = 120 + 60 * np.sin(x / 9 + y / 13) + random.normal(0, 5, (count, height, width))
    colour = np.stack([40 * np.sin(x / 30 + y / (40 - 8 * c)) for c in range(3)], -1)
    return (bright[..., None] + colour).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (40, 56), (120, 96)])
def test_the_difference_from_decoding_and_then_scaling_is_bounded(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = write_video(tmp_path / "waves.mp4", textured(6, 128, 160))
    box = Box(16, 8, 110, 96)
    whole = np.stack(plain_decode(path))[:, 8:104, 16:126]
    expected = resize(torch.from_numpy(whole).permute(0, 3, 1, 2), list(size), antialias=True)
    with open_video(path) as reader:
        found = reader.read(range(6), crop=box, size=size)
    difference = np.abs(found.astype(int) - expected.permute(0, 2, 3, 1).numpy())
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99) < 6


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="../shared/data is not there")
def test_the_difference_is_bounded_on_a_real_clip() -> None:
    box = Box(50, 20, 200, 200)
    whole = np.stack(plain_decode(REAL)[::60])[:, 20:220, 50:250]
    expected = resize(torch.from_numpy(whole).permute(0, 3, 1, 2), [224, 224], antialias=True)
    with open_video(REAL) as reader:
        found = reader.read(range(0, 300, 60), crop=box, size=(224, 224))
    difference = np.abs(found.astype(int) - expected.permute(0, 2, 3, 1).numpy())
    assert difference.mean() < 1.0


@pytest.mark.parametrize(("space", "span"), [(5, 1), (1, 1), (1, 2)])
@pytest.mark.parametrize("size", [None, (36, 50), (38, 50)])
def test_yuv_planes_hold_the_same_picture(
    tmp_path: Path, space: int, span: int, size: tuple[int, int] | None
) -> None:
    """BT.601 and BT.709, limited and full range: FFmpeg makes the rgb frame of our planes."""
    path = tmp_path / "coloured.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, span
        for frame in counted_frames(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    with open_video(path) as reader:
        assert reader.colour.matrix == {5: "bt601", 1: "bt709"}[space]
        assert reader.colour.full_range == (span == 2)
        rgb = reader.read([0, 3], size=size)
        yuv = reader.read([0, 3], size=size, form="yuv")
    height, width = size or (48, 64)
    assert yuv.shape == (2, height * 3 // 2, width)
    for planes, expected in zip(yuv, rgb, strict=True):
        name = "yuvj420p" if span == 2 else "yuv420p"
        frame = av.VideoFrame(width, height, name)
        luma, chroma = height * width, height * width // 4
        flat = planes.ravel()
        parts = [flat[:luma], flat[luma : luma + chroma], flat[luma + chroma :]]
        for plane, part in zip(frame.planes, parts, strict=True):
            rows = np.zeros((plane.height, plane.line_size), np.uint8)
            rows[:, : plane.width] = part.reshape(plane.height, plane.width)
            plane.update(rows)
        frame.colorspace, frame.color_range = space, span
        np.testing.assert_allclose(
            frame.to_ndarray(format="rgb24").astype(int), expected, atol=0 if size else 1
        )


def test_yuv_needs_even_sizes(video: Path) -> None:
    with open_video(video) as reader, pytest.raises(ValueError, match="even sizes, not 31×24"):
        reader.read([0], size=(24, 31), form="yuv")
    with open_video(video) as reader, pytest.raises(ValueError, match="form .'rbg'. must be one"):
        reader.read([0], form="rbg")
