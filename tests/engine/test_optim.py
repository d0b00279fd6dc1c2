"""Optimiser, schedule and accuracy."""

import math

import pytest
import torch
from torch import nn

from video_gc.engine.recipe.optim import OptimConfig, build_optimizer, build_schedule
from video_gc.engine.testing.metrics import accuracy, confusion


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
