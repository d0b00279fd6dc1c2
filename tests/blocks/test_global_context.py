import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.conftest import randomise
from video_gc.blocks import BLOCKS, GlobalContext, build_block

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)
KINDS = sorted(BLOCKS)


def published(block: GlobalContext, x: Tensor) -> Tensor:
    """GCNet, equations of section 3, position by position in float64."""
    out = torch.empty_like(x)
    for n in range(len(x)):
        positions = x[n].reshape(x.shape[1], -1)  # C, P
        if block.pool == "attention":
            scores = [
                float(block.key.weight[0] @ positions[:, j]) for j in range(positions.shape[1])
            ]
            powers = [torch.tensor(s - max(scores), dtype=x.dtype).exp() for s in scores]
            weights = [p / sum(powers) for p in powers]
        else:
            weights = [1 / positions.shape[1]] * positions.shape[1]
        context = sum(w * positions[:, j] for j, w in enumerate(weights))
        layers = [layer for layer in block.transform if not isinstance(layer, nn.Identity)]
        for layer in layers:
            if isinstance(layer, nn.Linear):
                bias = 0 if layer.bias is None else layer.bias
                context = torch.stack([row @ context for row in layer.weight]) + bias
            elif isinstance(layer, nn.LayerNorm):
                centred = context - context.mean()
                context = centred / (centred.square().mean() + layer.eps).sqrt()
                context = context * layer.weight + layer.bias
            else:
                context = torch.where(context > 0, context, 0)
        gate = 1 / (1 + torch.exp(-context))
        column = (
            positions + context[:, None] if block.fusion == "add" else positions * gate[:, None]
        )
        out[n] = column.reshape(x.shape[1:])
    return out


@settings(max_examples=25, deadline=None)
@given(shape=SHAPES, kind=st.sampled_from(["gc", "snl", "se"]), seed=st.integers(0, 99))
def test_equals_the_papers_formula(shape: list[int], kind: str, seed: int) -> None:
    options = {"reduction": 2} if kind != "snl" else {}
    block = randomise(build_block(kind, 8, **options), seed).double()
    x = torch.randn(2, 8, *shape, generator=torch.Generator().manual_seed(seed)).double()
    torch.testing.assert_close(block(x), published(block, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["gc", "snl", "se"])
def test_gradients(kind: str) -> None:
    options = {"reduction": 2} if kind != "snl" else {}
    block = randomise(build_block(kind, 8, **options)).double()
    x = torch.randn(2, 8, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


def test_se_equals_torchvision() -> None:
    from torchvision.ops import SqueezeExcitation

    ours = randomise(build_block("se", 32, reduction=4))
    theirs = SqueezeExcitation(32, 8)
    for layer, linear in ((theirs.fc1, ours.transform[0]), (theirs.fc2, ours.transform[-1])):
        layer.weight.data = linear.weight.data[..., None, None].clone()
        layer.bias.data = linear.bias.data.clone()
    x = torch.randn(2, 32, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("kind", ["gc", "snl", "nl"])
def test_fresh_blocks_with_add_are_the_identity_bit_for_bit(kind: str) -> None:
    x = torch.randn(2, 16, 3, 4, 5)
    assert torch.equal(build_block(kind, 16)(x), x)


def test_a_fresh_gate_is_one_half() -> None:
    x = torch.randn(2, 16, 3, 4)
    assert torch.equal(build_block("se", 16)(x), 0.5 * x)
    assert torch.equal(build_block("gc", 16, fusion="scale")(x), 0.5 * x)


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("positions", [(5,), (3, 5), (2, 3, 5), (1, 1, 1)])
def test_both_memory_layouts_agree(kind: str, positions: tuple[int, ...]) -> None:
    block = randomise(build_block(kind, 16)).eval()
    x = torch.randn(2, 16, *positions)
    last = x.movedim(1, -1).contiguous().movedim(-1, 1)  # channels-last for any number of axes
    torch.testing.assert_close(block(last), block(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_keeps_the_dtype_of_x(kind: str) -> None:
    block = randomise(build_block(kind, 16)).eval()
    x = torch.randn(2, 16, 2, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, low = block(x), block(x.bfloat16())
    assert mixed.dtype == torch.float32
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(mixed, block(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("kind", ["gc", "snl"])
def test_attention_sums_to_one_and_is_what_the_block_uses(kind: str) -> None:
    block = randomise(build_block(kind, 16))
    x = torch.randn(2, 16, 2, 3, 4)
    weights = block.attention(x)
    assert weights.shape == (2, 2, 3, 4)
    torch.testing.assert_close(weights.sum((1, 2, 3)), torch.ones(2))
    expected = (x * weights[:, None]).sum((2, 3, 4))
    torch.testing.assert_close(block.context(x), expected)


def test_the_key_has_no_bias_because_softmax_ignores_it() -> None:
    assert BLOCKS["gc"](16).key.bias is None
    assert BLOCKS["snl"](16).transform[0].bias is None


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("gcx", {}, "unknown block 'gcx'; did you mean 'gc'"),
        ("gc", {"ratio": 4}, "takes no option 'ratio'.*reduction"),
        ("gc", {"fusion": "mul"}, "fusion .'mul'. must be one of add, scale"),
        ("gc", {"pool": "max"}, "pool .'max'. must be one of attention, average"),
        ("gc", {"transform": "mlp"}, "transform .'mlp'. must be one of bottleneck, linear"),
        ("gc", {"reduction": 8}, "largest usable reduction is 4"),
        ("se", {"reduction": 32}, "largest usable reduction is 16"),
        ("nl", {"reduction": 17}, "must be in 1…16"),
    ],
)
def test_a_wrong_choice_names_the_valid_ones(kind: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_block(kind, 16, **options)
