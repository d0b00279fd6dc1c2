import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.blocks.variants import VARIANTS
from tests.conftest import randomise, slow
from video_gc.blocks import BLOCKS, GlobalContext, build_block
from video_gc.blocks.attention_pool import attention_pool

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)
OURS = [name for name, (kind, _) in VARIANTS.items() if kind in ("gc", "snl", "se")]


def transformed(layers: nn.Sequential, context: Tensor) -> Tensor:
    """The transform of one context vector, layer by layer."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            bias = 0 if layer.bias is None else layer.bias
            context = torch.stack([row @ context for row in layer.weight]) + bias
        elif isinstance(layer, nn.LayerNorm):
            centred = context - context.mean()
            context = centred / (centred.square().mean() + layer.eps).sqrt()
            context = context * layer.weight + layer.bias
        elif isinstance(layer, nn.ReLU):
            context = torch.where(context > 0, context, 0)
    return context


def published(block: GlobalContext, x: Tensor) -> Tensor:
    """GCNet, equations of section 3, position by position in float64."""
    out = []
    for sample in x:
        positions = sample.reshape(x.shape[1], -1).T  # P, C
        if block.pool == "attention":
            powers = [(block.key.weight[0] @ position).exp() for position in positions]
            weights = [power / sum(powers) for power in powers]
        else:
            weights = [1 / len(positions)] * len(positions)
        if block.inside:  # eq. 2
            values = [transformed(block.transform, position) for position in positions]
            context = add = sum(w * v for w, v in zip(weights, values, strict=True))
        else:  # eq. 3 and 4
            context = sum(w * p for w, p in zip(weights, positions, strict=True))
            add = transformed(block.transform, context)
        rows = []
        for position in positions:
            if block.fusion == "add":
                rows.append(position + add)
            elif block.fusion == "scale":
                rows.append(position / (1 + torch.exp(-add)))
            else:
                gate = transformed(block.gate, context)
                rows.append(position / (1 + torch.exp(-gate)) + add)
        out.append(torch.stack(rows, 1).reshape(sample.shape))
    return torch.stack(out)


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=8)
@given(shape=SHAPES, seed=st.integers(0, 99), samples=st.integers(1, 2))
def test_equals_the_papers_formula(name: str, shape: list[int], seed: int, samples: int) -> None:
    kind, options = VARIANTS[name]
    block = randomise(build_block(kind, 8, **options), seed).double()
    x = torch.randn(samples, 8, *shape, generator=torch.Generator().manual_seed(seed)).double()
    torch.testing.assert_close(block(x), published(block, x), rtol=1e-10, atol=1e-10)


def test_se_equals_torchvision() -> None:
    from torchvision.ops import SqueezeExcitation

    ours = randomise(build_block("se", 32, reduction=4))
    theirs = SqueezeExcitation(32, 8)
    for layer, linear in ((theirs.fc1, ours.transform[0]), (theirs.fc2, ours.transform[-1])):
        layer.weight.data = linear.weight.data[..., None, None].clone()
        layer.bias.data = linear.bias.data.clone()
    x = torch.randn(2, 32, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_both_forms_of_snl_are_equal_and_the_second_is_cheaper() -> None:
    """GCNet eq. 2 (W_v inside the pooling) and eq. 3 (outside): the weights sum to one."""
    inside = randomise(build_block("snl", 16, transform="linear_inside")).double()
    outside = build_block("snl", 16).double()
    outside.load_state_dict(inside.state_dict())
    x = torch.randn(2, 16, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(inside(x), outside(x), rtol=1e-12, atol=1e-12)
    saved = inside.multiply_adds((3, 4, 5)) - outside.multiply_adds((3, 4, 5))
    assert saved == 16 * 16 * (3 * 4 * 5 - 1)


def test_a_fresh_gate_is_one_half() -> None:
    x = torch.randn(2, 16, 3, 4)
    assert torch.equal(build_block("se", 16)(x), 0.5 * x)
    for fusion in ("scale", "both"):
        assert torch.equal(build_block("gc", 16, fusion=fusion)(x), 0.5 * x)


@pytest.mark.parametrize("kind", ["gc", "snl", "se"])
def test_learning_starts_at_the_last_layer_and_reaches_every_parameter(kind: str) -> None:
    torch.manual_seed(0)
    block = build_block(kind, 64)
    last = {f"transform.{len(block.transform) - 1}.{name}" for name in ("weight", "bias")}
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        x = torch.randn(4, 64, 2, 3, 3)
        (block(x) * torch.randn_like(x)).sum().backward()
        for name, parameter in block.named_parameters():
            live = bool(parameter.grad.abs().max() > 0)
            assert live == (step == 1 or name in last), f"{name} at step {step}"
        optimizer.step()


@pytest.mark.parametrize("kind", ["gc", "snl"])
def test_attention_sums_to_one_and_is_what_the_block_uses(kind: str) -> None:
    block = randomise(build_block(kind, 16))
    x = torch.randn(2, 16, 2, 3, 4)
    weights = block.attention_map(x)
    assert weights.shape == (2, 2, 3, 4)
    torch.testing.assert_close(weights.sum((1, 2, 3)), torch.ones(2))
    expected = (x * weights[:, None]).sum((2, 3, 4))
    torch.testing.assert_close(block.context(x), expected)


def test_average_pooling_has_uniform_attention() -> None:
    weights = build_block("se", 16).attention_map(torch.randn(2, 16, 2, 3))
    torch.testing.assert_close(weights, torch.full((2, 2, 3), 1 / 6))


def test_the_key_has_no_bias_because_softmax_ignores_it() -> None:
    assert BLOCKS["gc"](16).key.bias is None
    assert BLOCKS["snl"](16).transform[0].bias is None


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("gcx", {}, "unknown block 'gcx'; did you mean 'gc'"),
        ("gc", {"ratio": 4}, "takes no option 'ratio'.*reduction"),
        ("gc", {"fusion": "mul"}, "fusion .'mul'. must be one of add, scale, both"),
        ("gc", {"pool": "max"}, "pool .'max'. must be one of attention, average"),
        ("gc", {"transform": "mlp"}, "transform .'mlp'. must be one of bottleneck, linear"),
        ("snl", {"transform": "linear_inside", "fusion": "both"}, "fusion 'both' needs two"),
        ("gc", {"reduction": 8}, "largest usable reduction is 4"),
        ("gc", {"reduction": 32, "norm": False}, "largest usable reduction is 16"),
        ("gc", {"reduction": 2.5}, "must be a whole number"),
        ("gc", {"reduction": 99}, "largest usable reduction is 4"),
        ("se", {"reduction": 32}, "largest usable reduction is 16"),
    ],
)
def test_a_wrong_choice_names_the_valid_ones(kind: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_block(kind, 16, **options)


def test_too_few_channels_for_a_norm_name_the_way_out() -> None:
    with pytest.raises(ValueError, match="3 channels are too few .*; use norm=False"):
        build_block("gc", 3)


@pytest.mark.parametrize(
    ("samples", "layout"),
    [
        (1, "contiguous"),
        (3, "channels-last"),
        slow(1, "channels-last"),
        slow(3, "contiguous"),
    ],
)
def test_the_gradient_of_the_pooling_has_a_gradient(samples: int, layout: str) -> None:
    """Its backward is written by hand; both orders against finite differences."""
    x = torch.randn(samples, 8, 2, 3, dtype=torch.float64)
    if layout == "channels-last":
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    key = torch.randn(1, 8, dtype=torch.float64, requires_grad=True)
    x.requires_grad_()
    assert torch.autograd.gradcheck(attention_pool, (x, key))
    assert torch.autograd.gradgradcheck(attention_pool, (x, key))
