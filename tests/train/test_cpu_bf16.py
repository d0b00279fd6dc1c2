"""bf16 training on the CPU: gradients that are right, whatever freed memory holds."""

import csv
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.models.activation_checkpointing import checkpoint_activations
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.train.loop import train
from video_gc.train.recipe.bf16_on_cpu import SoundBf16, conv3d

SHAPES = {  # input, weight, stride, padding, groups
    "stem of I3D": ((2, 3, 4, 32, 32), (8, 3, 5, 7, 7), (1, 2, 2), (2, 3, 3), 1),
    "stem of Slow": ((2, 3, 4, 32, 32), (8, 3, 1, 7, 7), (1, 2, 2), (0, 3, 3), 1),
    "1×1×1": ((2, 8, 4, 9, 9), (16, 8, 1, 1, 1), (1, 1, 1), (0, 0, 0), 1),
    "1×1×1, stride": ((2, 8, 4, 9, 8), (16, 8, 1, 1, 1), (1, 2, 2), (0, 0, 0), 1),
    "1×1×1, stride in time": ((2, 8, 4, 8, 8), (16, 8, 1, 1, 1), (2, 2, 2), (0, 0, 0), 1),
    "3×1×1": ((2, 8, 4, 8, 8), (6, 8, 3, 1, 1), (1, 1, 1), (1, 0, 0), 1),
    "7×1×1, stride": ((2, 8, 8, 8, 8), (6, 8, 7, 1, 1), (4, 1, 1), (3, 0, 0), 1),
    "1×3×3": ((2, 8, 4, 8, 8), (8, 8, 1, 3, 3), (1, 2, 2), (0, 1, 1), 1),
    "depthwise": ((2, 8, 4, 8, 8), (8, 1, 3, 3, 3), (1, 1, 1), (1, 1, 1), 8),
}


def poison() -> None:
    """Fill memory with NaN and free it again."""
    sizes = [4**power for power in range(2, 11)]
    kept = [torch.full((size,), float("nan")) for size in sizes for _ in range(3)]
    del kept


def error(found: Tensor, right: Tensor) -> float:
    return float(((found.double() - right).norm() / right.norm()).detach())


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_gradients_are_those_of_float64(name: str, layout: torch.memory_format) -> None:
    size, kernel, stride, padding, groups = SHAPES[name]
    torch.manual_seed(0)
    x = torch.randn(size).contiguous(memory_format=layout).bfloat16()
    weight = torch.randn(kernel).contiguous(memory_format=layout).bfloat16().float()
    given = (None, stride, padding, (1, 1, 1), groups)
    wide = x.double().requires_grad_(), weight.double().requires_grad_()
    out = F.conv3d(*wide, *given)
    gradient = torch.randn(out.shape).bfloat16()
    of_x, of_weight = torch.autograd.grad(out, wide, gradient.double())
    for _ in range(3):
        own = x.clone().requires_grad_(), weight.clone().requires_grad_()
        poison()
        mine = conv3d(*own, *given)
        poison()
        got_x, got_weight = torch.autograd.grad(mine, own, gradient)
        assert mine.dtype == got_x.dtype == torch.bfloat16
        assert got_weight.dtype == torch.float32
        assert error(mine, out.detach()) < 0.005
        assert error(got_x, of_x) < 0.005
        assert error(got_weight, of_weight) < 0.005


def test_the_bias_has_its_gradient() -> None:
    layer, x = nn.Conv3d(3, 4, 1), torch.randn(2, 3, 2, 4, 4)
    with SoundBf16(), torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert torch.equal(layer.bias.grad, torch.full((4,), 64.0))


def test_only_bf16_on_the_cpu_is_touched() -> None:
    layer, x = nn.Conv3d(3, 4, 1), torch.randn(2, 3, 2, 4, 4)
    with SoundBf16():
        assert "Conv3d" not in type(layer(x).grad_fn).__name__
        with torch.autocast("cpu", torch.bfloat16):
            assert "Conv3d" in type(layer(x).grad_fn.next_functions[0][0]).__name__


def test_what_is_computed_again_backward_is_the_same() -> None:
    torch.manual_seed(0)
    model = build_model(
        ModelConfig(backbone="slow", width=0.125, num_classes=3, context=ContextConfig(kind="gc"))
    ).train()
    again = deepcopy(model)
    checkpoint_activations(again, recompute_in=SoundBf16)
    clip, gradients = torch.randn(2, 3, 4, 32, 32), []
    for network in (model, again):
        torch.manual_seed(1)
        with SoundBf16(), torch.autocast("cpu", torch.bfloat16):
            loss = network(clip).float().square().sum()
        loss.backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


def test_a_step_uses_it(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = list[str]()

    def recorded(*given: object, **named: object) -> Tensor:
        used.append("conv3d")
        return conv3d(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("video_gc.train.recipe.bf16_on_cpu.conv3d", recorded)
    given = [*SMALL, f"data.root={clips_folder}", f"runs={tmp_path}", "epochs=1"]
    given += ["steps_per_epoch=1"]
    train(compose_train([*given, "name=fp32"]))
    assert not used
    train(compose_train([*given, "name=bf16", "precision=bf16"]))
    assert used


@pytest.mark.slow
def test_training_in_bf16_reaches_the_loss_of_fp32(clips_folder: Path, tmp_path: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        given = [*SMALL, f"data.root={clips_folder}", f"runs={tmp_path}", f"name={precision}"]
        done = train(compose_train([*given, f"precision={precision}", "epochs=4"]))
        (log,) = (done / "logs").rglob("metrics.csv")
        with log.open() as stream:
            rows = [row["train/loss"] for row in csv.DictReader(stream)]
        losses[precision] = [float(loss) for loss in rows if loss]
    assert len(losses["fp32"]) == 4
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], abs=0.08)


@pytest.mark.slow
def test_with_checkpointed_activations_it_trains_the_same(
    clips_folder: Path, tmp_path: Path
) -> None:
    given = [*SMALL, f"data.root={clips_folder}", f"runs={tmp_path}", "epochs=1", "precision=bf16"]
    given += ["steps_per_epoch=1"]
    plain = train(compose_train([*given, "name=plain"]))
    thrifty = train(compose_train([*given, "name=thrifty", "activation_checkpointing=true"]))
    one, two = (
        torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in (plain, thrifty)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(ValueError, match="wrong gradients on the CPU; leave out one"):
        more = ["name=x", "activation_checkpointing=true", "compile=true"]
        train(compose_train([*given, *more]))
