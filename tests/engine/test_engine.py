"""Optimiser, schedule, accuracy, training and testing on a folder of a dozen small videos."""

import csv
import json
import math
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from tests.conftest import SMALL, counted_frames
from video_gc.analysis.report import read_metrics
from video_gc.config import compose_train
from video_gc.data.annotations import DataError, VideoIndex, read_class_folders, read_list
from video_gc.data.dataset import VideoViews
from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.decode.write import write_video
from video_gc.engine.checkpoint import default_output, load_network
from video_gc.engine.device import pick_device
from video_gc.engine.evaluation import evaluate
from video_gc.engine.metrics import accuracy, confusion
from video_gc.engine.optim import OptimConfig, build_optimizer, build_schedule
from video_gc.engine.testing import score_views, write_predictions
from video_gc.engine.training import train
from video_gc.engine.troubles import TroubleLog


def test_vectors_do_not_decay() -> None:
    model = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Linear(4, 2))
    for name in ("sgd", "adamw"):
        optimizer = build_optimizer(model, OptimConfig(optimizer=name, weight_decay=0.3))
        decays = {p: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
        assert len(decays) == len(list(model.parameters()))
        assert all(decay == (0.3 if p.ndim > 1 else 0) for p, decay in decays.items())


def test_warm_up_then_half_a_cosine() -> None:
    model = nn.Linear(1, 1)
    config = OptimConfig(lr=0.8, warmup_epochs=2, warmup_start=0.25)
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, epochs=10, steps_per_epoch=4)
    rates = []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.2)
    assert rates[4] == pytest.approx(0.5)
    assert rates[8] == pytest.approx(0.8)
    assert rates[24] == pytest.approx(0.4)
    assert rates[39] == pytest.approx(0.4 * (1 + math.cos(math.pi * 31 / 32)))


@pytest.mark.parametrize(
    ("values", "message"), [({"optimizer": "adam"}, "one of sgd, adamw"), ({"lr": 0.0}, "above 0")]
)
def test_impossible_optimisers(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimConfig(**values)


def test_accuracy() -> None:
    scores = torch.eye(6)[[0, 1, 2, 2, 3, 0]] + 0.01 * torch.arange(6.0)
    labels = torch.tensor([0, 1, 2, 2, 2, 5])
    found = accuracy(scores, labels)
    assert found.top1 == pytest.approx(4 / 6)
    assert found.mean_class == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert found.top5 == pytest.approx(1.0)
    assert accuracy(scores, torch.tensor([0, 1, 2, 2, 2, 1])).top5 == pytest.approx(5 / 6)
    assert found.count == 6
    assert confusion(scores, labels)[2].tolist() == [0, 0, 2, 1, 0, 0]
    assert accuracy(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long)).count == 0


def options(clips_folder: Path, runs: Path, *more: str) -> list[str]:
    return [*SMALL, f"data.root={clips_folder}", f"runs={runs}", *more]


def test_a_run_directory_holds_what_it_promises(run: Path) -> None:
    assert yaml.safe_load((run / "config.yaml").read_text())["clip"]["frames"] == 4
    assert yaml.safe_load((run / "versions.yaml").read_text())["torch"] == version("torch")
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert list((run / "logs" / "tensorboard").glob("events.*"))
    rows = list(csv.DictReader((run / "logs/csv/version_0/metrics.csv").open()))
    assert {row["epoch"] for row in rows if row["val/top1"]} == {"0", "1"}
    assert all(float(row["train/loss"]) > 0 for row in rows if row["train/loss"])
    assert not (run / "skipped.csv").exists()


def test_a_checkpoint_carries_all_that_prediction_needs(checkpoint: Path) -> None:
    model, contents = load_network(checkpoint)
    assert contents.names == ["bright", "dark"]
    assert contents.clip == ClipConfig(
        frames=4, stride=2, crop=32, short_side=[32, 40], test_crop=32, test_short_side=32
    )
    assert contents.normalisation == Normalisation()
    assert contents.model.context.kind == "gc"
    assert not model.training


def test_training_is_reproducible_and_learns(run: Path, clips_folder: Path, tmp_path: Path) -> None:
    again = train(compose_train(options(clips_folder, tmp_path, "name=small")))
    one, two = (
        torch.load(d / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for d in (run, again)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    fresh = train(
        compose_train(options(clips_folder, tmp_path, "name=one", "epochs=1", "steps_per_epoch=1"))
    )
    first = torch.load(fresh / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert any(not torch.equal(one[name], first[name]) for name in one)
    longer = train(compose_train(options(clips_folder, tmp_path, "name=long", "epochs=12")))
    losses = [value for _, value in read_metrics(longer / "logs")["train/loss"]]
    assert losses[-1] < 0.3 * losses[0]
    result = evaluate(longer / "checkpoints/last.ckpt", data=clips_folder, workers=0).result
    assert result.video_level.top1 == 1  # bright and dark


def test_mixed_precision_smoothing_and_clipping_reach_the_trainer(
    run: Path, clips_folder: Path, tmp_path: Path
) -> None:
    seen = {}
    for name, option in (
        ("bf16", "precision=bf16"), ("smooth", "label_smoothing=0.4"), ("clip", "optim.clip_grad=0.001"),
    ):  # fmt: skip
        given = options(clips_folder, tmp_path, f"name={name}", option)
        directory = train(compose_train(given))
        seen[name] = read_metrics(directory / "logs")["train/loss"]
    plain = read_metrics(run / "logs")["train/loss"]
    for name, losses in seen.items():
        assert losses != plain, name
        assert abs(losses[0][1] - plain[0][1]) < 0.3, name


def test_resuming_after_an_epoch_equals_going_through(
    run: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from video_gc.engine.task import RecognitionTask

    given = options(clips_folder, tmp_path, "name=small", "resume=true")

    def stop(self: RecognitionTask) -> None:
        if self.current_epoch == 1:
            raise RuntimeError("the machine went away")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="went away"):
        patch.setattr(RecognitionTask, "on_train_epoch_start", stop)
        train(compose_train(given))
    late = clips_folder / "dark" / "late.mp4"  # a new file must not change what trains
    shutil.copy(clips_folder / "dark" / "0.mp4", late)
    try:
        directory = train(compose_train(given))
    finally:
        late.unlink()
    one, two = (
        torch.load(d / "checkpoints/last.ckpt", weights_only=True) for d in (run, directory)
    )
    assert one["epoch"] == two["epoch"] == 1
    assert all(torch.equal(one["state_dict"][k], two["state_dict"][k]) for k in one["state_dict"])
    assert train(compose_train(given)) == directory  # finished: nothing more to do


def test_a_run_directory_is_never_mixed(run: Path, clips_folder: Path) -> None:
    given = options(clips_folder, run.parent, "name=small")
    with pytest.raises(FileExistsError, match="this run exists; add resume=true .* or give name="):
        train(compose_train(given))
    with pytest.raises(ValueError, match="was started with another optim.lr, seed; give the same"):
        train(compose_train([*given, "resume=true", "seed=5", "optim.lr=0.5"]))
    (run.parent / "taken").mkdir()
    (run.parent / "taken" / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="holds something that is no run"):
        train(compose_train([*given, "name=taken"]))


def test_training_goes_on_without_damaged_files(
    clips_folder: Path, damaged: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{path} {path.parent.name}" for path in sorted(clips_folder.rglob("*.mp4"))]
    lines[3] = f"{damaged['zero-byte']} bright"
    (tmp_path / "train.txt").write_text("\n".join(lines))
    (tmp_path / "val.txt").write_text("\n".join([*lines[:2], f"{damaged['text']} dark"]))
    lists = ["data=list", f"data.train={tmp_path}/train.txt", f"data.val={tmp_path}/val.txt"]
    run = train(
        compose_train([*SMALL[1:], *lists, f"runs={tmp_path}", "name=hurt", "clip.stride=8"])
    )
    rows = {Path(r["path"]).name: r for r in csv.DictReader((run / "skipped.csv").open())}
    assert rows["zero-byte.mp4"]["kind"] == "damaged"
    assert rows["zero-byte.mp4"]["times"] == "2"  # once an epoch
    assert "is empty" in rows["zero-byte.mp4"]["reason"]
    assert "Invalid data" in rows["text.mp4"]["reason"]
    assert rows["0.mp4"]["kind"] == "short"
    printed = capfd.readouterr().err
    assert "zero-byte.mp4: the file is empty" in " ".join(printed.split())
    assert printed.count("the last frame is repeated") == 1
    assert "Damaged files: 2" in printed


@pytest.mark.parametrize("workers", [0, 2])
def test_multi_view_scores_equal_a_plain_loop(
    checkpoint: Path, clips_folder: Path, tmp_path: Path, workers: int
) -> None:
    model, contents = load_network(checkpoint)
    index = read_class_folders(clips_folder)
    views = VideoViews(index, contents.clip, clips=3, crops=3)
    result = score_views(
        model, views, contents.normalisation, micro_batch=5, workers=workers,
        device=torch.device("cpu"), log=TroubleLog(tmp_path / "skipped.csv"),
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


def test_results_on_disk(checkpoint: Path, clips_folder: Path, tmp_path: Path) -> None:
    done = evaluate(checkpoint, data=clips_folder, clips=2, crops=1, out=tmp_path, workers=0)
    assert [file.name for file in done.files] == [
        "predictions.csv",
        "accuracy.json",
        "confusion.png",
    ]
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
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
    done = evaluate(checkpoint, data=tmp_path / "test.txt", out=tmp_path, workers=0)
    assert done.result.not_scored == 4
    assert done.result.video_level.count == 4
    assert len(list(csv.DictReader((tmp_path / "predictions.csv").open()))) == 4
    listed = {Path(row["path"]).stem for row in csv.DictReader((tmp_path / "skipped.csv").open())}
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
    done = evaluate(checkpoint, data=tmp_path / "test.txt", clips=8, out=tmp_path, workers=0)
    assert done.result.views.tolist() == [0, 24]
    assert done.result.clip_level.count == 24
    assert done.result.scores[0].tolist() == [0, 0]


def test_nothing_that_can_be_read_is_an_error(
    clips_folder: Path, damaged: dict[str, Path], checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.txt").write_text("".join(f"{path} dark\n" for path in damaged.values()))
    with pytest.raises(DataError, match="none of 4 videos could be read"):
        evaluate(checkpoint, data=tmp_path / "bad.txt", out=tmp_path)
    sound = "".join(f"{p} {p.parent.name}\n" for p in sorted(clips_folder.rglob("*.mp4")))
    (tmp_path / "good.txt").write_text(sound)
    (tmp_path / "names.txt").write_text("bright\ndark\n")
    for number, (train_on, choose_on, message) in enumerate(
        [("bad", "good", "videos could be read, at last"), ("good", "bad", "no validation video")]
    ):
        lists = [f"data.train={tmp_path}/{train_on}.txt", f"data.val={tmp_path}/{choose_on}.txt"]
        given = ["data=list", *SMALL[1:], *lists, f"data.names={tmp_path}/names.txt"]
        with pytest.raises(DataError, match=message):
            train(compose_train([*given, f"runs={tmp_path}", f"name=r{number}", "data.workers=2"]))


def test_the_test_videos_are_those_that_were_held_out(
    run: Path, clips_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    kept = read_list(copy / "splits" / "test.txt", names=["bright", "dark"])
    trained = read_list(copy / "splits" / "train.txt", names=["bright", "dark"])
    assert not set(kept.paths) & set(trained.paths)
    result = evaluate(copy / "checkpoints/best.ckpt", workers=0).result
    assert list(result.index.paths) == kept.paths
    moved = tmp_path / "elsewhere" / "best.ckpt"  # alone, it falls back on the config's data
    moved.parent.mkdir()
    shutil.copy(copy / "checkpoints/best.ckpt", moved)
    assert default_output(moved, "test") == Path("test")
    assert len(evaluate(moved, out=tmp_path, workers=0).result.index) == len(kept)


def test_ctrl_c_ends_cleanly(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from video_gc.engine.task import RecognitionTask

    def stop(_self: RecognitionTask) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RecognitionTask, "on_train_epoch_start", stop)
    with pytest.raises(KeyboardInterrupt):
        train(compose_train(options(clips_folder, tmp_path, "name=stopped")))


def test_devices_are_checked() -> None:
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="unknown device 'foo'; use cpu, cuda"):
        pick_device("foo")
    with pytest.raises(ValueError, match="this machine has"):
        pick_device("cuda:99")


def test_options_that_are_newer_than_a_run_do_not_stop_it(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "small"
    shutil.copytree(run, copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    del config["label_smoothing"], config["data"]["flip"]
    config["runs"] = str(tmp_path)
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    given = [*SMALL, f"data.root={config['data']['root']}", f"runs={tmp_path}", "name=small"]
    assert train(compose_train([*given, "resume=true"])) == copy


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_and_testing_on_a_gpu(clips_folder: Path, tmp_path: Path) -> None:
    given = options(clips_folder, tmp_path, "name=gpu", "accelerator=gpu", "precision=bf16")
    directory = train(compose_train(given))
    result = evaluate(directory / "checkpoints/best.ckpt", data=clips_folder).result
    assert result.video_level.count == 12


def test_a_checkpoint_that_does_not_fit_is_one_line(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.ckpt: no such checkpoint"):
        load_network(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(ValueError, match="text.ckpt: not a checkpoint of tools/train.py"):
        load_network(tmp_path / "text.ckpt")
    content = torch.load(checkpoint, weights_only=True)
    for change in ({"num_classes": 3}, {"backbone": "slow"}, {"width": 0.25}):
        hurt = {**content, "video_gc": {**content["video_gc"]}}
        hurt["video_gc"]["model"] = {**content["video_gc"]["model"], **change}
        torch.save(hurt, tmp_path / "hurt.ckpt")
        with pytest.raises(ValueError, match="weights are of another architecture or class count"):
            load_network(tmp_path / "hurt.ckpt")


def test_five_best_of_many_classes(tmp_path: Path) -> None:
    from video_gc.engine.testing import Scores

    index = VideoIndex([Path("a.mp4")], torch.tensor([3]).numpy(), [f"class {i}" for i in range(9)])
    scores = torch.arange(9.0)[None] / 36
    level = accuracy(scores, torch.tensor([3]))
    file = write_predictions(
        Scores(index, scores, torch.tensor([1]), level, level), tmp_path / "p.csv"
    )
    (row,) = csv.DictReader(file.open())
    assert [row[f"top{rank}"] for rank in range(1, 6)] == [f"class {i}" for i in (8, 7, 6, 5, 4)]
    assert row["label"] == "class 3"
