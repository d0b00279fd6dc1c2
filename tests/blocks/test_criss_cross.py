import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.conftest import randomise
from video_gc.blocks import CrissCross, NonLocal, build_block


def lines(position: tuple[int, ...], sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The positions that differ from this one in at most one coordinate, each once."""
    everywhere = itertools.product(*map(range, sizes))
    return [p for p in everywhere if sum(a != b for a, b in zip(p, position, strict=True)) <= 1]


def published(block: CrissCross, x: Tensor) -> Tensor:
    """CCNet, section 3.2: affinity, softmax and aggregation over the criss-cross path, R times."""
    for norm in block.norms:
        theta, phi, g = (
            torch.einsum("dc,nc...->nd...", layer.weight, x)
            + layer.bias.reshape(1, -1, *[1] * (x.ndim - 2))
            for layer in (block.query, block.key, block.value)
        )
        new = x.clone()
        for n in range(len(x)):
            for i in itertools.product(*map(range, x.shape[2:])):
                path = lines(i, tuple(x.shape[2:]))
                at = (n, slice(None))
                powers = [torch.exp(theta[(*at, *i)] @ phi[(*at, *j)] * block.scale) for j in path]
                mean = sum(p * g[(*at, *j)] for p, j in zip(powers, path, strict=True))
                z = block.out.weight @ (mean / sum(powers)) + block.out.bias
                z = (z - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps)
                new[(*at, *i)] = x[(*at, *i)] + z * norm.weight + norm.bias
        x = new
    return x


@settings(max_examples=15)
@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    recurrences=st.integers(1, 3),
    seed=st.integers(0, 99),
    scale=st.booleans(),
)
def test_equals_the_papers_formula(
    shape: list[int], recurrences: int, seed: int, scale: bool
) -> None:
    block = randomise(CrissCross(8, recurrences=recurrences, scale=scale), seed).double().eval()
    x = torch.randn(2, 8, *shape, generator=torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        torch.testing.assert_close(block(x), published(block, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("recurrences", [1, 2, 3])
def test_after_three_recurrences_any_position_influences_any_other(recurrences: int) -> None:
    """R recurrences reach what differs in at most R coordinates, and nothing else."""
    sizes = (3, 2, 4)
    block = randomise(CrissCross(8, recurrences=recurrences)).double().eval()
    x = torch.randn(1, 8, *sizes, dtype=torch.float64, requires_grad=True)
    y = block(x)
    for i in itertools.product(*map(range, sizes)):
        (gradient,) = torch.autograd.grad(y[(0, slice(None), *i)].sum(), x, retain_graph=True)
        influence = gradient[0].abs().amax(0)
        for j in itertools.product(*map(range, sizes)):
            differing = sum(a != b for a, b in zip(i, j, strict=True))
            assert (influence[j] > 0) == (differing <= recurrences), f"{j} on {i}"


def test_with_one_axis_and_one_recurrence_it_is_a_non_local_block() -> None:
    ours, whole = randomise(CrissCross(8, recurrences=1)).eval(), NonLocal(8).eval()
    state = {k.replace("norms.0", "norm"): v for k, v in ours.state_dict().items()}
    whole.load_state_dict(state)
    x = torch.randn(2, 8, 7)
    torch.testing.assert_close(ours(x), whole(x))


def test_attention_sums_to_one_and_counts_the_query_once() -> None:
    weights = randomise(CrissCross(8)).attention(torch.randn(2, 8, 2, 3, 4))
    assert weights.shape == (2, 2, 3, 4, 2 + 3 + 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 3, 4))
    for t, h, w in itertools.product(range(2), range(3), range(4)):
        assert weights[0, t, h, w, t] > 0  # itself, on the first line
        assert weights[0, t, h, w, 2 + h] == weights[0, t, h, w, 5 + w] == 0


@pytest.mark.parametrize("sizes", [(8, 14, 14), (32, 28, 28)])
def test_multiply_adds_grow_as_positions_times_axes(sizes: tuple[int, ...]) -> None:
    block = CrissCross(64)
    positions = math.prod(sizes)
    assert block.attention_multiply_adds(sizes) == 3 * 2 * 32 * positions * sum(sizes)
    assert NonLocal(64).attention_multiply_adds(sizes) == 2 * 32 * positions**2


def test_recurrences_share_the_projections() -> None:
    one, three = CrissCross(64, recurrences=1), CrissCross(64, recurrences=3)
    count = [sum(p.numel() for p in block.parameters()) for block in (one, three)]
    assert count[1] - count[0] == 2 * 2 * 64  # two more batch norms


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 17}, "must be a whole number in 1…16"),
        ({"recurrences": 0}, r"recurrences \(0\) must be at least 1"),
    ],
)
def test_a_wrong_choice_names_the_valid_ones(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_block("cc", 16, **options)
