"""The plain CNN of docs/results.md: its shape, and its way through our training and test."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from benchmarks.peers.plain_cnn import plain_cnn, train_and_test
from torch import nn

from tests.conftest import SMALL
from video_gc.models.build import ModelConfig


def test_seven_convolutions() -> None:
    model = plain_cnn(ModelConfig(num_classes=4)).eval()
    assert sum(isinstance(module, nn.Conv3d) for module in model.modules()) == 7
    assert model(torch.randn(2, 3, 8, 96, 96)).shape == (2, 4)
    sizes = [3, 16, 32, 32, 64, 64, 128, 128]
    weights = sum(27 * a * b + 2 * b for a, b in pairwise(sizes))
    assert sum(p.numel() for p in model.parameters()) == weights + 128 * 4 + 4


@pytest.mark.slow
def test_it_is_trained_and_tested_as_ours_are(clips_folder: Path, tmp_path: Path) -> None:
    options = [*SMALL, f"data.root={clips_folder}", f"runs={tmp_path}", "name=plain"]
    run = train_and_test(options)
    found = json.loads((run / "test" / "accuracy.json").read_text())
    assert found["videos"] == found["video_level"]["count"] > 0
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert state["model.0.weight"].shape == (16, 3, 3, 3, 3)  # not the network of the options
