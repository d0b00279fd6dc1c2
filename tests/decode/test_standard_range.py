"""HDR and BT.2020: the light that the standards define, on a screen of BT.709."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tests.decode.videos import encode
from video_gc.data.reading import colour_code
from video_gc.data.transforms import planes_to_rgb
from video_gc.decode.ffmpeg.graph import standard_range
from video_gc.decode.known_faults import kind_of, known_wrong
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box, Colour
from video_gc.decode.write import transcode

PQ, HLG = 16, 18
WHITE = 203  # cd/m², ITU-R BT.2408


def tagged(transfer: int, primaries: int = 9) -> Any:
    """Give a stream those tags."""

    def setup(stream: Any) -> None:
        context = stream.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_trc, context.color_primaries = transfer, primaries

    return setup


@pytest.mark.parametrize(
    ("transfer", "signal", "nits"),
    [
        (PQ, 0.5806, 203),  # BT.2408, table 1
        (PQ, 0.7518, 1000),
        (PQ, 0.5081, 100),
        (PQ, 0.0, 0),
        (HLG, 0.75, 203),
        (HLG, 0.5, 1000 / 12**1.2),  # the scene's light is 1/12; system gamma 1.2
        (HLG, 1.0, 1000),
    ],
)
def test_grey_has_the_light_of_the_tables(transfer: int, signal: float, nits: float) -> None:
    code = np.full((2, 2, 3), round(65535 * signal), np.uint16)
    expected = 255 * min(nits / WHITE, 1) ** (1 / 2.4)
    np.testing.assert_allclose(standard_range(code, transfer, 9), expected, atol=1)


def test_a_colour_of_bt709_is_itself() -> None:
    """Written in BT.2020 by the definition of both sets of primaries, and read again."""

    def to_xyz(red: Any, green: Any, blue: Any) -> np.ndarray:
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (red, green, blue)]).T
        white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
        scaled: np.ndarray = columns * np.linalg.solve(columns, white)
        return scaled

    small = to_xyz((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
    wide = to_xyz((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
    colour = np.array([200, 90, 40])
    light = np.linalg.solve(wide, small @ (colour / 255) ** 2.4)
    code = np.rint(65535 * light ** (1 / 2.4)).astype(np.uint16)
    np.testing.assert_allclose(standard_range(code[None, None], 14, 9)[0, 0], colour, atol=1)
    nits = (light * WHITE / 10_000) ** 0.1593017578125
    coded = ((0.8359375 + 18.8515625 * nits) / (1 + 18.6875 * nits)) ** 78.84375
    code = np.rint(65535 * coded).astype(np.uint16)
    np.testing.assert_allclose(standard_range(code[None, None], PQ, 9)[0, 0], colour, atol=1)


@pytest.mark.slow
@pytest.mark.parametrize("transfer", [HLG, 14])
def test_swscale_makes_the_same_of_it(tmp_path: Path, transfer: int) -> None:
    """FFmpeg has the same conversion, whose tables take seconds to make; they differ in how colours
    come in that BT.709 does not have."""
    path = encode(
        tmp_path / "wide.mkv", "ffv1", pix_fmt="yuv420p10le", size=(48, 64), setup=tagged(transfer)
    )
    with av.open(str(path)) as container:
        frame: Any = next(container.decode(video=0))
    graph = av.filter.Graph()
    options = "out_transfer=bt709:out_primaries=bt709:out_color_matrix=bt709"
    graph.link_nodes(
        graph.add(
            "buffer",
            f"video_size=64x48:pix_fmt={frame.format.name}:time_base=1/25:colorspace=9:range=1",
        ),
        graph.add("scale", f"flags=bilinear:{options}"),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame)
    expected = graph.pull().to_ndarray().astype(int)  # type: ignore[union-attr]
    with open_video(path) as reader:
        found = reader.read([0])[0]
    inside = ((expected < 250) & (expected > 5) & (found < 250) & (found > 5)).all(-1)
    assert inside.mean() > 0.4
    assert np.abs(found - expected)[inside].mean() < 3


def test_all_routes_show_a_file_alike(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "hlg.mkv", "ffv1", pix_fmt="yuv420p10le", size=(48, 64), setup=tagged(HLG)
    )
    with av.open(str(path)) as container:
        raw = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    with open_video(path) as reader:
        assert reader.colour == Colour("bt709")
        rgb = reader.read([0])[0].astype(int)
        planes = torch.from_numpy(reader.read([0], form="yuv"))[None]
        part = reader.read([0], crop=Box(8, 4, 40, 40), size=(20, 20))[0]
    assert rgb.std() > raw.std() + 5  # no longer washed out
    again = planes_to_rgb(planes, torch.tensor([colour_code(reader.colour)]))[0, 0].numpy()
    assert np.abs(again - rgb).mean() < 3
    small = rgb[4:44, 8:48].reshape(20, 2, 20, 2, 3).mean((1, 3))
    assert np.abs(part - small).mean() < 8
    transcode(path, tmp_path / "t.mp4", crf=4)
    with open_video(tmp_path / "t.mp4") as copy:
        assert np.abs(copy.read([0])[0] - rgb).mean() < 4
    with av.open(str(tmp_path / "t.mp4")) as container:
        context: Any = container.streams.video[0].codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc)
        assert tuple(map(int, tags)) == (1, 1, 1)
    for decoder in ("decord", "torchcodec"):
        assert known_wrong(decoder, kind_of(path)) == "HDR or BT.2020"
