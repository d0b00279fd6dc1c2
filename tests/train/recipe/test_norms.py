"""Zero-initialised, frozen and synchronised batch norms."""

import copy

import pytest
import torch
from torch import nn

from video_gc.backbones.stages import last_norm, residual_blocks
from video_gc.backbones.sync_norms import SyncBatchNorm2d, SyncBatchNorm3d
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig, context_blocks
from video_gc.train.network import prepare_network
from video_gc.train.recipe.norms import NormConfig, freeze_norms, prepare_norms

BACKBONES = ["c2d", "i3d", "slow", "slowfast", "x3d", "csn", "r2plus1d"]


def build(name: str = "slow", kind: str = "nl", *, zero_init: bool = True) -> nn.Module:
    options = {"reduction": 2} if kind == "gc" else {}
    context = ContextConfig(kind=kind, after=["res4.1"], options=options)
    model = build_model(ModelConfig(backbone=name, width=0.125, num_classes=3, context=context))
    prepare_norms(model, NormConfig(zero_init=zero_init), weights=None, gpu=False)
    return model


def scales(model: nn.Module) -> set[float]:
    """Of the last norms of all residual blocks."""
    return {
        float(value.detach())
        for block in residual_blocks(model).values()
        for value in last_norm(block).weight.unique()  # type: ignore[operator,union-attr]
    }


@pytest.mark.parametrize("name", BACKBONES)
def test_the_last_norms_start_at_0_or_1(name: str) -> None:
    assert scales(build(name)) == {0}
    model = build(name, zero_init=False)
    assert scales(model) == {1}
    others = [m.weight for n, m in model.named_modules()
              if isinstance(m, nn.BatchNorm3d) and not n.endswith("norm_c")]  # fmt: skip
    assert all((weight == 1).all() for weight in others)


def test_loaded_norms_win(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    source = build(kind="none")
    for block in residual_blocks(source).values():
        nn.init.uniform_(last_norm(block).weight, 2, 3)  # type: ignore[arg-type]
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": source.state_dict()}, file)
    for zero in (True, False):
        model = build_model(
            ModelConfig(backbone="slow", width=0.125, num_classes=3, weights=str(file))
        )
        prepare_norms(model, NormConfig(zero_init=zero), weights=str(file), gpu=False)
        assert min(scales(model)) >= 2


QUICK = {
    ("frozen", "i3d"),
    ("batch", "slow"),
    ("sync", "c2d"),
    ("sync", "csn"),
    ("frozen", "r2plus1d"),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=[] if (kind, name) in QUICK else pytest.mark.slow)
        for kind in ("batch", "sync", "frozen")
        for name in BACKBONES
    ],
)
def test_names_and_eval_do_not_change(kind: str, name: str) -> None:
    torch.manual_seed(0)
    plain = build(name, zero_init=False).eval()
    other = copy.deepcopy(plain)
    prepare_norms(other, NormConfig(kind=kind), weights="some", gpu=False)
    assert list(plain.state_dict()) == list(other.state_dict())
    clip = torch.randn(2, 3, 4, 32, 32)
    with torch.inference_mode():
        assert torch.equal(plain(clip), copy.deepcopy(other)(clip))


def test_frozen_norms_stay_as_they_are() -> None:
    torch.manual_seed(0)
    model = build(zero_init=False)
    prepare_norms(model, NormConfig(kind="frozen"), weights="some", gpu=False)
    model.train()
    before = copy.deepcopy(model.state_dict())
    clip = torch.randn(2, 3, 4, 32, 32)
    model(clip).sum().backward()
    moved = {
        name for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    ours = {n for n in before if "context.norm." in n and ("running" in n or "tracked" in n)}
    assert moved == ours  # a fresh block learns with its own batch norm, or it would stay at zero
    graded = {name for name, p in model.named_parameters() if p.grad is not None}
    assert not any(".norm_" in name for name in graded)
    [context] = context_blocks(model).values()
    assert context.norm.weight.grad.abs().max() > 0  # type: ignore[union-attr,operator]
    convs = [n for n, p in model.named_parameters() if p.ndim > 1]
    assert set(convs) <= graded


def test_frozen_norms_of_a_part() -> None:
    model = build()
    blocks = residual_blocks(model)
    freeze_norms(blocks["res2.0"].modules())
    model.train()
    assert not last_norm(blocks["res2.0"]).training
    assert last_norm(blocks["res2.1"]).training


def test_impossible_norms_are_named() -> None:
    with pytest.raises(ValueError, match="norm.kind=frozen without model.weights"):
        prepare_norms(build(), NormConfig(kind="frozen"), weights=None, gpu=False)
    with pytest.raises(ValueError, match=r"norm.kind \('bn'\) must be one of batch, sync, frozen"):
        NormConfig(kind="bn")


def test_on_a_gpu_torchs_own_synchronised_norm_is_used() -> None:
    model = build()
    names = list(model.state_dict())
    prepare_norms(model, NormConfig(kind="sync"), weights=None, gpu=True)
    assert list(model.state_dict()) == names
    kinds = {type(m) for m in model.modules() if "BatchNorm" in type(m).__name__}
    assert kinds == {nn.SyncBatchNorm}
    assert scales(model) == {0}


def test_one_process_trains_with_the_synchronised_norm_as_without() -> None:
    torch.manual_seed(0)
    plain = build(zero_init=False).train()
    other = copy.deepcopy(plain)
    prepare_norms(other, NormConfig(kind="sync"), weights="some", gpu=False)
    kinds = {type(m) for m in other.modules() if "BatchNorm" in type(m).__name__}
    assert kinds == {SyncBatchNorm2d, SyncBatchNorm3d}
    clip = torch.randn(2, 3, 4, 32, 32)
    torch.manual_seed(1)
    expected = plain(clip)
    torch.manual_seed(1)
    assert torch.equal(other(clip), expected)
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), other.buffers(), strict=True))


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="needs a C\\+\\+ compiler"):
        prepare_network(build(), NormConfig(), weights=None, gpu=False, compile=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nl"])
def test_a_compiled_step_is_the_same(kind: str) -> None:
    torch.manual_seed(0)
    plain = build(kind=kind, zero_init=False).train()
    other = copy.deepcopy(plain)
    names = list(other.state_dict())
    other.compile(backend="eager", dynamic=False)  # traced, and run as traced
    assert list(other.state_dict()) == names
    clip = torch.randn(2, 3, 4, 32, 32)
    grads = []
    for model in (plain, other):
        torch.manual_seed(1)
        model(clip).square().mean().backward()
        grads.append({n: p.grad for n, p in model.named_parameters()})
    assert all(torch.equal(grads[0][name], grads[1][name]) for name in grads[0])
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), other.buffers(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "checkpointing"),
    [  # each takes minutes: every network and every kind at least once
        *(("c2d", "none", False), ("i3d", "gc", True), ("slow", "snl", False)),
        *(("slowfast", "nl", True), ("csn", "cc", True), ("r2plus1d", "gc", False)),
        *(("slowfast", "cc", False), ("c2d", "dnl", True)),
        # compiled in parts, since dynamo stops at its swish; their inputs are not leaves
        pytest.param(
            *("x3d", "se", True), marks=pytest.mark.filterwarnings("ignore:The .grad attribute")
        ),
    ],
)
def test_every_network_compiles_with_everything(name: str, kind: str, checkpointing: bool) -> None:
    torch.manual_seed(0)
    context = ContextConfig(kind=kind, after=["res4.1"])
    plain = build_model(
        ModelConfig(backbone=name, width=0.25, num_classes=3, dropout=0, context=context)
    )
    prepare_norms(plain, NormConfig(zero_init=False), weights=None, gpu=False)
    # in double precision: norms over a handful of values blow rounding up
    plain, clip = plain.double(), torch.randn(2, 3, 8, 64, 64).double()
    torch._dynamo.reset()
    other = copy.deepcopy(plain)
    prepare_network(
        other, NormConfig(zero_init=False), weights="some", gpu=False, compile=True,
        activation_checkpointing=checkpointing,
    )  # fmt: skip
    eager, losses = copy.deepcopy(plain), []
    for model in (eager, other):
        loss = model.train()(clip).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    for (statistic, a), b in zip(eager.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9, msg=statistic)
