"""Ways of decoding: what is refused before anything is read."""

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import counted_frames
from video_gc.data.config import DataConfig
from video_gc.data.dataset import TrainingClips, VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.reading import Decoding, common_rate
from video_gc.data.sampling import ClipConfig
from video_gc.decode.write import write_video


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decode_device": "tpu"}, "data.decode_device .'tpu'. must be one of cpu, cuda"),
        ({"transfer": "jpeg"}, "data.transfer .'jpeg'. must be one of rgb, yuv"),
    ],
)
def test_unknown_ways_of_decoding(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(**options)


def test_whether_this_machine_can_decode_does_not_depend_on_the_file(
    video: Path, damaged: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (video, *damaged.values(), tmp_path / "none.mp4"):
        Decoding().check_decoder(path)
    with pytest.raises(ValueError, match=r"must be auto or frames for a folder"):
        Decoding("pyav").check_decoder(tmp_path)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(ImportError, match="torchcodec"):
        Decoding("torchcodec").check_decoder(video)


def test_planes_need_even_sizes() -> None:
    index, planes = VideoIndex.build(["a.mp4"], [0], ["a"]), Decoding(transfer="yuv")
    odd = ClipConfig(crop=31, test_crop=33)
    with pytest.raises(ValueError, match=r"clip.crop \(31\) must be even with data.transfer=yuv"):
        TrainingClips(index, odd, seed=0, flip=0, decoding=planes)
    with pytest.raises(ValueError, match=r"clip.test_crop \(33\) must be even"):
        VideoViews(index, odd, clips=1, crops=1, decoding=planes)
    TrainingClips(index, odd, seed=0, flip=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_the_option_gives_one_line() -> None:
    with pytest.raises(ValueError, match="there is no CUDA device here; use cpu"):
        Decoding(device="cuda")


def test_the_common_rate_of_a_data_set(tmp_path: Path) -> None:
    files = [
        write_video(tmp_path / f"{number}.mp4", counted_frames(3), fps=30) for number in range(10)
    ]
    index = VideoIndex.build([str(file) for file in files], [0] * 10, ["one"])
    assert common_rate(index, Decoding()) == 30
    files[3].write_bytes(b"no video")
    write_video(files[4], counted_frames(3), fps=25)
    assert common_rate(index, Decoding()) is None  # 8 of 9 are less than nine tenths
    files[4].write_bytes(b"")
    assert common_rate(index, Decoding()) == 30
    for file in files:
        file.write_bytes(b"")
    assert common_rate(index, Decoding()) is None


def test_images_have_no_rate_unless_a_file_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (32, 24)).save(tmp_path / "1.png")
    index = VideoIndex.build([str(tmp_path)], [0], ["one"])
    assert common_rate(index, Decoding()) is None  # 25 Hz would be an invention
    (tmp_path / "rate.txt").write_text("12.5")
    assert common_rate(index, Decoding()) == 12.5
