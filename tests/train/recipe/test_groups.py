"""Which parameters decay, how fast each stage learns, and what does not move by a single bit."""

import copy
from itertools import product

import pytest
import torch
from torch import nn

from tests.conftest import randomise
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.train.recipe.groups import (
    drop_gradients,
    freeze_stages,
    keep_still,
    parameter_groups,
    parameter_kinds,
    stage_names,
    waiting_parameters,
)
from video_gc.train.recipe.optim import OptimConfig, build_optimizer, describe_optim

TENSORS = {"stem": 3, "res2": 30, "res3": 39, "res4": 57, "res5": 30, "head": 2}
"""Of R50, by hand: a block has 3 convolutions and 3 norms of 2, a stage a shortcut of 3 more."""


def network(backbone: str = "slow", kind: str = "none", **options: object) -> nn.Module:
    context = ContextConfig(kind=kind)
    return build_model(
        ModelConfig(backbone=backbone, width=0.125, num_classes=4, context=context, **options)
    )


QUICK = {
    ("c2d", "none", True), ("i3d", "gc", False), ("slow", "nl", True), ("slowfast", "gc", True),
    ("x3d", "nl", False), ("r2plus1d", "none", False), ("r2plus1d", "nl", True),
}  # fmt: skip
"""Each backbone, and each kind with and without stages."""


@pytest.mark.parametrize(
    ("backbone", "kind", "by_stage"),
    [
        pytest.param(*given, marks=[] if given in QUICK else pytest.mark.slow)
        for given in product(
            ["c2d", "i3d", "slow", "slowfast", "x3d", "r2plus1d"],
            ["none", "gc", "nl"],
            [False, True],
        )
    ],
)
def test_every_parameter_is_in_one_group_and_norms_never_decay(
    backbone: str, kind: str, by_stage: bool
) -> None:
    after = ["all"] if backbone == "x3d" else ["five"]
    context = ContextConfig(kind=kind, after=after, options={})
    with torch.device("meta"):
        model = build_model(ModelConfig(backbone=backbone, num_classes=4, context=context))
    groups = parameter_groups(model, lr=1, weight_decay=0.3, by_stage=by_stage)
    seen = [id(p) for group in groups for p in group["params"]]
    assert sorted(seen) == sorted(id(p) for p in model.parameters())
    assert len({group["name"] for group in groups}) == len(groups)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            plain = name == "weight" and isinstance(module, nn.Conv3d | nn.Conv2d | nn.Linear)
            if plain or "Norm" in type(module).__name__ or name.endswith("bias"):
                assert decay[id(parameter)] == (0.3 if plain else 0), (type(module), name)


def test_a_norm_of_many_dimensions_does_not_decay() -> None:
    model = nn.Sequential(nn.Conv3d(3, 4, 1), nn.LayerNorm([4, 1, 1, 1]), nn.BatchNorm3d(4))
    model.scale = nn.Parameter(torch.ones(()))
    kinds = parameter_kinds(model)
    assert kinds["1.weight"] == kinds["1.bias"] == kinds["2.bias"] == "norm"
    assert (kinds["0.weight"], kinds["0.bias"], kinds["scale"]) == ("weight", "bias", "vector")


def test_layer_decay_is_the_table() -> None:
    model = network(kind="gc")
    stages = stage_names(model)
    counts = {stage: list(stages.values()).count(stage) for stage in TENSORS}
    assert counts == TENSORS
    groups = parameter_groups(
        model, lr=0.8, weight_decay=0.1, by_stage=True, layer_decay=0.5, head_lr=3
    )
    rates = {g["name"]: g["lr"] for g in groups if g["name"].endswith(" weights")}
    assert rates == pytest.approx(
        {
            "stem weights": 0.025,
            "res2 weights": 0.05,
            "res3 weights": 0.1,
            "res4 weights": 0.2,
            "res5 weights": 0.4,
            "head weights": 2.4,
            "context res3 weights": 2.4,
            "context res4 weights": 2.4,
        }
    )
    trained = parameter_groups(
        model, lr=0.8, weight_decay=0.1, by_stage=True, layer_decay=0.5, head_lr=3, fresh=False
    )
    assert {g["name"]: g["lr"] for g in trained}["context res3 weights"] == pytest.approx(0.1)
    assert [g["name"] for g in trained] == [g["name"] for g in groups]  # resuming relies on it


def test_laterals_are_of_the_stage_before_them() -> None:
    groups = parameter_groups(
        network("slowfast"), lr=1, weight_decay=0.1, by_stage=True, layer_decay=0.5
    )
    rates = {g["name"].removesuffix(" weights"): g["lr"] for g in groups}
    assert rates["fuse1"] == rates["slow.stem"] == rates["fast.stem"] == 0.5**5
    assert rates["fuse4"] == rates["slow.res4"] == rates["fast.res4"] == 0.5**2


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model(torch.randn(2, 3, 4, 32, 32)).square().sum().backward()


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_frozen_stages_do_not_move_by_a_bit(name: str) -> None:
    torch.manual_seed(0)
    model = randomise(network(kind="gc")).train()
    freeze_stages(model, ["stem", "res2", "res3"])
    keep_still(model)
    before = copy.deepcopy(model.state_dict())
    config = OptimConfig(optimizer=name, lr=0.01, weight_decay=0.5)
    optimizer = build_optimizer(model, config)
    for _ in range(3):
        optimizer.zero_grad()
        step(model, optimizer)
        optimizer.step()
    stages = stage_names(model)
    moved = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    frozen = {n for n in stages if stages[n] in ("stem", "res2", "res3")}
    assert moved & set(stages) == set(stages) - frozen
    buffers = {n for n in moved if n not in stages}
    assert buffers  # those of res4 and res5
    still = [n.rpartition(".")[0] + ".weight" for n in buffers]
    assert not frozen & set(still)
    assert any("context res3" in stages[n] for n in moved if n in stages)


def test_waiting_stages_gather_no_momentum_and_no_statistics() -> None:
    torch.manual_seed(0)
    model = randomise(network(kind="nl")).train()
    config = OptimConfig(lr=0.01, weight_decay=0.5, head_epochs=1)
    optimizer = build_optimizer(model, config)
    waiting = waiting_parameters(optimizer)
    keep_still(model, waiting)
    before = copy.deepcopy(model.state_dict())
    step(model, optimizer)
    drop_gradients(waiting)
    optimizer.step()
    moved = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert moved
    assert all(n.startswith("blocks.5.") or ".context." in n for n in moved)
    assert any(n.endswith("running_mean") for n in moved)  # of the non-local blocks
    assert not set(map(id, waiting)) & set(map(id, optimizer.state))
    model.train()
    keep_still(model)
    assert all(m.training for m in model.modules())


def test_names_to_freeze() -> None:
    model = network("slowfast")
    stages = stage_names(model)
    freeze_stages(model, ["stem", "fast.res2"])
    frozen = {stages[n] for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"slow.stem", "fast.stem", "fuse1", "fast.res2"}
    with pytest.raises(ValueError, match=r"called 'res6'; did you mean 'res5'\? Valid: stem, "):
        freeze_stages(network(), ["res6"])
    with pytest.raises(ValueError, match=r"called 'slow\.res2'"):
        freeze_stages(network(), ["slow.res2"])


def test_rates_of_fresh_blocks_survive_in_the_optimizer() -> None:
    model, config = network(kind="gc"), OptimConfig(layer_decay=0.5, head_lr=3, head_epochs=1)
    first = build_optimizer(model, config, fresh=False)
    resumed = build_optimizer(model, config)  # which does not know
    assert len(waiting_parameters(resumed)) < len(waiting_parameters(first))
    resumed.load_state_dict(first.state_dict())
    assert len(waiting_parameters(resumed)) == len(waiting_parameters(first))
    assert [g["lr"] for g in resumed.param_groups] == [g["lr"] for g in first.param_groups]


def test_what_is_said() -> None:
    model = network(kind="gc")
    freeze_stages(model, ["stem"])
    lines = describe_optim(
        model, OptimConfig(freeze=["stem"], head_epochs=2, head_lr=2, lr=0.1), pretrained=False
    )
    # 53 convolutions, the classifier, and in each of 5 blocks W_k and two more; less the stem's
    assert lines[0].startswith("weight decay 0.0001 on 68 weights; none on 114 parameters of norms")
    assert lines[1] == "frozen, with their batch norms: stem"
    assert "res5 0.1" in lines[2]
    assert "head 0.2" in lines[2]
    assert lines[3] == "first the head and context blocks alone, optim.head_epochs=2"
    assert "random weights" in lines[4]
