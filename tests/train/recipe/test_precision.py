"""Which precision a training takes, and keeps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.models.counts import complexity
from video_gc.train import loop
from video_gc.train.loop import train
from video_gc.train.recipe.precision import LEAST, begun_in, training_precision
from video_gc.train.resume import checkpoint_files as files

CLIP = ["clip.frames=4", "clip.crop=32"]


def network(kind: str | None) -> nn.Module:
    context = ContextConfig() if kind is None else ContextConfig(kind=kind)
    return build_model(ModelConfig(backbone="slow", width=0.0625, num_classes=3, context=context))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network(None)


def taken(
    model: nn.Module, *options: str, gpu: bool = False, multiplies: bool = True
) -> tuple[str, str]:
    config = compose_train(["data.root=x", *CLIP, *options])
    return training_precision(config, model, gpu=gpu, multiplies=multiplies)


def test_what_is_given_is_taken(model: nn.Module) -> None:
    assert taken(model, "precision=bf16", multiplies=False)[0] == "bf16"
    assert taken(model, "precision=fp32", "batch_size=100000")[0] == "fp32"


def test_without_the_hardware_it_is_fp32(model: nn.Module) -> None:
    assert taken(model, "batch_size=100000", multiplies=False) == (
        "fp32",
        "precision: fp32 (auto; this CPU does not multiply bf16)",
    )
    assert taken(model, gpu=True, multiplies=False)[0] == "fp32"
    assert taken(model, gpu=True)[0] == "bf16"


def test_on_a_cpu_the_step_has_to_be_large_enough(model: nn.Module) -> None:
    enough = -(-LEAST // complexity(model, (4, 32, 32)).flops)
    assert 2 < enough < 10_000
    assert taken(model, f"batch_size={enough}") == (
        "bf16",
        "precision: bf16 (auto; at least 200 M multiply-adds a step)",
    )
    assert taken(model, f"batch_size={enough - 1}")[0] == "fp32"
    # what it is divided into changes the memory, not the numbers
    assert taken(model, f"batch_size={2 * enough}", "accumulate=2")[0] == "bf16"


@pytest.mark.parametrize("kind", ["gc", "nl", "cc"])
def test_networks_that_differ_in_their_blocks_are_trained_alike(
    kind: str, model: nn.Module
) -> None:
    enough = -(-LEAST // complexity(model, (4, 32, 32)).flops)
    with_blocks = network(kind)
    assert complexity(with_blocks, (4, 32, 32)).flops > complexity(model, (4, 32, 32)).flops
    assert taken(with_blocks, f"batch_size={enough}")[0] == "bf16"
    assert taken(with_blocks, f"batch_size={enough - 1}")[0] == "fp32"


def test_no_wrong_gradients_unasked(model: nn.Module) -> None:
    given = "batch_size=100000", "compile=true", "activation_checkpointing=true"
    assert taken(model, *given)[0] == "fp32"


@pytest.mark.parametrize(
    ("config", "gpu", "precision"),
    [
        ({"precision": "bf16"}, False, "bf16"),
        ({"precision": "fp32"}, True, "fp32"),
        ({"precision": "auto"}, False, "fp32"),  # versions that trained in fp32 on any CPU
        ({}, False, "fp32"),
        ({"precision": "auto"}, True, "auto"),
    ],
)
def test_a_run_goes_on_as_it_was_begun(config: dict[str, Any], gpu: bool, precision: str) -> None:
    assert begun_in(config, gpu=gpu) == precision


def test_a_resumed_run_keeps_its_precision(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a machine that would choose another."""
    seen = list[str]()
    plain = loop.build_network

    def recorded(*given: Any, **named: Any) -> Any:
        made = plain(*given, **named)
        seen.append(made.precision)
        return made

    monkeypatch.setattr(loop, "build_network", recorded)
    monkeypatch.setattr("video_gc.train.recipe.precision.LEAST", 1)
    options = [*SMALL, f"data.root={clips_folder}", f"runs={tmp_path}", "name=run"]
    config = compose_train([*options, "precision=auto", "steps_per_epoch=1"])
    monkeypatch.setattr(loop, "has_bf16", lambda _device: False)
    with monkeypatch.context() as patched:
        patched.setattr(loop, "validate", lambda training: stop(training))
        with pytest.raises(RuntimeError, match="stopped"):
            train(config)
    monkeypatch.setattr(loop, "has_bf16", lambda _device: True)
    run = train(config)
    assert seen == ["fp32", "fp32"]
    last = torch.load(next(files.candidates(run / "checkpoints")), weights_only=True)
    assert last["video_gc"]["config"]["precision"] == "fp32"
    assert "precision: fp32" in (run / "versions.yaml").read_text()


def stop(training: Any) -> None:
    """Save, and end in the middle."""
    loop.save(training)
    raise RuntimeError("stopped")
