import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorchvideo.models.hub.x3d import x3d_m

from tests.conftest import SHARED, counted_frames
from video_gc import Recognizer
from video_gc.backbones.published import PUBLISHED
from video_gc.data.index import DataError
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError
from video_gc.predict.batch import predict_all
from video_gc.predict.timeline import print_prediction
from video_gc.progress import say
from video_gc.train.checkpoint_paths import checkpoint_in


def test_a_file_and_its_frames_give_the_same(checkpoint: Path, video: Path) -> None:
    recognizer = Recognizer(checkpoint, device="cpu")
    with open_video(video) as reader:
        frames = reader.read(range(len(reader)), size=(32, 43))
    one, two = recognizer.predict(video), recognizer.predict(frames, fps=30)
    torch.testing.assert_close(one.scores, two.scores, rtol=0.05, atol=0.02)
    assert [(w.start, w.end) for w in one.windows] == [(w.start, w.end) for w in two.windows]


def test_windows_cover_the_video_and_average_to_the_scores(checkpoint: Path, video: Path) -> None:
    prediction = Recognizer(checkpoint, device="cpu", micro_batch=2).predict(video)
    assert len(prediction.windows) == 6  # spans of 7 frames in 40
    assert prediction.windows[0].start == 0
    assert prediction.windows[-1].end == pytest.approx(40 / 30)
    mean = torch.stack([window.scores for window in prediction.windows]).mean(0)
    torch.testing.assert_close(prediction.scores, mean)
    assert float(mean.sum()) == pytest.approx(1)
    whole = Recognizer(checkpoint, device="cpu", micro_batch=64).predict(video)
    torch.testing.assert_close(whole.scores, prediction.scores, rtol=1e-4, atol=1e-6)


def test_top_and_json(checkpoint: Path, video: Path) -> None:
    prediction = Recognizer(checkpoint).predict(video)
    top = prediction.top(9)
    assert {name for name, _ in top} == {"bright", "dark"}
    assert top[0][1] >= top[1][1]
    content = json.loads(json.dumps(prediction.to_dict(1)))
    assert content["top"] == [{"label": top[0][0], "score": pytest.approx(top[0][1], abs=1e-6)}]
    assert content["timeline"][1]["start"] == pytest.approx(7 / 30, abs=1e-3)


def test_a_short_video_is_one_window(checkpoint: Path) -> None:
    prediction = Recognizer(checkpoint).predict(counted_frames(3), fps=10)
    assert [(w.start, w.end) for w in prediction.windows] == [(0, 0.3)]


def test_what_cannot_be_predicted(checkpoint: Path, damaged: dict[str, Path]) -> None:
    recognizer = Recognizer(checkpoint)
    with pytest.raises(FileNotFoundError, match="no such file"):
        recognizer.predict("nowhere.mp4")
    for path in damaged.values():
        with pytest.raises(DecodeError, match=path.name):
            recognizer.predict(path)
    with pytest.raises(ValueError, match="uint8"):
        recognizer.predict(np.zeros((3, 8, 8, 3)))


def test_names_with_brackets_and_dollars_come_through(
    checkpoint: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "My clip [dQw4w9WgXcQ] $5_$ [/x].mp4".replace("/", "-")
    shutil.copy(video, odd)
    (prediction,) = predict_all(checkpoint, [odd], tmp_path / "out")
    print_prediction(prediction)
    assert odd.name in capsys.readouterr().out
    say(f"{odd}: [/broken] [bold]")  # no MarkupError


def test_many_files_in_a_row(
    checkpoint: Path, video: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:
    given = [video, damaged["text"], video]
    done = list(predict_all(checkpoint, given, tmp_path, device="cpu"))
    assert [type(item).__name__ for item in done] == ["Prediction", "OpenError", "Prediction"]
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(pictures) == 2  # the same name twice, but two pictures
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        list(predict_all(checkpoint, [tmp_path / "none"], tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no videos in this folder"):
        list(predict_all(checkpoint, [tmp_path / "empty"], tmp_path))


def test_a_folder_of_that_name_does_not_hide_published_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow_r50").mkdir()
    assert checkpoint_in(Path("slow_r50")) == Path("slow_r50")


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")
def test_every_shared_video_is_read(checkpoint: Path, tmp_path: Path) -> None:
    done = list(predict_all(checkpoint, [SHARED / "clips", SHARED / "videos"], tmp_path))
    assert len(done) == 34
    assert not [item for item in done if isinstance(item, Exception)]


def test_published_weights_bring_the_classes_of_kinetics(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    zoo = x3d_m().state_dict()
    torch.save({"model_state": zoo}, tmp_path / "zoo.pyth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    local = replace(PUBLISHED["x3d_xs"], url=(tmp_path / "zoo.pyth").as_uri())
    monkeypatch.setitem(PUBLISHED, "x3d_xs", local)
    recognizer = Recognizer("x3d_xs")
    assert len(recognizer.names) == 400
    assert recognizer.names[5] == "archery"
    assert torch.equal(
        recognizer.model.state_dict()["blocks.5.proj.bias"], zoo["blocks.5.proj.bias"]
    )
    prediction = recognizer.predict(video)
    assert prediction.scores.shape == (400,)
    assert prediction.scores.sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(FileNotFoundError, match="x3d_xxs: no such checkpoint, nor published weigh"):
        Recognizer("x3d_xxs")


def test_precision_and_backend_are_chosen_and_said(checkpoint: Path, video: Path) -> None:
    exact = Recognizer(checkpoint, device="cpu", precision="fp32")
    rough = Recognizer(checkpoint, device="cpu", precision="bf16")
    assert exact.network.about == "fp32, eager, 53 norms folded, cpu"
    assert rough.network.about.startswith("bf16")
    one, two = exact.predict(video).scores, rough.predict(video).scores
    assert not torch.equal(one, two)
    torch.testing.assert_close(one, two, rtol=0.05, atol=0.05)
    with pytest.raises(ValueError, match="backend"):
        Recognizer(checkpoint, backend="tensorrt")


def test_frames_in_memory_come_in_many_kinds(checkpoint: Path) -> None:
    recognizer, frames = Recognizer(checkpoint, device="cpu"), counted_frames(12)
    expected = recognizer.predict(frames).scores
    tensor = torch.from_numpy(frames)
    for given in (
        tensor, list(frames), tuple(tensor), list(tensor), tensor.permute(0, 3, 1, 2),
        [frame.permute(2, 0, 1) for frame in tensor], [Image.fromarray(f) for f in frames],
    ):  # fmt: skip
        torch.testing.assert_close(recognizer.predict(given).scores, expected, rtol=0, atol=0)
    for wrong in ([], tensor.float(), [frames[0], frames[1, :8]], frames[0], ["a.mp4"]):
        with pytest.raises(ValueError, match="frames must be"):
            recognizer.predict(wrong)
    with pytest.raises(ValueError, match=r"rate of the frames \(0 Hz\)"):
        recognizer.predict(frames, fps=0)


def test_bytes_and_open_files_are_videos(checkpoint: Path, video: Path) -> None:
    recognizer = Recognizer(checkpoint, device="cpu")
    expected = recognizer.predict(video).scores
    with video.open("rb") as file:
        for source in (video.read_bytes(), file):
            torch.testing.assert_close(recognizer.predict(source).scores, expected)


def test_a_window_spans_the_time_of_the_training(checkpoint: Path) -> None:
    recognizer = Recognizer(checkpoint, device="cpu", precision="fp32")  # trained at 30 Hz, 4×2
    frames = counted_frames(60)
    one = recognizer.predict(frames, fps=30).windows[0]
    for film, fps in ((np.repeat(frames, 2, axis=0), 60), (frames[::2], 15)):
        other = recognizer.predict(film, fps=fps).windows[0]
        torch.testing.assert_close(other.scores, one.scores, rtol=0, atol=0)
        assert other.end - other.start == pytest.approx(6 / 30 + 1 / fps, abs=1e-5)
    near = recognizer.predict(frames, fps=30000 / 1001).windows[0]
    torch.testing.assert_close(near.scores, one.scores, rtol=0, atol=0)
    recognizer.contract = replace(recognizer.contract, fps=None)  # frames count, not time
    assert recognizer.predict(frames, fps=15).windows[0].end == pytest.approx(7 / 15, abs=1e-5)
