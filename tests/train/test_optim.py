"""Accuracy."""

import pytest
import torch

from video_gc.evaluate.metrics import accuracy, confusion


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
