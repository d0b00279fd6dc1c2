"""Which precision a training takes."""

import pytest
import torch
from torch import nn

from video_gc.config import compose_train
from video_gc.models.counts import complexity
from video_gc.train.recipe import precision
from video_gc.train.recipe.precision import LEAST, training_precision

CLIP = ["clip.frames=4", "clip.crop=32"]


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.Flatten(), nn.LazyLinear(5))


@pytest.fixture
def multiplies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kinds of device that multiply bf16; empty: none."""
    kinds: list[str] = []
    monkeypatch.setattr(precision, "has_bf16", lambda device: device.type in kinds)
    return kinds


def taken(model: nn.Module, *options: str, gpu: bool = False) -> tuple[str, str]:
    model(torch.zeros(1, 3, 4, 32, 32))
    return training_precision(compose_train(["data.root=x", *CLIP, *options]), model, gpu=gpu)


def test_what_is_given_is_taken(model: nn.Module, multiplies: list[str]) -> None:
    assert taken(model, "precision=bf16")[0] == "bf16"
    multiplies += ["cpu", "cuda"]
    assert taken(model, "precision=fp32", "batch_size=100000")[0] == "fp32"


def test_without_the_hardware_it_is_fp32(model: nn.Module, multiplies: list[str]) -> None:
    assert taken(model, "batch_size=100000") == (
        "fp32",
        "precision: fp32 (auto; this CPU does not multiply bf16)",
    )
    multiplies.append("cpu")
    assert taken(model, gpu=True)[0] == "fp32"
    multiplies.append("cuda")
    assert taken(model, gpu=True)[0] == "bf16"


def test_on_a_cpu_the_step_has_to_be_large_enough(model: nn.Module, multiplies: list[str]) -> None:
    multiplies.append("cpu")
    model(torch.zeros(1, 3, 4, 32, 32))
    enough = -(-LEAST // complexity(model, (4, 32, 32)).flops)
    assert 2 < enough < 1000
    assert taken(model, f"batch_size={enough}") == (
        "bf16",
        "precision: bf16 (auto; at least 200 M multiply-adds a step)",
    )
    assert taken(model, f"batch_size={enough - 1}")[0] == "fp32"
    # what it is divided into changes the memory, not the numbers
    assert taken(model, f"batch_size={2 * enough}", "accumulate=2")[0] == "bf16"


def test_no_wrong_gradients_unasked(model: nn.Module, multiplies: list[str]) -> None:
    multiplies.append("cpu")
    given = "batch_size=100000", "compile=true", "activation_checkpointing=true"
    assert taken(model, *given)[0] == "fp32"
