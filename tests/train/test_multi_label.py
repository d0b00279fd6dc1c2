"""Several labels a video, from a list to the loss, mAP, the best checkpoint and the result files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import SMALL, slow
from tests.evaluate.scoring import score_views
from video_gc.config import compose_train
from video_gc.data.batches.batch import Batch
from video_gc.data.dataset import VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.splits import read_splits
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.evaluate.metrics import Precision, precision
from video_gc.evaluate.ranking import probabilities
from video_gc.evaluate.tensorboard import EVENTS
from video_gc.train.checkpoint import load_network
from video_gc.train.loop import train
from video_gc.train.step import Objective
from video_gc.train.validation import ValidationFigures, validation_step
from video_gc.train.view_options import ViewConfig

NAMES = ["bright", "dark", "even number"]


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Σ (R_n − R_{n−1}) P_n over the distinct scores, from the definition."""
    recall = area = 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= threshold
        right = (chosen & (labels > 0)).sum()
        area += (right / labels.sum() - recall) * right / chosen.sum()
        recall = right / labels.sum()
    return area


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 6))
def test_map_is_the_mean_over_classes_that_occur(seed: int, count: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 6, (count, classes)).astype(np.float32) / 5  # with ties
    labels = (random.random((count, classes)) < 0.4).astype(np.float32)
    level = precision(torch.from_numpy(scores), torch.from_numpy(labels))
    each = [
        average_precision(scores[:, c], labels[:, c]) for c in range(classes) if labels[:, c].any()
    ]
    assert (level.classes, level.count) == (len(each), count)
    assert level.mAP == pytest.approx(np.mean(each), abs=1e-5) if each else np.isnan(level.mAP)


def task(**options: bool) -> Objective:
    return Objective(num_classes=3, normalisation=Normalisation(), **options)  # type: ignore[arg-type]


def test_the_loss_of_several_labels_is_that_of_each_class() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    for smoothing in (0.0, 0.2):
        target = labels * (1 - smoothing) + smoothing * 0.5
        p = 1 / (1 + torch.exp(-logits))
        expected = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
        torch.testing.assert_close(task(multi_label=True).loss(logits, labels, smoothing), expected)
    numbers = torch.tensor([2, 0])
    expected = -logits.log_softmax(1)[torch.arange(2), numbers].mean()
    torch.testing.assert_close(task().loss(logits, numbers), expected)
    shares = torch.tensor([[0.3, 0.0, 0.7], [1, 0, 0]])  # of mixed clips, one label each
    expected = -(shares * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(task().loss(logits, shares), expected)


class Given(torch.nn.Module):
    """A network that answers with one tensor after the other."""

    def __init__(self, *answers: torch.Tensor) -> None:
        super().__init__()
        self.answers = list(answers)

    def forward(self, _clips: torch.Tensor) -> torch.Tensor:
        return self.answers.pop(0)


@pytest.mark.parametrize("first", [(0.1, 0.9), (-4.0, 4.0)])
def test_map_of_validation_is_that_of_all_scores_together(
    first: tuple[float, float],
) -> None:
    random = torch.Generator().manual_seed(0)
    low, high = first
    batches = [
        low + (high - low) * torch.rand(6, 3, generator=random),
        4 * torch.randn(6, 3, generator=random),
    ]
    labels = (torch.rand(12, 3, generator=random) < 0.4).float()
    one = task(multi_label=True)
    network, figures = Given(*batches), ValidationFigures(3, multi_label=True)
    empty = torch.zeros(6, dtype=torch.long)
    for number in range(2):
        own = labels[6 * number : 6 * number + 6]
        clips = torch.zeros(6, 1, 2, 2, 3, dtype=torch.uint8)
        batch = Batch(clips, own, empty, empty.bool(), empty, empty, [])
        validation_step({"val": network}, {"val": figures}, batch, one)
    expected = precision(torch.cat(batches), labels).mAP
    assert figures.finish()["mAP"] == pytest.approx(expected, abs=1e-6)


def test_probabilities() -> None:
    logits = torch.tensor([[20.0, 20.0, -20.0]], dtype=torch.bfloat16)
    assert probabilities(logits, multi_label=True).round().tolist() == [[1, 1, 0]]
    assert probabilities(logits, multi_label=False).sum().item() == pytest.approx(1)
    assert probabilities(logits, multi_label=True).dtype == torch.float32


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory, clips_folder: Path) -> dict[str, Path]:
    """A table with several labels; one video has none."""
    folder = tmp_path_factory.mktemp("several")
    files = {}
    for part, numbers in (("train", range(4)), ("val", (4, 5))):
        lines = [
            f"{clips_folder}/{label}/{n}.mp4,{label}{';even number' if n % 2 == 0 else ''}\n"
            for n in numbers
            for label in ("bright", "dark")
        ]
        if part == "train":
            lines.append(f"{clips_folder}/dark/5.mp4,\n")
        files[part] = folder / f"{part}.csv"
        files[part].write_text("path,label\n" + "".join(lines))
    return files


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, lists: dict[str, Path]) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    options = [option for option in SMALL if option != "data=folder"]
    return train(
        compose_train(
            [
                "data=list", *options, "data.kind=table", "data.multi_label=true", "test.fuse=max",
                f"data.train={lists['train']}", f"data.val={lists['val']}", f"runs={runs}",
                "name=several", "label_smoothing=0.1",
            ]
        )
    )  # fmt: skip


def test_training_logs_map_and_keeps_the_best_of_it(several: Path) -> None:
    (file,) = (several / "logs").rglob("metrics.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    seen = [float(row["val/mAP"]) for row in rows if row["val/mAP"]]
    assert len(seen) == 2
    assert all(0 <= value <= 1 for value in seen)
    assert not {"val/top1", "train/top1"} & set(rows[0])
    best = torch.load(several / "checkpoints/best.ckpt", weights_only=False)
    assert best["loop"]["processes"][0]["best"] == pytest.approx(max(seen), abs=1e-5)
    splits = read_splits(several / "splits")
    assert splits.train.multi_label
    assert splits.train.names == NAMES
    assert splits.train.target(8).tolist() == [0, 0, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize("fuse", [slow("mean"), "max"])
def test_scores_of_a_video_are_fused_as_asked(several: Path, tmp_path: Path, fuse: str) -> None:
    model, contents = load_network(several / "checkpoints/best.ckpt")
    index = read_splits(several / "splits").val
    views = VideoViews(index, contents.clip, clips=3, crops=1)
    result = score_views(
        model, views, contents.normalisation, micro_batch=4, workers=0, fuse=fuse,
    )  # fmt: skip
    labels = torch.stack([torch.from_numpy(index.target(row)) for row in range(len(index))])
    for video in range(len(index)):
        clips = torch.stack([torch.as_tensor(view.clip) for view in views.views(video)])
        with torch.inference_mode():
            each = model(prepare_clips(clips, contents.normalisation)).sigmoid()
        expected = each.mean(0) if fuse == "mean" else each.amax(0)
        torch.testing.assert_close(result.scores[video], expected, rtol=1e-4, atol=1e-5)
    assert result.video_level == precision(result.scores, labels)
    assert isinstance(result.clip_level, Precision)
    assert result.clip_level.count == 3 * len(index)


def test_results_of_several_labels_on_disk(
    several: Path, lists: dict[str, Path], tmp_path: Path
) -> None:
    done = evaluate(
        several / "checkpoints/best.ckpt", TestOptions(data=lists["train"], out=tmp_path, workers=0)
    )
    names = ["predictions.csv", "scores.npy", "accuracy.json", "classes.csv", EVENTS]
    assert [file.name for file in done.files] == names
    summary = json.loads((tmp_path / "accuracy.json").read_text())
    assert set(summary["video_level"]) == {"mAP", "classes", "count"}
    assert (summary["fuse"], summary["video_level"]["classes"]) == ("max", 3)
    rows = list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))
    assert [row["label"] for row in rows[:3]] == [
        "bright;even number",
        "dark;even number",
        "bright",
    ]
    assert rows[8]["label"] == ""
    with pytest.raises(ValueError, match="class folders have one label a video, this checkpoint"):
        evaluate(
            several / "checkpoints/best.ckpt", TestOptions(data=tmp_path, out=tmp_path, workers=0)
        )
    classes = list(csv.DictReader((tmp_path / "classes.csv").read_text().splitlines()))
    assert [(row["class"], row["videos"]) for row in classes] == [
        ("bright", "4"), ("dark", "4"), ("even number", "4"),
    ]  # fmt: skip
    mean = np.mean([float(row["average_precision"]) for row in classes])
    assert summary["video_level"]["mAP"] == pytest.approx(mean, abs=1e-5)


def test_fusion_is_checked() -> None:
    with pytest.raises(ValueError, match=r"test.fuse \('sum'\) must be one of mean, max"):
        ViewConfig(fuse="sum")
    charades = compose_train(["data=charades"])
    assert charades.test.fuse == "max"
    assert charades.data.multi_label


def test_nothing_to_score() -> None:
    level = precision(torch.zeros(0, 3), torch.zeros(0, 3))
    assert (level.classes, level.count) == (0, 0)
    index = VideoIndex.build([], [], NAMES, multi_label=True)
    assert len(index.paths) == 0
