"""The benchmark of training steps measures what it says."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from benchmarks.parts.measurement import CPU
from benchmarks.parts.training_step import Trainer
from benchmarks.train import DEMO, STEPS, Step, bag, measure
from torch.nn import functional as F

from video_gc.config import compose_train
from video_gc.models.build import build_model
from video_gc.models.counts import complexity
from video_gc.train.options import TrainConfig
from video_gc.train.recipe.precision import LEAST, training_precision

SMALL = Step(bag(1 / 16, "gc"), 2, (4, 24, 24))


def test_a_row_has_its_size_and_both_times() -> None:
    row = measure("small", SMALL, rounds=3)
    network = build_model(SMALL.model).eval()
    assert row.multiply_adds == 2 * complexity(network, SMALL.shape).flops
    none = build_model(bag(1 / 16)).eval()
    assert row.without_blocks == 2 * complexity(none, SMALL.shape).flops < row.multiply_adds
    assert {name: len(times) for name, times in row.seconds.items()} == {"fp32": 3, "bf16": 3}
    row.seconds = {"fp32": [0.3, 0.1, 0.2], "bf16": [0.1, 0.4, 0.05]}
    assert row.cells()[-3:] == ["200", "100", "2.00"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_is_one_of_a_training(precision: str) -> None:
    torch.manual_seed(4)  # batch norms over two small clips: some draws lie near a limit
    network = build_model(SMALL.model)
    trainer, literal = Trainer(deepcopy(network), CPU, precision), deepcopy(network).train()
    clips, labels = torch.randn(2, 3, *SMALL.shape), torch.tensor([0, 1])
    trainer.step(clips, labels)
    assert isinstance(trainer.optimizer, torch.optim.AdamW)
    F.cross_entropy(literal(clips), labels).backward()
    most = 0.0
    for ours, plain in zip(trainer.network.parameters(), literal.parameters(), strict=True):
        assert ours.grad is not None
        assert plain.grad is not None
        off = (ours.grad - plain.grad).norm() / (plain.grad.norm() + 1e-3)
        most = max(most, float(off))
    assert most < 1e-4 if precision == "fp32" else 1e-3 < most < 0.3
    assert any((a - b).abs().max() > 0 for a, b in
               zip(trainer.network.parameters(), network.parameters(), strict=True))  # fmt: skip


def test_steps_lie_on_both_sides_of_the_limit() -> None:
    chosen = set()
    for step in STEPS.values():
        config = TrainConfig(batch_size=step.clips)
        config.clip.frames, config.clip.crop = step.shape[0], step.shape[2]
        network = build_model(step.model)
        chosen.add(training_precision(config, network, gpu=False, multiplies=True)[0])
    assert chosen == {"fp32", "bf16"}
    assert LEAST == 200_000_000, "docs/benchmarks.md says so"


def test_the_demo_is_the_demo() -> None:
    demo = compose_train(["experiment=demo", "model.context.options.reduction=1"])
    step, network = STEPS[DEMO], build_model(replace(demo.model, num_classes=4))
    ours = build_model(step.model)
    assert repr(ours) == repr(network)
    assert (step.clips, step.shape) == (
        demo.batch_size, (demo.clip.frames, demo.clip.crop, demo.clip.crop)
    )  # fmt: skip
