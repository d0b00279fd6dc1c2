import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from torch import Tensor

from tests.conftest import randomise
from video_gc.blocks import NonLocal


def published(block: NonLocal, x: Tensor) -> Tensor:
    """Wang et al., eq. 1 with the embedded gaussian, query by query in float64."""
    out = torch.empty_like(x)
    for n in range(len(x)):
        columns = x[n].reshape(x.shape[1], -1).T  # P, C
        q, k, g = (
            columns @ layer.weight.T + layer.bias for layer in (block.query, block.key, block.value)
        )
        rows = []
        for i in range(len(columns)):
            powers = torch.stack(
                [torch.exp(block.scale * (q[i] @ k[j])) for j in range(len(columns))]
            )
            mean = sum(powers[j] * g[j] for j in range(len(columns))) / powers.sum()
            z = block.out.weight @ mean + block.out.bias
            norm = block.norm
            z = (z - norm.running_mean) / (
                norm.running_var + norm.eps
            ).sqrt() * norm.weight + norm.bias
            rows.append(columns[i] + z)
        out[n] = torch.stack(rows, 1).reshape(x.shape[1:])
    return out


@settings(max_examples=20, deadline=None)
@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    scale=st.booleans(),
    reduction=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 99),
)
def test_equals_the_papers_formula(
    shape: list[int], scale: bool, reduction: int, seed: int
) -> None:
    block = randomise(NonLocal(8, scale=scale, reduction=reduction), seed).double().eval()
    x = torch.randn(2, 8, *shape, generator=torch.Generator().manual_seed(seed)).double()
    torch.testing.assert_close(block(x), published(block, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("training", [False, True])
def test_equals_pytorchvideo_with_the_same_weights(training: bool) -> None:
    ours = randomise(NonLocal(16)).train(training)
    theirs = create_nonlocal(dim_in=16, dim_inner=8, instantiation="softmax").train(training)
    for layer, linear in (
        (theirs.conv_theta, ours.query),
        (theirs.conv_phi, ours.key),
        (theirs.conv_g, ours.value),
        (theirs.conv_out, ours.out),
    ):
        layer.weight.data = linear.weight.data.reshape(layer.weight.shape).clone()
        layer.bias.data = linear.bias.data.clone()
    theirs.norm.load_state_dict(ours.norm.state_dict())
    x = torch.randn(2, 16, 3, 4, 5)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_gradients() -> None:
    block = randomise(NonLocal(8)).double().eval()
    x = torch.randn(2, 8, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


def test_attention_is_what_the_block_uses() -> None:
    block = randomise(NonLocal(8)).eval()
    x = torch.randn(2, 8, 2, 3)
    weights = block.attention(x)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 6))
    rows = x.flatten(2).transpose(1, 2)
    z = block.norm(block.out(weights @ block.value(rows)).transpose(1, 2)).reshape(x.shape)
    torch.testing.assert_close(block(x), x + z)


def test_learning_starts_at_the_batch_norm_and_reaches_every_live_parameter() -> None:
    """The published biases of φ, g and W_z are dead in training, as the docstring says."""
    torch.manual_seed(0)
    block = NonLocal(64)
    dead = {"key.bias", "value.bias", "out.bias"}
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    for step in range(2):
        optimizer.zero_grad()
        x = torch.randn(4, 64, 2, 3, 3)
        (block(x) * torch.randn_like(x)).sum().backward()
        largest = {name: float(p.grad.abs().max()) for name, p in block.named_parameters()}
        if step == 0:
            assert {name for name, grad in largest.items() if grad} == {"norm.weight", "norm.bias"}
        else:
            live = min(grad for name, grad in largest.items() if name not in dead)
            assert live > 0
            assert max(largest["key.bias"], largest["out.bias"]) < 1e-3 * largest["out.weight"]
        optimizer.step()


def test_the_value_and_output_biases_live_in_eval_mode() -> None:
    block = randomise(NonLocal(8)).eval()
    block(torch.randn(2, 8, 4)).square().sum().backward()
    assert block.out.bias.grad.abs().max() > 0
    assert block.value.bias.grad.abs().max() > 0
    assert block.key.bias.grad.abs().max() < 1e-4
