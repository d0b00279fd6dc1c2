import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.blocks.learning import two_steps
from tests.conftest import randomise
from video_gc.blocks import DisentangledNonLocal, NonLocal, build_block


def softmax(scores: list[Tensor]) -> list[Tensor]:
    powers = [torch.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def published(block: DisentangledNonLocal, x: Tensor) -> Tensor:
    """Yin et al., 2020: the two terms pair by pair, then W_z and the batch norm."""
    norm, out = block.norm, x.clone()
    for n, sample in enumerate(x):
        at = {j: sample[(slice(None), *j)] for j in itertools.product(*map(range, x.shape[2:]))}
        q = {i: block.query.weight @ row for i, row in at.items()}
        k = {j: block.key.weight @ row for j, row in at.items()}
        q_mean, k_mean = sum(q.values()) / len(q), sum(k.values()) / len(k)
        g = [block.value.weight @ row + block.value.bias for row in at.values()]
        unary = softmax([block.unary.weight[0] @ row for row in at.values()])
        heat = block.inner**0.5 * block.temperature
        for i in at:
            pairwise = softmax([(q[i] - q_mean) @ (k[j] - k_mean) / heat for j in at])
            y = sum((p + u) * v for p, u, v in zip(pairwise, unary, g, strict=True))
            z = block.out.weight @ y + block.out.bias
            z = (z - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps)
            out[(n, slice(None), *i)] += z * norm.weight + norm.bias
    return out


@settings(max_examples=25)
@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    temperature=st.sampled_from([0.05, 1.0, 3.0]),
    seed=st.integers(0, 99),
    plain=st.booleans(),
)
def test_equals_the_papers_formula(
    shape: list[int], temperature: float, seed: int, plain: bool
) -> None:
    block = DisentangledNonLocal(8, temperature=temperature, plain=plain)
    randomise(block, seed).double().eval()
    x = torch.randn(2, 8, *shape, generator=torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        torch.testing.assert_close(block(x), published(block, x), rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_what_all_positions_share_changes_no_weight() -> None:
    """Both softmaxes and the whitening cancel it; the softmax of a non-local block does not."""
    x, shift = torch.randn(2, 8, 2, 3, 4).double(), 3 * torch.randn(2, 8, 1, 1, 1).double()
    change = {}
    for kind in ("dnl", "nl"):
        block = randomise(build_block(kind, 8)).double()
        change[kind] = float((block.attention(x + shift) - block.attention(x)).abs().max())
    assert change["dnl"] < 1e-12
    assert change["nl"] > 0.01


@torch.no_grad()
def test_the_terms_are_apart() -> None:
    """Without θ the map is uniform plus unary for every query; without W_m pairwise plus uniform."""
    x, positions = torch.randn(2, 8, 2, 3, 4).double(), 24
    block = randomise(DisentangledNonLocal(8)).double()
    both, unary = block.attention(x), block.unary_weights(x)[:, None]
    torch.testing.assert_close(unary.sum(2), torch.ones(2, 1).double())
    assert (unary - 1 / positions).abs().max() > 0.01
    nn.init.zeros_(block.query.weight)
    torch.testing.assert_close(block.attention(x), (unary + 1 / positions).expand_as(both))
    randomise(block)
    nn.init.zeros_(block.unary.weight)
    torch.testing.assert_close(block.attention(x), both - unary + 1 / positions)


@torch.no_grad()
def test_rows_of_chosen_queries_are_those_of_all() -> None:
    block, x = randomise(DisentangledNonLocal(8)).double(), torch.randn(2, 8, 2, 3, 4).double()
    queries = torch.tensor([23, 0, 13, 13])
    torch.testing.assert_close(block.weights(x, queries), block.attention(x)[:, queries])


def test_it_has_as_many_parameters_as_a_non_local_block() -> None:
    counts = [sum(p.numel() for p in build_block(kind, 64).parameters()) for kind in ("nl", "dnl")]
    assert counts == [4 * 64 * 32 + 3 * 32 + 64 + 2 * 64] * 2


def test_learning_reaches_every_parameter_that_the_batch_norm_leaves_alive() -> None:
    torch.manual_seed(0)
    block = DisentangledNonLocal(64)
    first, largest = two_steps(block)
    assert {name for name, grad in first.items() if grad} == {"norm.weight", "norm.bias"}
    dead = {"value.bias", "out.bias"}
    live = min(grad for name, grad in largest.items() if name not in dead)
    assert live > 1e-6
    assert max(largest[name] for name in dead) < 1e-3 * largest["out.weight"]


def test_the_pairwise_products_are_those_of_a_non_local_block() -> None:
    """The unary term adds its scores and its mean: P·C and P·d."""
    sizes, positions = (8, 14, 14), 8 * 14 * 14
    ours, whole = DisentangledNonLocal(64), NonLocal(64)
    more = ours.attention_multiply_adds(sizes) - whole.attention_multiply_adds(sizes)
    assert more == ours.multiply_adds(sizes) - whole.multiply_adds(sizes) == positions * (64 + 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 17}, "must be a whole number in 1…16"),
        ({"temperature": 0.0}, r"temperature \(0.0\) must be above 0"),
    ],
)
def test_a_wrong_choice_names_the_valid_ones(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_block("dnl", 16, **options)
