"""Ways of decoding: what is refused before anything is read."""

import sys
from pathlib import Path

import pytest
import torch

from video_gc.data.config import DataConfig
from video_gc.data.dataset import TrainingClips, VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig


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
