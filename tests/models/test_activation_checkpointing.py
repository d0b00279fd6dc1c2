"""Activation checkpointing: nothing changes but the memory, also where the network is compiled."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from video_gc.blocks import build_block
from video_gc.models.activation_checkpointing import checkpoint_activations
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig, insert_context
from video_gc.models.stochastic_depth import drop_branches

BACKBONES = ["c2d", "i3d", "slow", "slowfast", "x3d", "csn", "r2plus1d"]
QUICK = ("slow", "slowfast", "x3d")
KINDS = {
    "gc": "after_1x1", "snl": "after_add", "nl": "after_add", "cc": "after_3x3", "se": "after_add",
    "dnl": "after_add",
}  # fmt: skip


def build(name: str, kind: str) -> nn.Module:
    """With everything random that there is, and no branch at 0."""
    torch.manual_seed(0)
    context = ContextConfig(kind=kind, place=KINDS[kind], after=["res4.0", "res4.1"])
    model = build_model(
        ModelConfig(
            backbone=name, width=0.25, num_classes=3, dropout=0.3, stochastic_depth=0.4,
            context=context,
        )
    )  # fmt: skip
    return scaled(model)


def scaled(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.2, 0.9)
    return model.train()


def step(model: nn.Module, clip: Tensor) -> dict[str, Tensor]:
    """The loss, every gradient and every buffer of one training step."""
    torch.manual_seed(7)
    loss = F.cross_entropy(model(clip), torch.arange(len(clip)) % 3)
    loss.backward()
    found = {"loss": loss.detach()}
    found |= {f"grad {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    return found | {name: buffer.clone() for name, buffer in model.named_buffers()}


@pytest.mark.filterwarnings("ignore:'saved_variables':DeprecationWarning")  # pytorchvideo's swish
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=[] if name in QUICK else pytest.mark.slow)
        for name, kind in zip(BACKBONES, ["gc", "nl", "cc", "snl", "se", "nl", "dnl"], strict=True)
    ],
)
def test_a_step_is_the_same_bit_for_bit(name: str, kind: str) -> None:
    plain = build(name, kind)
    thrifty = copy.deepcopy(plain)
    checkpoint_activations(thrifty)
    assert list(plain.state_dict()) == list(thrifty.state_dict())
    clip = torch.randn(2, 3, 4, 32, 32)
    expected, found = step(plain, clip), step(copy.deepcopy(thrifty), clip)
    assert expected.keys() == found.keys()
    assert [n for n in expected if not torch.equal(expected[n], found[n])] == []
    with torch.inference_mode():
        thrifty.load_state_dict(plain.state_dict())
        assert torch.equal(thrifty.eval()(clip), plain.eval()(clip))


def test_less_is_kept_for_the_gradient() -> None:
    plain = build("slow", "gc")
    thrifty = copy.deepcopy(plain)
    checkpoint_activations(thrifty)
    clip = torch.randn(2, 3, 4, 64, 64)
    kept = {}
    for name, model in (("plain", plain), ("thrifty", thrifty)):
        seen: dict[int, int] = {}

        def keep(x: Tensor, seen: dict[int, int] = seen) -> Tensor:
            seen[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            model(clip)
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        kept[name] = sum(size for at, size in seen.items() if at not in weights)
    assert kept["thrifty"] < 0.4 * kept["plain"]


def image_network() -> nn.Module:
    """Small to compile, with the same hooks."""
    torch.manual_seed(0)
    model = resnet18(num_classes=3)
    insert_context(model, after=["res3.1"], make_block=lambda c: build_block("gc", c))
    drop_branches(model, 0.4)
    return scaled(model)


@pytest.mark.slow
def test_compiled_with_it_a_step_is_the_same() -> None:
    plain = image_network()
    thrifty = copy.deepcopy(plain)
    checkpoint_activations(thrifty)
    names = list(thrifty.state_dict())
    thrifty.compile(backend="aot_eager", dynamic=False)
    assert list(thrifty.state_dict()) == names
    image = torch.randn(2, 3, 32, 32)
    expected, found = step(plain, image), step(thrifty, image)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_network_without_residual_blocks_is_named() -> None:
    with pytest.raises(ValueError, match="no residual blocks"):
        checkpoint_activations(nn.Conv3d(1, 1, 1))
