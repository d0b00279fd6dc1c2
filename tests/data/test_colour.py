"""4:2:0 planes become the RGB that FFmpeg makes of them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import counted_frames
from video_gc.data.batches.batch import collate
from video_gc.data.dataset import TrainingClips, VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.reading import MATRICES, Decoding, colour_code
from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation, planes_to_rgb, prepare_clips, upsample
from video_gc.decode.reader import Colour
from video_gc.decode.write import write_video

SPACES = {"bt601": 5, "bt709": 1, "bt2020": 9, "smpte240m": 7}  # as H.273 numbers them
PAINS = "bilinear+full_chroma_int+full_chroma_inp+accurate_rnd"
KR_KB = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
}


def smooth(frames: int = 2, height: int = 96, width: int = 128) -> np.ndarray:
    """Colours that change slowly: uint8 (T, H, W, 3)."""
    y, x = np.mgrid[0:height, 0:width] / (height + width)
    rgb = np.stack([60 + 90 * x, 190 - 90 * y, 80 + 60 * (x + y)], -1)
    return np.stack([rgb + 3 * t for t in range(frames)]).astype(np.uint8)


def coded(rgb: np.ndarray, matrix: str, full: bool) -> np.ndarray:
    """FFmpeg's planes of `rgb` (T, H, W, 3): (T, 3 H / 2, W)."""
    planes = []
    for picture in rgb:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        options = {"src_colorspace": "ITU601", "dst_colorspace": SPACES[matrix]}
        spread = "JPEG" if full else "MPEG"
        planes.append(frame.reformat(format="yuv420p", dst_color_range=spread, **options))
    return np.stack([frame.to_ndarray() for frame in planes])


def ffmpegs(planes: np.ndarray, matrix: str, full: bool) -> np.ndarray:
    """The RGB that FFmpeg makes of them where it takes pains: (T, H, W, 3)."""
    pictures = []
    for picture in planes:
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.colorspace, frame.color_range = SPACES[matrix], 2 if full else 1
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        graph = av.filter.Graph()
        source = (
            f"video_size={frame.width}x{frame.height}:pix_fmt=yuv420p:time_base=1/25"
            f":colorspace={SPACES[matrix]}:range={2 if full else 1}"
        )
        graph.link_nodes(
            graph.add("buffer", source),
            graph.add("scale", f"flags={PAINS}:in_chroma_loc=left"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ).configure()
        graph.push(frame)
        pictures.append(graph.pull().to_ndarray())
    return np.stack(pictures)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pictures", [smooth(), counted_frames(3, 64, 96)], ids=["smooth", "rough"])
def test_ffmpeg_makes_the_same_of_them_but_for_rounding(
    pictures: np.ndarray, matrix: str, full: bool
) -> None:
    planes = coded(pictures, matrix, full)
    colours = torch.tensor([colour_code(Colour(matrix, full))])
    rgb = planes_to_rgb(torch.from_numpy(planes)[None], colours)[0]
    assert rgb.shape == pictures.shape
    error = rgb - torch.from_numpy(ffmpegs(planes, matrix, full))
    assert error.abs().max() <= 0.6
    assert error.mean().abs() <= 0.03  # no darker, no brighter


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
def test_the_standards_formula(matrix: str, full: bool) -> None:
    """One colour forward by the definition of Y, Cb and Cr, and back by ours."""
    kr, kb = KR_KB[matrix]
    red, green, blue = 200.0, 90.0, 40.0
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))
    if not full:
        y, cb, cr = 16 + y * 219 / 255, cb * 224 / 255, cr * 224 / 255
    planes = np.concatenate([np.full((4, 4), round(y)), np.full((1, 4), round(128 + cb))])
    planes = np.concatenate([planes, np.full((1, 4), round(128 + cr))]).astype(np.uint8)
    colours = torch.tensor([colour_code(Colour(matrix, full))])
    rgb = planes_to_rgb(torch.from_numpy(planes)[None, None], colours)
    # half a level of each plane, times the largest factor
    torch.testing.assert_close(
        rgb.view(-1, 3), torch.tensor([[red, green, blue]]).expand(16, 3), rtol=0, atol=1.8
    )


@given(st.integers(1, 6), st.integers(1, 6), st.floats(-3, 3), st.floats(-3, 3))
def test_a_plane_of_chroma_stays_a_plane_with_left_siting(
    height: int, width: int, along_x: float, along_y: float
) -> None:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    # a sample of chroma lies at column 2 x of the lumas, and between rows 2 y and 2 y + 1
    chroma = along_x * 2 * x + along_y * (2 * y + 0.5)
    out = upsample(chroma.float()[None, None])[0, 0]
    rows, columns = torch.meshgrid(torch.arange(2 * height), torch.arange(2 * width), indexing="ij")
    expected = along_x * columns.clamp(max=2 * width - 2) + along_y * rows.clamp(
        0.5, 2 * height - 1.5
    )
    torch.testing.assert_close(out, expected.float(), rtol=1e-4, atol=1e-4)


def test_each_clip_of_a_batch_has_its_own_colours() -> None:
    planes = torch.randint(0, 256, (3, 2, 12, 8), dtype=torch.uint8)
    colours = torch.tensor([0, 3, 4])
    together = planes_to_rgb(planes, colours, rounded=True)
    assert together.dtype == torch.uint8
    for number in range(3):
        one = slice(number, number + 1)
        alone = planes_to_rgb(planes[one], colours[one])
        assert torch.equal(together[one], alone.round().to(torch.uint8))


CLIP = ClipConfig(
    frames=4, stride=2, crop=32, short_side=[32, 40], test_crop=32, test_short_side=36
)


@pytest.fixture
def index(tmp_path: Path) -> VideoIndex:
    """A smooth video, and one of texture and a bright bar."""
    files = [
        write_video(tmp_path / "smooth.mp4", smooth(20), crf=4),
        write_video(tmp_path / "textured.mp4", counted_frames(20), crf=4),
    ]
    return VideoIndex.build(files, [0, 1], ["smooth", "textured"])


def test_both_ways_of_transfer_give_nearly_the_same_pictures(index: VideoIndex) -> None:
    """FFmpeg's quick conversion, in the rgb way, repeats chroma and rounds down."""
    as_is = Normalisation(mean=[0, 0, 0], std=[1, 1, 1])
    for row, (mean, most) in enumerate([(2.2, 8), (4.0, 120)]):
        pictures = []
        for transfer in ("rgb", "yuv"):
            decoding = Decoding(transfer=transfer)
            views = VideoViews(index, CLIP, clips=2, crops=3, decoding=decoding)
            clips = TrainingClips(index, CLIP, seed=1, flip=1.0, decoding=decoding)
            batch = collate([*views.views(row), clips[(0, row)]])
            assert batch.clips is not None
            out = prepare_clips(batch.clips, as_is, batch.flips, colours=batch.colours)
            assert out.shape == (7, 3, 4, 32, 32)
            pictures.append(255 * out)
            bytes_ = batch.clips.numel()
        error = (pictures[0] - pictures[1]).abs()
        assert error.mean() <= mean
        assert error.max() <= most
        assert bytes_ * 2 == pictures[0].numel()


def test_planes_without_their_colours_are_an_error() -> None:
    with pytest.raises(ValueError, match="need the colours of their batch"):
        prepare_clips(torch.zeros(1, 2, 6, 4, dtype=torch.uint8), Normalisation())
