"""Figures, tables and coverage, against counts made by hand."""

import csv
import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from video_gc.data.dataset import VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.splits import open_splits, read_splits, write_splits
from video_gc.evaluate import checkpoint_networks as weights
from video_gc.evaluate.confusions import class_results, confused_pairs, worst_classes
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.evaluate.metrics import accuracy, calibration_error
from video_gc.evaluate.results import RESULTS, write_results
from video_gc.evaluate.scores import Scores, VideoScore, put_together
from video_gc.evaluate.tested_videos import EvaluatedVideos, subset_of
from video_gc.locks import locked

NAMES = ["walk", "run", "swim", "fly"]


def scores_of(said: list[tuple[int, int, float] | None]) -> Scores:
    """(true, said, how sure) of each video; None for a damaged one."""
    labels = [0 if one is None else one[0] for one in said]
    index = VideoIndex.build([f"{row}.mp4" for row in range(len(said))], labels, NAMES)
    videos = []
    for row, one in enumerate(said):
        scores = np.full((1, 4), 0.0 if one is None else (1 - one[2]) / 3, np.float32)
        if one is None:
            videos.append(VideoScore(row, 0, scores))
        else:
            scores[0, one[1]] = one[2]
            right = int(one[0] == one[1])
            videos.append(VideoScore(row, 6, scores, hits=np.array([[2 * right, 5]])))
    return put_together(index, videos[::-1])[0]


RESULT = scores_of(
    [(0, 1, 0.6), None, (0, 1, 0.9), (0, 0, 0.7), (1, 1, 0.8), (2, 0, 0.5), (2, 1, 0.7),
     (0, 1, 0.7), (0, 1, 0.4)]
)  # fmt: skip


def test_tables_of_classes_and_pairs(tmp_path: Path) -> None:
    files = {file.name: file for file in write_results(RESULT, tmp_path, about={"seed": 3})}
    rows = list(csv.DictReader(files["classes.csv"].read_text().splitlines()))
    assert [(r["class"], r["videos"], r["right"], r["taken_for"], r["times"]) for r in rows] == [
        ("walk", "5", "1", "run", "4"), ("run", "1", "1", "", "0"), ("swim", "2", "0", "walk", "1"),
        ("fly", "0", "0", "", "0"),
    ]  # fmt: skip
    assert [row["top1"] for row in rows] == ["0.200000", "1.000000", "0.000000", ""]
    pairs = list(csv.DictReader(files["pairs.csv"].read_text().splitlines()))
    assert pairs[0] == {
        "true": "walk", "predicted": "run", "count": "4",
        "example1": "2.mp4", "example2": "7.mp4", "example3": "0.mp4",  # the surest first
    }  # fmt: skip
    assert [(row["true"], row["predicted"], row["example2"]) for row in pairs[1:]] == [
        ("swim", "walk", ""),
        ("swim", "run", ""),
    ]
    matrix = list(csv.reader(files["confusion.csv"].read_text().splitlines()))
    assert matrix[0] == ["true", *NAMES]
    assert matrix[1:] == [
        ["walk", "1", "4", "0", "0"], ["run", "0", "1", "0", "0"], ["swim", "1", "1", "0", "0"],
        ["fly", "0", "0", "0", "0"],
    ]  # fmt: skip
    assert [one.name for one in worst_classes(class_results(RESULT), 5)] == ["swim", "walk"]
    assert confused_pairs(RESULT)[0].count == 4
    assert set(files) == set(RESULTS)
    shown = EventAccumulator(str(tmp_path)).Reload()
    assert shown.Scalars("test/top-1")[0].value == pytest.approx(2 / 8)
    matrix_shown = shown.Images("test/confusion")[0]
    assert matrix_shown.encoded_image_string == files["confusion.png"].read_bytes()
    assert (matrix_shown.width, matrix_shown.height) == (2, 1)
    assert "test/pairs" in shown.Tags()["images"]
    summary = json.loads(files["accuracy.json"].read_text())
    assert (summary["seed"], summary["videos"], summary["not_scored"]) == (3, 9, 1)
    kept = np.load(files["scores.npy"])
    assert kept.dtype == np.float32
    assert kept.shape == (8, 4)  # a row for each line of predictions.csv
    lines = list(csv.DictReader(files["predictions.csv"].read_text().splitlines()))
    for line, row in zip(lines, kept, strict=True):
        assert np.float32(line["score1"]) == row.max()  # every digit
        assert line["top1"] == NAMES[row.argmax()]


def test_clip_level_from_hits_alone() -> None:
    level = RESULT.clip_level
    assert (level.top1, level.top5, level.count) == (4 / 48, 40 / 48, 48)  # type: ignore[union-attr]
    assert level.mean_class == pytest.approx((2 / 30 + 2 / 6 + 0) / 3)  # type: ignore[union-attr]
    nothing = scores_of([None, None])
    assert (nothing.clip_level.count, nothing.video_level.count, nothing.not_scored) == (0, 0, 2)


def test_a_video_that_is_scored_twice_is_a_bug() -> None:
    index = VideoIndex.build(["a.mp4"], [0], ["x"])
    twice = [VideoScore(0, 1, np.ones((1, 1), np.float32), hits=np.array([[1, 1]]))] * 2
    with pytest.raises(RuntimeError, match="a.mp4 was scored twice"):
        put_together(index, twice)


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(2, 6))
def test_calibration_error_by_its_definition(seed: int, count: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    scores = torch.from_numpy(random.dirichlet(np.ones(classes), count).astype(np.float32))
    labels = torch.from_numpy(random.integers(0, classes, count))
    sure, said = scores.max(1)
    bins = np.minimum((sure.numpy() * 15).astype(int), 14)
    right = (said == labels).numpy()
    expected = sum(
        abs(right[bins == b].mean() - sure.numpy()[bins == b].mean()) * (bins == b).sum()
        for b in np.unique(bins)
    )
    assert calibration_error(scores, labels) == pytest.approx(expected / count, abs=1e-5)
    assert np.isnan(calibration_error(scores[:0], labels[:0]))
    assert accuracy(scores, labels).count == count


def test_subsets_are_nested_and_spread_over_the_classes() -> None:
    labels = [0] * 60 + [1] * 6 + [2] * 30
    index = VideoIndex.build([f"{n}.mp4" for n in range(96)], labels, ["a", "b", "c"])
    whole, before = EvaluatedVideos(index, None, missing=4), set()
    for count in (3, 9, 18, 40):
        part = subset_of(whole, count)
        paths = list(map(str, part.index.paths))
        assert paths == sorted(paths, key=lambda path: int(path[:-4]))  # the order stays
        assert before < set(paths)
        before = set(paths)
        each = np.bincount(part.index.labels, minlength=3)
        assert each.tolist() == {3: [1] * 3, 9: [3] * 3, 18: [6] * 3, 40: [17, 6, 17]}[count]
        assert list(map(str, subset_of(whole, count).index.paths)) == paths
        assert part.outside_subset == 96 - count
    assert subset_of(whole, 96) is whole


def test_coverage_adds_up() -> None:
    index = VideoIndex.build(["a.mp4"] * 10, [0] * 10, ["x"])
    videos = EvaluatedVideos(index, None, missing=3, damaged=2, unexplained=1, outside_subset=20)
    found = videos.coverage(not_scored=4)
    assert (found["listed"], found["scored"], found["damaged_when_read"]) == (36, 6, 4)
    assert found["listed"] == sum(found.values()) - found["listed"]


def test_a_run_keeps_why_videos_were_left_out(clips_folder: Path, tmp_path: Path) -> None:
    from video_gc.data.config import DataConfig

    lines = [f"{p} {p.parent.name}\n" for p in sorted(clips_folder.rglob("*.mp4"))]
    (tmp_path / "train.txt").write_text("".join([*lines, "gone.mp4 dark\n"]))
    (tmp_path / "test.txt").write_text("".join(["gone.mp4 dark\n", *lines[:3], "too.mp4 dark\n"]))
    splits = open_splits(
        DataConfig(kind="list", train=str(tmp_path / "train.txt"), test=str(tmp_path / "test.txt"))
    )
    assert splits.absent == {"train": 1, "val": 0, "test": 2}
    write_splits(splits, tmp_path / "splits")
    assert read_splits(tmp_path / "splits").absent == splits.absent


def test_a_quick_look_says_so_and_lies_apart(checkpoint: Path, tool) -> None:  # type: ignore[no-untyped-def]
    run = checkpoint.parent.parent
    status, _, err = tool("test", checkpoint, "--data", run.parents[1] / "none", "--subset", 0)
    assert (status, "argument --subset: must be at least 1" in err) == (2, True)
    done = evaluate(checkpoint, TestOptions(workers=0, subset=1))
    folder = run / "test_subset"
    assert {file.parent for file in done.files} == {folder}
    assert "a subset of 1 of 2 videos" in done.title
    summary = json.loads((folder / "accuracy.json").read_text())
    assert summary["subset"] == "a subset of 1 of 2 videos"
    assert summary["coverage"]["outside_subset"] == 1
    assert done.result.video_level.count == 1


@pytest.mark.slow
def test_results_of_another_measurement_are_not_replaced(
    checkpoint: Path, clips_folder: Path, tmp_path: Path, tool,  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    run = tmp_path / "run"
    shutil.copytree(checkpoint.parent.parent, run)
    shutil.rmtree(run / "test", ignore_errors=True)
    shutil.copy(run / "checkpoints/best.ckpt", run / "checkpoints/other.ckpt")
    same = [run, "--workers", 0]
    assert tool("test", *same, "--clips", 2)[0] == 0
    file = run / "test/accuracy.json"
    before = file.read_bytes()
    crops = json.loads(before)["crops"]
    status, _, err = tool("test", *same, "--clips", 1)
    assert status == 2
    assert f"test: has results of another test (2 × {crops} views; this one: 1 × {crops} vi" in err
    assert f"or --out {run / 'test'} to replace them" in err
    status, _, err = tool("test", *same, "--clips", 2, "--data", clips_folder)
    assert (status, f"; this one: {clips_folder}); give" in err) == (2, True)
    status, _, err = tool("test", run / "checkpoints/other.ckpt", *same[1:], "--clips", 2)
    assert (status, "(best.ckpt; this one: other.ckpt); give" in err) == (2, True)
    assert file.read_bytes() == before
    assert tool("test", *same, "--clips", 2, "--precision", "fp32")[0] == 0  # the same measurement
    assert tool("test", *same, "--clips", 1, "--subset", 1)[0] == 0  # lies apart
    assert tool("test", *same, "--clips", 1, "--out", run / "test")[0] == 0
    assert json.loads(file.read_text())["clips"] == 1


@pytest.mark.slow
def test_averaged_weights_beside_the_raw_ones(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool,  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    with pytest.raises(ValueError, match="best.ckpt: has no EMA weights .train with ema=0.999."):
        evaluate(checkpoint, TestOptions(weights="ema", workers=0))
    raw = evaluate(checkpoint, TestOptions(workers=0, out=tmp_path / "raw")).result
    opened = []
    read, network_of, views = weights.read_checkpoint, weights.network_of, VideoViews.views
    files = []

    def with_average(path: Path) -> object:
        files.append(path)
        contents, state = read(path)
        halves = {
            name.replace("model.", "average.", 1): value / 2 if "running" not in name else value
            for name, value in state.items()
        }
        return contents, state | halves

    def training(*arguments: object) -> object:
        return network_of(*arguments).train().requires_grad_(False)  # type: ignore[arg-type]

    def counting(self: VideoViews, video: int) -> object:
        opened.append(video)
        return views(self, video)

    monkeypatch.setattr(weights, "read_checkpoint", with_average)
    monkeypatch.setattr(weights, "network_of", training)  # its mode must not matter
    monkeypatch.setattr(VideoViews, "views", counting)
    out = tmp_path / "both"
    status, _, err = tool("test", checkpoint, "--out", out, "--workers", 0)
    assert status == 0
    assert sorted(opened) == [0, 1]  # decoded once for both
    assert len(files) == 1  # and so is the checkpoint
    assert list(weights.load_networks(checkpoint, first=True)[0]) == ["ema"]  # as predictions
    assert [err.count(f"{name}, video level") for name in ("ema", "raw")] == [1, 1]
    assert torch.equal(torch.from_numpy(np.load(out / "raw/scores.npy")), raw.scores)
    assert not np.array_equal(np.load(out / "scores.npy"), raw.scores.numpy())
    for folder, name in ((out, "ema"), (out / "raw", "raw")):
        assert json.loads((folder / "accuracy.json").read_text())["weights"] == name
    apart = evaluate(checkpoint, TestOptions(weights="raw", workers=0, out=out / "ema"))
    (out / "raw/notes.txt").write_text("mine")
    one = evaluate(checkpoint, TestOptions(weights="raw", workers=0, out=out))
    assert list(one.results) == ["raw"]
    assert [file.name for file in (out / "raw").iterdir()] == ["notes.txt"]  # none of another test
    assert all(file.is_file() for file in [*one.files, *apart.files])


def test_one_test_at_a_time_in_a_folder(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "test"
    fork = multiprocessing.get_context("fork")
    begun, done = fork.Event(), fork.Event()

    def hold() -> None:
        with locked(out, what="test", way=""):
            begun.set()
            done.wait(60)

    held = fork.Process(target=hold)
    held.start()
    begun.wait(60)
    with pytest.raises(BlockingIOError, match=f"another test is writing to it .process {held.pid}"):
        evaluate(checkpoint, TestOptions(out=out, clips=1, crops=1, workers=0))
    done.set()
    held.join()
    assert evaluate(checkpoint, TestOptions(out=out, clips=1, crops=1, workers=0)).files


def test_files_of_somebody_elses_are_kept_and_named(checkpoint: Path, tmp_path: Path) -> None:
    def test() -> list[Path]:
        return evaluate(checkpoint, TestOptions(out=tmp_path, clips=1, crops=1, workers=0)).files

    for name in ("predictions.csv", "skipped.csv", "pairs.png"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"{name}: exists, .* so it is kept"):
            test()
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    (tmp_path / "scored").mkdir()
    (tmp_path / "scored" / "x").write_text("mine")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "accuracy.json").write_text('{"beside": "mine"}')
    first = test()
    assert test() == first  # ours are replaced
    (tmp_path / "pairs.png").unlink(missing_ok=True)
    assert (tmp_path / "scored" / "x").read_text() == "mine"
    assert (tmp_path / "raw" / "accuracy.json").read_text() == '{"beside": "mine"}'
