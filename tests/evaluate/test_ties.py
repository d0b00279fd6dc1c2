"""Equal scores are ranked in one way everywhere, and scores that are no numbers are an error."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.evaluate.scoring import score_views
from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.dataset import VideoViews
from video_gc.evaluate.confusions import class_results, confusion_counts
from video_gc.evaluate.metrics import accuracy
from video_gc.evaluate.ranking import ranking
from video_gc.evaluate.results import write_predictions
from video_gc.evaluate.scores import VideoScore, put_together
from video_gc.predict.recognizer import Prediction
from video_gc.train.checkpoint import load_network


def test_of_equal_scores_the_smaller_class_comes_first(clips_folder: Path, tmp_path: Path) -> None:
    index = read_class_folders(clips_folder)
    random = np.random.default_rng(0)
    scores = random.integers(0, 2, (len(index), 2)).astype(np.float32)  # many ties
    hits = np.zeros((1, 2), np.int64)
    videos = [VideoScore(row, 1, scores[row][None], hits) for row in range(len(index))]
    [result] = put_together(index, videos)
    first = np.array([0 if row[0] >= row[1] else 1 for row in scores])
    right = first == index.labels
    assert result.video_level.top1 == pytest.approx(right.mean())
    assert int(confusion_counts(result).diag().sum()) == right.sum()
    assert sum(one.right for one in class_results(result)) == right.sum()
    with write_predictions(result, tmp_path / "p.csv").open(newline="") as stream:
        said = [row["top1"] for row in csv.DictReader(stream)]
    assert said == [index.names[number] for number in first]
    prediction = Prediction("v", index.names, torch.tensor([0.5, 0.5]), [], "fp32", "eager")
    assert [name for name, _ in prediction.top()] == index.names


def test_ranking_of_many_ties() -> None:
    scores = torch.randint(0, 3, (50, 40)).float()
    values, classes = ranking(scores, 5)
    for row, (found, numbers) in enumerate(zip(values.tolist(), classes.tolist(), strict=True)):
        expected = sorted(range(40), key=lambda n: (-scores[row, n], n))[:5]
        assert numbers == expected
        assert found == [scores[row, n] for n in expected]
    labels = torch.randint(0, 40, (50,))
    assert accuracy(scores, labels).top5 == pytest.approx(
        sum(int(label) in row for label, row in zip(labels, classes.tolist(), strict=True)) / 50
    )


def test_scores_that_are_no_numbers_name_video_and_layer(
    checkpoint: Path, clips_folder: Path, tmp_path: Path
) -> None:
    model, contents = load_network(checkpoint)
    linear = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)][-1]
    layer = model.get_submodule(linear)
    assert isinstance(layer, nn.Linear)
    nn.init.constant_(layer.weight, 3e38)  # a number, but its products are none
    views = VideoViews(read_class_folders(clips_folder), contents.clip, clips=1, crops=1)
    with pytest.raises(FloatingPointError, match=rf"bright/0.mp4: .* first in {linear} \(fp32"):
        score_views(
            model, views, contents.normalisation, micro_batch=1, workers=0,
        )  # fmt: skip
