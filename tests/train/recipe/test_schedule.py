"""Learning rates against the formulas of the papers, and exactly the same after a restart."""

import io
import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from video_gc.train.recipe.optim import OptimConfig, build_optimizer, effective_lr
from video_gc.train.recipe.schedule import build_schedule, head_steps


def rates(config: OptimConfig, steps: int, steps_per_epoch: int) -> list[float]:
    """The rate that each step of a training is made with."""
    optimizer = build_optimizer(nn.Linear(1, 1), config)
    schedule = build_schedule(optimizer, config, steps=steps, steps_per_epoch=steps_per_epoch)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_slowfast() -> None:
    """PySlowFast, SLOW_8x8_R50.yaml, with 10 steps in each of 196 epochs."""
    config = OptimConfig(lr=0.1, warmup_epochs=34, warmup_start=0.1)
    found = rates(config, 1960, 10)

    def cosine(epoch: float) -> float:
        return 0.1 * (math.cos(math.pi * epoch / 196) + 1) * 0.5

    peak = cosine(34)
    assert found[0] == pytest.approx(0.01)
    for at in (7, 170, 339):  # by step, not by epoch
        assert found[at] == pytest.approx(0.01 + at / 10 * (peak - 0.01) / 34)
    for at in (340, 341, 980, 1959):
        assert found[at] == pytest.approx(cosine(at / 10))
    assert found[340] == max(found)
    assert found[980] == pytest.approx(0.05)
    assert peak == pytest.approx(0.092757, rel=1e-5)


def test_steps_of_the_inflated_variants() -> None:
    config = OptimConfig(lr=0.01, schedule="steps", milestones=[44, 88])
    found = rates(config, 118 * 3, 3)
    expected = [0.01] * (44 * 3) + [0.001] * (44 * 3) + [0.0001] * (30 * 3)
    assert found == pytest.approx(expected)


def test_milestones_in_steps_and_in_parts_of_epochs() -> None:
    config = OptimConfig(lr=1, schedule="steps", milestones=[15, 30], milestones_in="steps")
    assert rates(config, 40, 7) == pytest.approx([1] * 15 + [0.1] * 15 + [0.01] * 10)
    config = OptimConfig(lr=1, schedule="steps", milestones=[0.07, 0.5], decay=0.5)
    assert 0.07 * 100 > 7  # in floating point
    assert rates(config, 100, 100) == pytest.approx([1] * 7 + [0.5] * 43 + [0.25] * 50)


def test_a_warm_up_is_never_longer_than_half_of_the_training() -> None:
    found = rates(OptimConfig(lr=1, warmup_epochs=20, schedule="steps"), 10, 10)
    assert found[5:] == [1] * 5
    assert found[:5] == pytest.approx([0.1, 0.28, 0.46, 0.64, 0.82])


@given(
    steps=st.integers(2, 60),
    per_epoch=st.integers(1, 20),
    warmup=st.floats(0, 3),
    schedule=st.sampled_from(["cosine", "steps"]),
    at=st.floats(0, 1),
)
def test_a_restart_at_any_step_has_the_same_rates(
    steps: int, per_epoch: int, warmup: float, schedule: str, at: float
) -> None:
    config = OptimConfig(
        lr=random.Random(steps).random() + 0.01,
        schedule=schedule,
        milestones=[0.7, 1.9] if schedule == "steps" else [],
        warmup_epochs=warmup,
        layer_decay=0.7,
        head_lr=3,
    )
    whole = rates(config, steps, per_epoch)
    stop = int(at * (steps - 1))
    optimizer = build_optimizer(nn.Linear(1, 1), config)
    schedule_ = build_schedule(optimizer, config, steps=steps, steps_per_epoch=per_epoch)
    for _ in range(stop):
        optimizer.step()
        schedule_.step()
    kept = {"optimizer": optimizer.state_dict(), "schedule": schedule_.state_dict()}
    file = io.BytesIO()
    torch.save(kept, file)
    file.seek(0)
    kept = torch.load(file, weights_only=True)
    again = build_optimizer(nn.Linear(1, 1), config)
    resumed = build_schedule(again, config, steps=steps, steps_per_epoch=per_epoch)
    again.load_state_dict(kept["optimizer"])
    resumed.load_state_dict(kept["schedule"])
    for expected in whole[stop:]:
        assert again.param_groups[0]["lr"] == expected
        again.step()
        resumed.step()


def test_the_rate_follows_the_batch_when_asked() -> None:
    lr, said = effective_lr(OptimConfig(lr=0.1, lr_batch=64), 8)
    assert lr == pytest.approx(0.0125)
    assert said.startswith("learning rate 0.0125 = 0.1 × 8 / 64: optim.lr is for 64 clips a step")
    assert effective_lr(OptimConfig(lr=0.1, lr_batch=64), 1024)[0] == pytest.approx(1.6)  # SlowFast
    assert effective_lr(OptimConfig(lr=0.1, lr_batch=64), 64)[0] == 0.1
    lr, said = effective_lr(OptimConfig(lr=0.1), 8)
    assert lr == 0.1
    assert said == "learning rate 0.1 as given, for 8 clips a step"


def test_parts_of_an_epoch_with_the_head_alone() -> None:
    assert head_steps(OptimConfig(head_epochs=1.5), 10) == 15
    assert head_steps(OptimConfig(), 10) == 0


def test_betas_reach_the_optimizer() -> None:
    config = OptimConfig(optimizer="adamw", betas=[0.8, 0.95])
    assert build_optimizer(nn.Linear(1, 1), config).param_groups[0]["betas"] == (0.8, 0.95)
    sgd = build_optimizer(nn.Linear(1, 1), OptimConfig(momentum=0.7)).param_groups[0]
    assert (sgd["momentum"], sgd["nesterov"]) == (0.7, True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "adam"}, "one of sgd, adamw"),
        ({"schedule": "step"}, "one of cosine, steps"),
        ({"lr": 0.0}, "above 0"),
        ({"milestones": [4, 3]}, "must rise"),
        ({"milestones": [0]}, "must rise, from above 0"),
        ({"milestones_in": "iterations"}, "one of epochs, steps"),
        ({"betas": [0.9]}, "two numbers in"),
        (
            {"milestones": [4]},
            r"optim.milestones \(\[4\]\) has no effect with optim.schedule=cosine: "
            r"set optim.schedule=steps, or optim.milestones=\[\], the default",
        ),
        ({"decay": 0.5}, "set optim.schedule=steps, or optim.decay=0.1"),
        ({"optimizer": "adamw", "momentum": 0.8}, "set optim.optimizer=sgd, or optim.momentum=0.9"),
        ({"betas": [0.9, 0.95]}, r"set optim.optimizer=adamw, or optim.betas=\[0.9,0.999\]"),
        ({"lr_batch": 0}, "at least 1, or null"),
        ({"layer_decay": 1.5}, "at most 1"),
        ({"head_epochs": -1}, "must not be negative"),
    ],
)
def test_impossible_options(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimConfig(**values)
