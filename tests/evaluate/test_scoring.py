"""Multi-view testing of a small checkpoint: scores, files, damage."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorchvideo.models.hub.x3d import x3d_m

from tests.conftest import counted_frames, slow
from tests.evaluate.scoring import score_views
from video_gc.backbones.published import PUBLISHED
from video_gc.data import reading
from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.annotations.lists import read_list
from video_gc.data.dataset import VideoViews
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.sampling import ClipConfig
from video_gc.data.splits import read_splits
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.decode.write import write_video
from video_gc.deploy.device import pick_device
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.evaluate.metrics import accuracy
from video_gc.evaluate.results import write_predictions
from video_gc.evaluate.scores import Scores
from video_gc.evaluate.views import score_videos
from video_gc.train.checkpoint import default_output, load_network


def test_a_checkpoint_carries_all_that_prediction_needs(checkpoint: Path) -> None:
    model, contents = load_network(checkpoint)
    assert contents.names == ["bright", "dark"]
    assert contents.clip == ClipConfig(
        frames=4, stride=2, crop=32, short_side=[32, 40], test_crop=32, test_short_side=32
    )
    assert contents.normalisation == Normalisation()
    assert contents.model.context.kind == "gc"
    assert not model.training


def test_views_are_decoded_on_the_device_that_scores_them(
    clips_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("video_gc.evaluate.views.view_loader", lambda _, **n: given.update(n) or [])
    gpu = torch.device("cuda", 1)
    views = VideoViews(read_class_folders(clips_folder), ClipConfig(), clips=1, crops=1)
    assert not list(score_videos([], views, Normalisation(), micro_batch=4, workers=0, device=gpu))
    assert given["device"] == gpu


@pytest.mark.parametrize("workers", [slow(0), 2])
def test_multi_view_scores_equal_a_plain_loop(
    checkpoint: Path, clips_folder: Path, tmp_path: Path, workers: int
) -> None:
    model, contents = load_network(checkpoint)
    index = read_class_folders(clips_folder)
    views = VideoViews(index, contents.clip, clips=3, crops=3)
    result = score_views(
        model, views, contents.normalisation, micro_batch=5, workers=workers,
    )  # fmt: skip
    right = []
    for video in range(len(index)):
        clips = torch.stack([torch.from_numpy(view.clip) for view in views.views(video)])
        with torch.inference_mode():
            scores = model(prepare_clips(clips, contents.normalisation)).softmax(1)
        torch.testing.assert_close(result.scores[video], scores.mean(0), rtol=1e-4, atol=1e-5)
        right += (scores.argmax(1) == index.labels[video]).tolist()
    assert result.views.tolist() == [9] * 12
    assert result.clip_level.count == 108
    assert result.clip_level.top1 == pytest.approx(sum(right) / 108)
    expected = (result.scores.argmax(1) == torch.from_numpy(index.labels)).float().mean()
    assert result.video_level.top1 == pytest.approx(float(expected))


@pytest.mark.usefixtures("drawn")
def test_results_on_disk(checkpoint: Path, clips_folder: Path, tmp_path: Path) -> None:
    done = evaluate(
        checkpoint, TestOptions(data=clips_folder, clips=2, crops=1, out=tmp_path, workers=0)
    )
    assert [file.name for file in done.files] == [
        "predictions.csv",
        "scores.npy",
        "accuracy.json",
        "classes.csv",
        "confusion.csv",
        "confusion.png",
        "pairs.csv",
        "calibration.png",
        "classes.png",
        *(["pairs.png"] if done.result.video_level.top1 < 1 else []),
        "events.out.tfevents.test",
    ]
    rows = list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))
    assert len(rows) == 12
    assert list(rows[0]) == ["path", "label", "top1", "score1", "top2", "score2", "views"]
    top1 = sum(row["label"] == row["top1"] for row in rows) / 12
    summary = json.loads((tmp_path / "accuracy.json").read_text())
    assert summary["video_level"]["top1"] == pytest.approx(top1)
    assert (summary["clips"], summary["crops"], summary["not_scored"]) == (2, 1, 0)
    for row in rows:
        assert float(row["score1"]) + float(row["score2"]) == pytest.approx(1, abs=1e-5)
        assert row["views"] == "2"
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_damaged_test_videos_are_counted_not_scored(
    checkpoint: Path, clips_folder: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:
    lines = [f"{path} {path.parent.name}" for path in sorted(clips_folder.rglob("*.mp4"))[:4]]
    lines += [f"{path} dark" for path in damaged.values()]
    (tmp_path / "test.txt").write_text("\n".join(lines))
    done = evaluate(checkpoint, TestOptions(data=tmp_path / "test.txt", out=tmp_path, workers=0))
    assert done.result.not_scored == 4
    assert done.result.video_level.count == 4
    assert len(list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))) == 4
    listed = {
        Path(row["path"]).stem
        for row in csv.DictReader((tmp_path / "skipped.csv").read_text().splitlines())
    }
    assert listed == set(damaged)


def test_a_video_that_fails_half_way_is_not_scored(
    checkpoint: Path, clips_folder: Path, tmp_path: Path
) -> None:
    hurt = write_video(tmp_path / "hurt.mp4", counted_frames(60, 96, 128), keyframe_interval=10)
    content = bytearray(hurt.read_bytes())
    content[len(content) // 3 : 2 * len(content) // 3] = bytes(len(content) // 3)
    hurt.write_bytes(content)
    sound = sorted(clips_folder.rglob("*.mp4"))[0]
    (tmp_path / "test.txt").write_text(f"{hurt} dark\n{sound} bright\n")
    _, contents = load_network(checkpoint)
    index = read_list(tmp_path / "test.txt", names=contents.names)
    views = VideoViews(index, contents.clip, clips=8, crops=1)
    assert sum(bool(view.clip.size) for view in views.views(0)) > 1  # some views came first
    done = evaluate(
        checkpoint, TestOptions(data=tmp_path / "test.txt", clips=8, out=tmp_path, workers=0)
    )
    assert done.result.views.tolist() == [0, 24]
    assert done.result.clip_level.count == 24
    assert done.result.scores[0].tolist() == [0, 0]


def test_the_test_videos_are_those_that_were_held_out(
    run: Path, clips_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    splits = read_splits(copy / "splits")
    kept = splits.test
    assert not set(kept.paths) & set(splits.train.paths)
    done = evaluate(copy / "checkpoints/best.ckpt", TestOptions(workers=0))
    assert list(done.result.index.paths) == list(kept.paths)
    assert not set(kept.paths) & set(splits.val.paths)
    assert "on the run's test videos: 2 videos" in done.title
    assert done.note == ""
    moved = tmp_path / "elsewhere" / "best.ckpt"  # alone, it falls back on the config's data
    moved.parent.mkdir()
    shutil.copy(copy / "checkpoints/best.ckpt", moved)
    assert default_output(moved, "test") == Path("test")
    assert len(evaluate(moved, TestOptions(out=tmp_path, workers=0)).result.index) == len(kept)


def test_videos_that_chose_the_checkpoint_are_told(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    val = read_splits(copy / "splits").val
    given = [f"{path} {path.parent.name}\n" for path in val.paths]
    (tmp_path / "val.txt").write_text("".join(given))
    shutil.copy(copy / "splits/val.arrow", copy / "splits/test.arrow")
    metrics = copy / "logs/csv/version_0/metrics.csv"
    metrics.write_text("epoch,val/top1\n0,0.5\n1,0.897\n2,0.897\n3,0.59\n")
    best, last = (copy / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    note = (
        "validation videos, on which the checkpoint was chosen: an optimistic score; with one view "
        "a video, top-1 is 89.7% in epoch 2, the best, and 59.0% in epoch 4, the last"
    )
    for data in (None, tmp_path / "val.txt"):
        done = evaluate(best, TestOptions(workers=0, data=data, out=tmp_path / "test"))
        assert done.note == note
        about = json.loads((tmp_path / "test/accuracy.json").read_text())
        assert about["selection"]["last_value"] == 0.59
    done = evaluate(last, TestOptions(workers=0, out=tmp_path / "test"))
    assert done.note == ""
    assert "on the validation videos (the run has no other test videos)" in done.title
    shutil.rmtree(copy / "logs")
    done = evaluate(best, TestOptions(workers=0, out=tmp_path / "test"))
    assert done.note == note.partition(";")[0]


def score(checkpoint: Path, index: VideoIndex, tmp_path: Path, crops: int = 1) -> Scores:
    model, contents = load_network(checkpoint)
    views = VideoViews(index, contents.clip, clips=1, crops=crops)
    return score_views(
        model, views, contents.normalisation, micro_batch=5, workers=0,
    )  # fmt: skip


def test_videos_without_label_are_refused_before_any_is_read(
    checkpoint: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(clips_folder.glob("dark/*.mp4"))
    index = VideoIndex.build(paths, [1, 1, -1, 1, -1, 1], ["bright", "dark"])
    monkeypatch.setattr(reading, "open_video", None)
    with pytest.raises(DataError, match=r"dark/2.mp4: has no label, like 2 of 6 videos; they can"):
        score(checkpoint, index, tmp_path)


def test_ten_crops_say_that_they_mirror_classes_with_a_side(
    checkpoint: Path, clips_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for names, crops, expected in (
        (["Swiping Left", "Clapping"], 10, True),
        (["Swiping Left", "Clapping"], 3, False),
        (["bright", "dark"], 10, False),
    ):
        index = VideoIndex.build([clips_folder / "dark" / "0.mp4"], [1], names)
        assert score(checkpoint, index, tmp_path, crops).views.tolist() == [crops]
        said = " ".join(capfd.readouterr().err.split())
        assert ("names have a side: Swiping Left (1 of 2 classes)" in said) == expected


def test_devices_are_checked() -> None:
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="unknown device 'foo'; use cpu, cuda"):
        pick_device("foo")
    with pytest.raises(ValueError, match="this machine has"):
        pick_device("cuda:99")


def test_a_checkpoint_that_does_not_fit_is_one_line(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.ckpt: no such checkpoint"):
        load_network(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(ValueError, match="text.ckpt: not a checkpoint of video-gc train"):
        load_network(tmp_path / "text.ckpt")
    content = torch.load(checkpoint, weights_only=True)
    for change in ({"num_classes": 3}, {"backbone": "slow"}, {"width": 0.25}):
        hurt = {**content, "video_gc": {**content["video_gc"]}}
        hurt["video_gc"]["model"] = {**content["video_gc"]["model"], **change}
        if "num_classes" in change:
            hurt["video_gc"]["names"] = ["a", "b", "c"]
        torch.save(hurt, tmp_path / "hurt.ckpt")
        with pytest.raises(ValueError, match="weights have another architecture or class count"):
            load_network(tmp_path / "hurt.ckpt")


def test_a_checkpoint_that_is_not_finite_is_not_tested(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    layer = next(name for name in reversed(content["state_dict"]) if name.endswith(".bias"))
    content["state_dict"][layer][0] = float("nan")
    torch.save(content, tmp_path / "nan.ckpt")
    parameter = layer.removeprefix("model.").removeprefix("average.")
    with pytest.raises(ValueError, match=f"nan.ckpt: 1 of .* values of {parameter} are not finite"):
        load_network(tmp_path / "nan.ckpt")


def test_five_best_of_many_classes(tmp_path: Path) -> None:
    index = VideoIndex.build(["a.mp4"], [3], [f"class {i}" for i in range(9)])
    scores = torch.arange(9.0)[None] / 36
    level = accuracy(scores, torch.tensor([3]))
    file = write_predictions(
        Scores(index, scores, torch.tensor([1]), level, level), tmp_path / "p.csv"
    )
    (row,) = csv.DictReader(file.read_text().splitlines())
    assert [row[f"top{rank}"] for rank in range(1, 6)] == [f"class {i}" for i in (8, 7, 6, 5, 4)]
    assert row["label"] == "class 3"


@pytest.mark.slow  # tests/predict has them in the quick suite
def test_published_weights_are_tested_on_given_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips_folder: Path
) -> None:
    torch.save({"model_state": x3d_m().state_dict()}, tmp_path / "zoo.pyth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    local = replace(PUBLISHED["x3d_xs"], url=(tmp_path / "zoo.pyth").as_uri())
    monkeypatch.setitem(PUBLISHED, "x3d_xs", local)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="x3d_xs: published weights have no videos; give --data"):
        evaluate(Path("x3d_xs"))
    folder = tmp_path / "videos" / "abseiling"
    folder.mkdir(parents=True)
    shutil.copy(clips_folder / "dark" / "0.mp4", folder)
    done = evaluate(Path("x3d_xs"), TestOptions(data=folder.parent, clips=1, crops=1, workers=0))
    assert done.result.video_level.count == 1
    assert (tmp_path / "runs" / "x3d_xs" / "test" / "predictions.csv").is_file()
