import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from torch import Tensor, nn

from tests.blocks.learning import two_steps
from tests.blocks.variants import CLIP_VARIANTS, VARIANTS
from tests.conftest import randomise
from video_gc.blocks import NonLocal, build_block

FLAT = [name for name, (kind, _) in VARIANTS.items() if kind == "nl"]


def max_pooled(x: Tensor, kernel: tuple[int, ...] | None) -> Tensor:
    """Max-pooling of (C, *positions), window by window."""
    if kernel is None:
        return x
    kernel = tuple(min(k, s) for k, s in zip(kernel, x.shape[1:], strict=True))
    sizes = [s // k for k, s in zip(kernel, x.shape[1:], strict=True)]
    out = x.new_empty(len(x), *sizes)
    for place in itertools.product(*map(range, sizes)):
        window = x[(slice(None), *(slice(p * k, p * k + k) for p, k in zip(place, kernel)))]  # noqa: B905
        out[(slice(None), *place)] = window.flatten(1).max(1).values
    return out


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """A 1×1×1 convolution of (C, *positions)."""
    bias = layer.bias.reshape(-1, *[1] * (x.ndim - 1))
    return torch.einsum("dc,c...->d...", layer.weight, x) + bias


def see_each_other(span: str, query: tuple[int, ...], key: tuple[int, ...]) -> bool:
    """Whether a query's attention reaches a key, by their coordinates."""
    return {
        "spacetime": True,
        "space": query[:-2] == key[:-2],
        "time": query[-2:] == key[-2:],
    }[span]


def published(block: NonLocal, x: Tensor) -> Tensor:
    """Wang et al., eq. 1 with any f, pair by pair in float64."""
    embedded = block.pairwise != "gaussian"
    out = []
    for sample in x:
        source = max_pooled(sample, block.pool if block.pool_at == "before" else None)
        theta = linear(block.query, sample) if embedded else sample
        phi = linear(block.key, source) if embedded else source
        g = linear(block.value, source)
        if block.pool_at == "after":
            phi, g = max_pooled(phi, block.pool), max_pooled(g, block.pool)
        mean = torch.zeros(len(g), *sample.shape[1:], dtype=x.dtype)
        keys = list(itertools.product(*map(range, phi.shape[1:])))
        for query in itertools.product(*map(range, sample.shape[1:])):
            seen = [key for key in keys if see_each_other(block.span, query, key)]
            f = []
            for key in seen:
                a, b = theta[(slice(None), *query)], phi[(slice(None), *key)]
                if block.pairwise == "concatenation":
                    f.append(torch.relu(block.pair.weight[0] @ torch.cat([a, b])))
                elif block.pairwise == "dot_product":
                    f.append(a @ b)
                else:
                    f.append(torch.exp(a @ b * block.scale))
            total = sum(f) if block.pairwise.endswith("gaussian") else len(seen)
            values = [w * g[(slice(None), *key)] for w, key in zip(f, seen, strict=True)]
            mean[(slice(None), *query)] = sum(values) / total
        z = linear(block.out, mean)
        norm = block.norm
        if isinstance(norm, nn.BatchNorm2d):
            z = torch.stack([
                (row - m) / math.sqrt(v + norm.eps) * w + b
                for row, m, v, w, b in zip(
                    z, norm.running_mean, norm.running_var, norm.weight, norm.bias, strict=True
                )
            ])  # fmt: skip
        out.append(sample + z)
    return torch.stack(out)


def check(kind: str, options: dict, shape: list[int], seed: int, plain: bool) -> None:
    block = randomise(build_block(kind, 8, plain=plain, **options), seed).double().eval()
    x = torch.randn(2, 8, *shape, generator=torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        torch.testing.assert_close(block(x), published(block, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FLAT)
@settings(max_examples=6)
@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    seed=st.integers(0, 99),
    plain=st.booleans(),
)
def test_equals_the_papers_formula(name: str, shape: list[int], seed: int, plain: bool) -> None:
    check(*VARIANTS[name], shape, seed, plain)


@pytest.mark.parametrize("name", CLIP_VARIANTS)
@settings(max_examples=5)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)),
    seed=st.integers(0, 99),
    plain=st.booleans(),
)
def test_spans_and_pools_equal_the_papers_formula(
    name: str, shape: tuple[int, ...], seed: int, plain: bool
) -> None:
    check(*CLIP_VARIANTS[name], list(shape), seed, plain)


@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "dot_product"])
@pytest.mark.parametrize("pool", [None, (1, 2, 2), (2, 1, 2)])
@pytest.mark.parametrize("training", [False, True])
def test_equals_pytorchvideo_with_the_same_weights(
    pairwise: str, pool: tuple | None, training: bool
) -> None:
    ours = randomise(NonLocal(16, pairwise=pairwise, pool=pool)).train(training)
    theirs = create_nonlocal(
        dim_in=16, dim_inner=8, pool_size=pool or (1, 1, 1),
        instantiation="softmax" if pairwise == "embedded_gaussian" else "dot_product",
    ).train(training)  # fmt: skip
    for layer, matrix in (
        (theirs.conv_theta, ours.query),
        (theirs.conv_phi, ours.key),
        (theirs.conv_g, ours.value),
        (theirs.conv_out, ours.out),
    ):
        layer.weight.data = matrix.weight.data.reshape(layer.weight.shape).clone()
        layer.bias.data = matrix.bias.data.clone()
    theirs.norm.load_state_dict(ours.norm.state_dict())
    x = torch.randn(2, 16, 3, 4, 5)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_pooling_before_and_after_the_projections_differ() -> None:
    before = randomise(NonLocal(8, pool=(1, 2, 2))).eval()
    after = NonLocal(8, pool=(1, 2, 2), pool_at="after").eval()
    after.load_state_dict(before.state_dict())
    x = torch.randn(2, 8, 2, 4, 4)
    assert (before(x) - after(x)).abs().max() > 0.01
    # φ and g on a quarter of the positions: the difference of the two in multiply-adds
    saved = after.multiply_adds((2, 4, 4)) - before.multiply_adds((2, 4, 4))
    assert saved == 2 * 8 * 4 * (2 * 4 * 4 - 2 * 2 * 2)


def test_pooling_at_the_published_size_costs_what_the_peers_count() -> None:
    """Five blocks in Slow-only R50, 8×224²: 22.3 G more with pooling before, 28.4 G after."""
    places = [(512, (8, 28, 28))] * 2 + [(1024, (8, 14, 14))] * 3
    total = {
        at: sum(NonLocal(c, pool=(1, 2, 2), pool_at=at).multiply_adds(p) for c, p in places) / 1e9
        for at in ("before", "after")
    }
    whole = sum(NonLocal(c).multiply_adds(p) for c, p in places) / 1e9
    assert total["before"] == pytest.approx(22.3, abs=0.1)
    assert total["after"] == pytest.approx(28.4, abs=0.1)
    assert whole == pytest.approx(64.3, abs=0.1)


@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "gaussian", "dot_product"])
@pytest.mark.parametrize("span", ["spacetime", "space", "time"])
def test_attention_is_what_the_block_uses(pairwise: str, span: str) -> None:
    block = randomise(NonLocal(8, pairwise=pairwise, span=span, norm=False)).eval()
    x = torch.randn(2, 8, 2, 3, 4)
    weights = block.attention(x)
    groups, length = {"spacetime": (1, 24), "space": (2, 12), "time": (12, 2)}[span]
    assert weights.shape == (2, groups, length, length)
    if pairwise != "dot_product":
        torch.testing.assert_close(weights.sum(3), torch.ones(2, groups, length))
    value = block.value(x.movedim(1, -1))  # (N, T, H, W, d)
    if span == "time":
        value = value.movedim(1, 3)
    mean = weights @ value.reshape(2, groups, length, 4)
    if span == "time":
        mean = mean.transpose(1, 2)
    z = block.out(mean.reshape(2, 2, 3, 4, 4)).movedim(-1, 1)
    torch.testing.assert_close(block(x), x + z)


def test_a_dot_product_is_reassociated_where_that_is_cheaper() -> None:
    """q (kᵀ v) has 2·P·d² multiply-adds, (q kᵀ) v has 2·P²·d."""
    block = NonLocal(64, pairwise="dot_product")
    plain = NonLocal(64, pairwise="dot_product", plain=True)
    d = 32
    for side, expected in ((2, 2 * 8**2 * d), (10, 2 * 1000 * d * d)):
        assert block.attention_multiply_adds((side,) * 3) == expected
        assert plain.attention_multiply_adds((side,) * 3) == 2 * (side**3) ** 2 * d


def test_learning_starts_at_the_batch_norm_and_reaches_every_live_parameter() -> None:
    """The published biases of φ, g and W_z are dead in training, as the docstring says."""
    torch.manual_seed(0)
    block = NonLocal(64)
    dead = {"key.bias", "value.bias", "out.bias"}
    first, largest = two_steps(block)
    assert {name for name, grad in first.items() if grad} == {"norm.weight", "norm.bias"}
    live = min(grad for name, grad in largest.items() if name not in dead)
    assert live > 0
    assert max(largest["key.bias"], largest["out.bias"]) < 1e-3 * largest["out.weight"]


def test_the_value_and_output_biases_live_in_eval_mode() -> None:
    block = randomise(NonLocal(8)).eval()
    block(torch.randn(2, 8, 4)).square().sum().backward()
    assert block.out.bias.grad.abs().max() > 0
    assert block.value.bias.grad.abs().max() > 0
    assert block.key.bias.grad.abs().max() < 1e-4


def test_without_batch_norm_the_output_weight_starts_at_zero() -> None:
    block = NonLocal(8, norm=False)
    assert not block.out.weight.any()
    assert block.query.weight.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 17}, "must be a whole number in 1…16"),
        ({"reduction": "abc"}, "must be a whole number in 1…16"),
        ({"pool": "abc"}, r"pool \(abc\) must be a kernel such as"),
        ({"pairwise": "dot"}, "pairwise .'dot'. must be one of embedded_gaussian, gaussian, dot"),
        ({"span": "frame"}, "span .'frame'. must be one of spacetime, space, time"),
        ({"pool": [1, 2, 2], "pool_at": "x"}, "pool_at .'x'. must be one of before, after"),
        ({"pool": [0, 2, 2]}, r"pool \(\[0, 2, 2\]\) must be a kernel such as"),
        ({"pool": 2}, r"pool \(2\) must be a kernel such as"),
        ({"pool": [2, 2, 2], "span": "space"}, "must be 1 where span 'space' does not reach"),
        ({"pool": [2, 2, 1], "span": "time"}, "must be 1 where span 'time' does not reach"),
    ],
)
def test_a_wrong_choice_names_the_valid_ones(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_block("nl", 16, **options)


def test_x_with_other_axes_than_the_options_need() -> None:
    with pytest.raises(ValueError, match=r"pool \(\[1, 2, 2\]\) must have 2 numbers, one for each"):
        NonLocal(8, pool=[1, 2, 2])(torch.zeros(1, 8, 4, 4))
    with pytest.raises(ValueError, match=r"span 'time' needs x of \(N, C, T, H, W\)"):
        NonLocal(8, span="time")(torch.zeros(1, 8, 4, 4))


@pytest.mark.parametrize("name", CLIP_VARIANTS)
@torch.no_grad()
def test_rows_of_chosen_queries_are_those_of_all(name: str) -> None:
    kind, options = CLIP_VARIANTS[name]
    block = randomise(build_block(kind, 8, **options)).double().eval()
    x = torch.randn(2, 8, 4, 2, 6, dtype=torch.double)
    queries = torch.tensor([47, 0, 13, 13, 30])
    found = block.weights(x, queries)
    every = block.attention(x)  # (N, G, L, M)
    for query, row in zip(queries.tolist(), found.unbind(1), strict=True):
        frame, location = divmod(query, 12)
        group = {"spacetime": (0, query), "space": (frame, location), "time": (location, frame)}
        torch.testing.assert_close(row, every[:, *group[block.span]])
