"""Stochastic depth: rates, expectation, names, copies."""

import copy

import pytest
import torch
from torch import nn

from tests.conftest import slow
from video_gc.backbones.stages import residual_blocks, residual_branch
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.models.stochastic_depth import drop_branch, drop_branches


def build(name: str = "slow", rate: float = 0.5) -> nn.Module:
    context = ContextConfig(kind="gc", after=["res4.*"], place="after_1x1")
    torch.manual_seed(0)
    return build_model(
        ModelConfig(
            backbone=name, width=0.125, num_classes=3, dropout=0, stochastic_depth=rate,
            context=context,
        )
    )  # fmt: skip


def test_the_rate_grows_linearly_to_that_of_the_last_block() -> None:
    with torch.device("meta"):
        rates = drop_branches(build(rate=0), 0.8)
        both = drop_branches(build("slowfast", rate=0), 0.8)
    assert list(rates.values()) == pytest.approx([0.8 * block / 16 for block in range(1, 17)])
    assert both["slow.res5.2"] == both["fast.res5.2"] == 0.8
    assert both["slow.res2.0"] == both["fast.res2.0"] == pytest.approx(0.05)


def test_a_branch_is_left_out_for_some_clips_and_keeps_its_mean() -> None:
    torch.manual_seed(0)
    module, ones = nn.Identity().train(), torch.ones(4000, 2, 1, 3, 3)
    dropped = drop_branch(module, (ones,), ones, rate=0.3)
    each = dropped.flatten(1)
    assert torch.equal(each.amin(1), each.amax(1))  # whole clips
    assert each.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert dropped.mean() == pytest.approx(1, abs=0.04)
    assert drop_branch(module.eval(), (ones,), ones, rate=0.3) is ones


@pytest.mark.parametrize(
    "name",
    [
        "slowfast",
        "x3d",
        *(slow(n) for n in ("c2d", "csn", "r2plus1d")),
    ],
)
def test_eval_and_names_do_not_change(name: str) -> None:
    plain, full = build(name, 0).eval(), build(name).eval()
    assert list(plain.state_dict()) == list(full.state_dict())
    for model in (plain, full):
        for block in residual_blocks(model).values():
            nn.init.constant_(residual_branch(block).norm_c.weight, 0.3)
    clip = torch.randn(3, 3, 4, 32, 32)
    with torch.inference_mode():
        assert torch.equal(plain(clip), full(clip))
        twin = copy.deepcopy(full).train()
        torch.manual_seed(1)
        first = twin(clip)
        torch.manual_seed(2)
        assert not torch.equal(twin(clip), first)


@pytest.mark.slow
def test_it_can_be_exported() -> None:
    model, clip = build().eval(), torch.randn(1, 3, 4, 32, 32)
    exported = torch.export.export(model, (clip,)).module()
    torch.testing.assert_close(exported(clip), model(clip))


def test_a_wrong_rate_is_named() -> None:
    with pytest.raises(ValueError, match=r"model.stochastic_depth \(1.0\) must be in \[0, 1\)"):
        ModelConfig(stochastic_depth=1.0)
    with pytest.raises(ValueError, match="no residual blocks"):
        drop_branches(nn.Conv3d(1, 1, 1), 0.5)
