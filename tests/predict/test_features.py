"""Features of stages: the right numbers at the right times."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import randomise
from tests.decode.videos import COUNT, RATE, encode, x264
from video_gc.backbones.stages import residual_blocks
from video_gc.decode.open import open_video
from video_gc.deploy.inference_network import fast_network
from video_gc.models.build import ModelConfig, build_model
from video_gc.outputs import read_csv
from video_gc.predict.features import FeatureOptions, StageFeatures, features_all, layers
from video_gc.predict.recognizer import Recognizer
from video_gc.predict.views import window_frames

CPU = torch.device("cpu")


def output_of(model: nn.Module, layer: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """The mean of a layer's output over its positions, by a hook of our own."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.inference_mode():
        model(clips)
    hook.remove()
    return seen[0].flatten(2).mean(2)


@pytest.mark.parametrize("layer", ["res4", "res4.5", "res2.0"])
def test_features_are_those_of_the_trained_network(
    checkpoint: Path, video: Path, layer: str
) -> None:
    recognizer = Recognizer(checkpoint, device="cpu", precision="fp32")
    randomise(recognizer.model, 3).eval()
    recognizer.network = fast_network(recognizer.model, (4, 32, 32), device=CPU, precision="fp32")
    compute = StageFeatures(recognizer, layer)
    with open_video(video) as reader:
        windows = window_frames(recognizer.contract, reader)
        clips = recognizer.prepare(next(recognizer.views(reader, windows)))
    blocks = residual_blocks(recognizer.model)
    last = [name for name in blocks if name.startswith(layer)][-1]  # res4.5 has a GC block
    expected = output_of(recognizer.model, blocks[last], clips)
    torch.testing.assert_close(compute(clips), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("config", "layer", "same"),
    [
        ({"backbone": "slowfast", "width": 0.25}, "res3", "slow.res3"),
        ({"backbone": "image", "image_network": "resnet18"}, "res3", "res3"),
        ({"backbone": "image", "image_network": "mobilenet_v3_small"}, "features", "features"),
    ],
)
def test_other_networks(config: dict[str, object], layer: str, same: str) -> None:
    model = build_model(ModelConfig(num_classes=2, weights=None, **config)).eval()  # type: ignore[arg-type]
    frames = 32 if config["backbone"] == "slowfast" else 2
    network = fast_network(model, (frames, 64, 64), device=CPU, precision="fp32")
    clips = torch.randn(2, 3, frames, 64, 64, generator=torch.Generator().manual_seed(0))
    got = StageFeatures(SimpleNamespace(network=network), layer)(clips)  # type: ignore[arg-type]
    expected = output_of(model, layers(model)[same], clips)
    assert expected.shape[0] == 2
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_an_unknown_layer_is_answered_with_the_names(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="no such layer; did you mean 'res4.4'"):
        StageFeatures(Recognizer(checkpoint, device="cpu"), "res44")


def test_a_file_has_the_windows_and_their_times(
    checkpoint: Path, video: Path, tmp_path: Path
) -> None:
    ((file, found),) = features_all(
        checkpoint, [video], tmp_path, FeatureOptions(layer="res3", overlap=0.5), "cpu"
    )
    with np.load(file) as kept:
        assert kept["features"].shape == (11, found.rows.shape[1])  # spans of 7 in 40, 3.5 apart
        assert kept["features"].dtype == np.float32
        assert kept["start"][:3].tolist() == pytest.approx([0, 3 / 30, 7 / 30], abs=1e-5)
        assert kept["end"][[0, -1]].tolist() == pytest.approx([7 / 30, 40 / 30], abs=1e-5)
        assert kept["centre"].tolist() == ((kept["start"] + kept["end"]) / 2).tolist()
        assert float(kept["rate"]) == 30
        assert float(kept["window"]) == pytest.approx(7 / 30, abs=1e-5)
        assert 3 / 30 <= float(kept["stride"]) <= 4 / 30
        assert str(kept["layer"]) == "res3"
        assert str(kept["weights"]) == Recognizer(checkpoint, device="cpu").contract.weights
        assert str(kept["video"]) == str(video)


def test_one_row_is_the_mean_of_all(checkpoint: Path, video: Path, tmp_path: Path) -> None:
    given = checkpoint, [video]
    ((_, rows),) = features_all(*given, tmp_path / "a", FeatureOptions(layer="res3"), "cpu")
    options = FeatureOptions(layer="res3", pool=True)
    ((file, one),) = features_all(*given, tmp_path / "b", options, "cpu")
    np.testing.assert_allclose(one.rows, rows.rows.mean(0, keepdims=True), rtol=1e-5)
    assert (one.start.tolist(), one.end.tolist()) == ([0.0], [rows.end[-1]])
    with np.load(file) as kept:
        assert kept["features"].shape == one.rows.shape
        assert int(kept["windows"]) == len(rows.rows) > 1
        assert float(kept["window"]) == rows.window < one.end[0]  # of what was averaged
        assert float(kept["stride"]) == rows.stride > 0


def test_times_are_those_at_which_frames_are_shown(checkpoint: Path, tmp_path: Path) -> None:
    """The file begins late, and from frame 20 on, frames last twice as long."""
    odd = encode(
        tmp_path / "odd.mp4", "libx264", x264(), stamps=lambda i: 3000 + i + max(i - 20, 0)
    )
    ((_, found),) = features_all(
        checkpoint, [odd], tmp_path / "out", FeatureOptions(layer="res2"), "cpu"
    )
    expected = np.array([i + max(i - 20, 0) for i in range(COUNT)]) / RATE
    assert found.start[0] == 0
    assert found.end[-1] == pytest.approx(expected[-1] + 1 / found.rate, abs=1e-4)
    assert set(found.start.round(3)) <= set(expected.round(3))
    assert found.window == pytest.approx(7 / 30, abs=2.1 / RATE)  # the time, not the frames


@pytest.mark.slow
def test_kept_files_and_damaged_ones(
    checkpoint: Path, video: Path, damaged: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    given = [video, damaged["text"], damaged["zero-byte"]]
    calls: list[int] = []
    plain = StageFeatures.__call__

    def counted(self: StageFeatures, clips: torch.Tensor) -> torch.Tensor:
        calls.append(len(clips))
        return plain(self, clips)

    monkeypatch.setattr(StageFeatures, "__call__", counted)

    def run(layer: str = "res2") -> list[type]:
        calls.clear()
        options = FeatureOptions(layer=layer)
        return [type(each) for each in features_all(checkpoint, given, tmp_path, options, "cpu")]

    run()
    assert sum(calls) == 6
    _, rows = read_csv(tmp_path / "skipped.csv")
    assert [Path(row["path"]).name for row in rows] == ["text.mp4", "zero-byte.mp4"]
    run()
    assert calls == []
    run("res3")
    assert sum(calls) == 6
    given[1:] = []
    run("res3")
    assert not (tmp_path / "skipped.csv").exists()
