"""A bag network sees small neighbourhoods alone, wherever they lie."""

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import slow
from video_gc.backbones import build_backbone
from video_gc.backbones.receptive_field import receptive_field
from video_gc.backbones.stages import residual_blocks

CASES = [(14, "stem"), (14, "res2"), slow(26, "res3"), (11, "stem"), (50, "stem")]


def last_map(network: nn.Module, clip: Tensor) -> Tensor:
    """What goes into the head."""
    for block in network.blocks[:-1]:  # type: ignore[index, union-attr]
        clip = block(clip)
    return clip


def fresh(depth: int, until: str) -> nn.Module:
    torch.manual_seed(0)
    network = build_backbone("bag", depth=depth, width=1 / 16, kernels_until=until, num_classes=3)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)  # zero at the end of a fresh branch
            nn.init.uniform_(norm.bias, 0.1, 0.5)  # nearly nothing is cut off by ReLU
    return network.eval().double()


@pytest.mark.parametrize(("depth", "until"), CASES)
def test_a_position_sees_just_its_receptive_field(depth: int, until: str) -> None:
    network = fresh(depth, until)
    field = receptive_field(network)
    assert field is not None
    frames, rows, columns = field
    clip = torch.rand(1, 3, frames + 12, rows + 24, columns + 24, dtype=torch.double)
    seen = torch.zeros(clip.shape[2:], dtype=torch.bool)
    for _ in range(12):  # the max-pool takes one position of nine: several clips show them all
        own = torch.rand_like(clip).requires_grad_()
        features = last_map(network, own)
        middle = tuple(size // 2 for size in features.shape[2:])
        features[(0, slice(None), *middle)].sum().backward()
        assert own.grad is not None
        seen |= own.grad[0].abs().sum(0) > 0
    for axis, size in enumerate(field):
        there = seen.any(dim=tuple(a for a in range(3) if a != axis)).nonzero()
        assert int(there.max() - there.min()) + 1 == size


def test_the_receptive_field_of_a_c2d_is_that_of_resnet_50() -> None:
    with torch.device("meta"):  # 427 pixels: Araujo et al., Distill 2019, with strides in 3×3
        assert receptive_field(build_backbone("c2d_nopool")) == (1, 427, 427)
        assert receptive_field(build_backbone("x3d")) is None
        assert receptive_field(build_backbone("slowfast")) is None


@pytest.mark.parametrize(("depth", "until"), CASES[:3])
def test_an_object_that_moves_changes_nothing_else(depth: int, until: str) -> None:
    """Borders included: on an even ground each position computes the same."""
    network = fresh(depth, until)
    field = receptive_field(network)
    assert field is not None
    step = 4 if until != "res3" else 8
    ground = torch.full((1, 3, 12, 16 * step, 16 * step), 0.3, dtype=torch.double)
    object_ = torch.rand(3, 4, step, step, dtype=torch.double)
    here, there = ground.clone(), ground.clone()
    here[0, :, 4:8, 6 * step : 7 * step, 6 * step : 7 * step] = object_
    there[0, :, 6:10, 6 * step : 7 * step, 7 * step : 8 * step] = object_
    with torch.no_grad():
        empty, first, second = (last_map(network, clip) for clip in (ground, here, there))
    assert torch.allclose(empty, empty[:, :, :1, :1, :1].expand_as(empty))
    assert not torch.allclose(first, empty)
    moved = first.roll((1, 1), (2, 4))
    reach = field[1] // step + 1
    inner = (slice(None), slice(None), slice(1, -1), slice(None), slice(reach, -reach))
    if until == "stem":
        torch.testing.assert_close(second[inner], moved[inner])
    away = (slice(None), slice(None), slice(None), slice(0, 1), slice(0, 1))
    torch.testing.assert_close(second[away], empty[away])


def test_names_are_those_of_i3d() -> None:
    with torch.device("meta"):
        ours = build_backbone("bag", kernels_until="res5").state_dict()
        theirs = build_backbone("i3d_heavy").state_dict()
    shift = {f"blocks.{n}": f"blocks.{n + (n > 1)}" for n in range(6)}  # I3D: a max-pool after res2
    assert {shift[name[:8]] + name[8:] for name in ours} == set(theirs)
    assert list(residual_blocks(build_backbone("bag", depth=14, width=1 / 16))) == [
        "res2.0", "res3.0", "res4.0", "res5.0"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "bag", "kernels_until": "res6"}, "must be one of stem, res2"),
        ({"name": "i3d", "kernels_until": "res2"}, "an option of bag, not of i3d"),
        ({"name": "bag", "depth": 11, "kernels_until": "res5"}, "depth 11 has no such stage"),
        ({"name": "bag", "depth": 18}, "depth .18. must be one of 11, 14, 26, 50, 101"),
        ({"name": "i3d", "depth": 14}, "depth .14. must be one of 50, 101"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(**options)
