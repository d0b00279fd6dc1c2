"""What every entry of BLOCKS holds with its default options, also one that somebody adds."""

import pytest
import torch
from torch import nn

from tests.conftest import randomise
from video_gc.blocks import BLOCKS, build_block, kind_of

every_kind = pytest.mark.parametrize("kind", sorted(BLOCKS))
CLIP = (2, 16, 3, 4, 5)


@every_kind
def test_a_block_keeps_shape_and_dtype_in_both_memory_layouts(kind: str) -> None:
    block = randomise(build_block(kind, 16)).eval()
    x = torch.randn(CLIP)
    out = block(x)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    last = block(x.to(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(last, out, rtol=1e-5, atol=1e-5)


@every_kind
def test_gradients_reach_every_parameter_of_a_block(kind: str) -> None:
    block = randomise(build_block(kind, 16)).train()
    block(torch.randn(CLIP)).square().sum().backward()
    assert [name for name, p in block.named_parameters() if p.grad is None] == []


@every_kind
def test_a_block_computes_no_value_for_its_shape(kind: str) -> None:
    with torch.device("meta"):
        assert build_block(kind, 16).eval()(torch.empty(CLIP)).shape == CLIP


@every_kind
def test_a_block_knows_its_kind(kind: str) -> None:
    assert kind_of(build_block(kind, 16)) == kind


def test_a_block_without_a_kind_is_called_after_its_class() -> None:
    assert kind_of(nn.Identity()) == "Identity"
