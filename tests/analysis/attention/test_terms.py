"""The split of attention into a unary and a pairwise part, on weights whose answer is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.analysis.attention.networks import alone, features
from tests.blocks.variants import CLIP_VARIANTS, VARIANTS
from tests.conftest import randomise
from video_gc.analysis.attention.study import BlockStudy, study
from video_gc.analysis.attention.terms import (
    SHARES,
    logit_variances,
    unary_maps,
    unary_shares,
)
from video_gc.blocks import build_block

GAUSSIANS = {
    name: variant
    for name, variant in (VARIANTS | CLIP_VARIANTS).items()
    if variant[0] == "nl" and variant[1].get("pairwise", "embedded_gaussian").endswith("gaussian")
}


def one(block: nn.Module, *batches: Tensor, **options: object) -> BlockStudy:
    [found] = study(alone(block), batches, **options)
    return found


def shares(found: BlockStudy) -> list[float]:
    return [getattr(found, name).value for name in SHARES]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@settings(max_examples=20)
@given(
    groups=st.integers(1, 2),
    queries=st.integers(1, 7),
    frames=st.integers(1, 3),
    each=st.integers(1, 4),
    width=st.sampled_from([1, 3, 12]),  # fewer and more than pairs: products or covariances
    seed=st.integers(0, 99),
)
def test_the_four_parts_are_those_of_all_logits_and_add_up(
    groups: int, queries: int, frames: int, each: int, width: int, seed: int
) -> None:
    """Means and deviations of the stored logits, which the tool never stores."""
    query = 1 + drawn(groups, queries, width, seed=seed)
    key = drawn(groups, frames * each, width, seed=seed + 1)
    logits = torch.einsum("gld,gmd->glm", query, key)
    logits = logits - logits.mean(2, keepdim=True)  # what the softmax sees
    unary = logits.mean(1, keepdim=True)
    wanted = []
    for part in (unary.expand_as(logits), logits - unary):
        split = part.unflatten(2, (frames, each))
        of_frames = split.mean(3, keepdim=True)
        wanted.append([of_frames.square().mean(), (split - of_frames).square().mean()])
    found = logit_variances(query, key, frames)
    torch.testing.assert_close(found, torch.tensor(wanted).t(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.sum(), logits.square().mean(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", GAUSSIANS)
@torch.no_grad()
def test_a_weight_is_the_product_of_both_parts(name: str) -> None:
    kind, options = GAUSSIANS[name]
    block = randomise(build_block(kind, 8, **options)).double()
    x = drawn(1, 8, 4, 4, 4)
    query, key, _ = (each[0] for each in block.grouped(x))
    whitened = (t - t.mean(1, keepdim=True) for t in (query, key))
    pairwise = torch.einsum("gld,gmd->glm", *whitened) * block.scale
    unary = unary_maps(query, key, block.scale)
    assert (unary - unary.mean(1, keepdim=True)).abs().max() > 1e-3
    product = F.normalize(unary[:, None] * pairwise.exp(), p=1, dim=2)
    torch.testing.assert_close(product, block.attention(x)[0])


def test_without_queries_all_is_unary() -> None:
    block = randomise(build_block("nl", 8))
    nn.init.zeros_(block.query.weight)  # θ(x) is its bias everywhere
    found = one(block, features(3, 8, 4, 3, 3))
    assert shares(found) == pytest.approx([1, 1, 1])
    assert found.unary_divergence.value < 1e-12
    assert found.entropy_share.value < 0.9999  # and not because the map is uniform
    nn.init.zeros_(block.query.bias)  # now uniform: nothing varies, and one map serves all
    found = one(block, features(3, 8, 4, 3, 3))
    assert shares(found) == [1, 1, 1]
    assert found.entropy_share.value == pytest.approx(1)


@torch.no_grad()
def test_without_a_mean_query_all_is_pairwise() -> None:
    block, x = randomise(build_block("nl", 8)).double(), features(1, 8, 4, 3, 3)
    block.query.bias.copy_(-(block.query.weight @ x[0].flatten(1)).mean(1))
    found = one(block, x)
    assert shares(found) == pytest.approx([0, 0, 0], abs=1e-12)
    weights = block.attention(x)[0, 0]
    uniform = torch.full_like(weights, 1 / 36)  # the map of no unary part
    middle = (weights + uniform) / 2
    wanted = [(p * (p / middle).log()).sum(1) for p in (weights, uniform)]
    assert found.unary_divergence.value == pytest.approx(float((sum(wanted) / 2).mean()))


@pytest.mark.parametrize("over", ["time", "space"])
def test_one_part_over_time_and_the_other_over_space(over: str) -> None:
    """Keys a_t e_1 + b_s e_2; all queries look along one axis, and apart along the other."""
    a, b = torch.tensor([3.0, 0.0, -3.0]), torch.tensor([1.0, -1.0, 2.0, -2.0])  # mean squares
    key = torch.stack([a[:, None].expand(3, 4), b.expand(3, 4)], 2).reshape(1, 12, 2)  # 6, 2.5
    apart = torch.tensor([2.0, -2.0])  # mean square 4
    shared = torch.full((2,), 5.0)
    along = (shared, apart) if over == "time" else (apart, shared)
    query = torch.stack(along, 1).unsqueeze(0)
    found = logit_variances(query, key, 3)
    unary_first = [[25 * 6, 0], [0, 4 * 2.5]]
    pairwise_first = [[0, 4 * 6], [25 * 2.5, 0]]
    wanted = unary_first if over == "time" else pairwise_first
    torch.testing.assert_close(found, torch.tensor(wanted).double())
    share = unary_shares(query, key, 3)
    assert share["unary_share_time"] == (over == "time")
    assert share["unary_share_space"] == (over == "space")
    overall = 150 / 160 if over == "time" else 62.5 / 86.5
    assert share["unary_share"] == pytest.approx(overall)


def test_what_the_softmax_cancels_changes_nothing() -> None:
    """A shift of all keys moves the logits of each query alike; one of all queries is unary."""
    query, key = drawn(2, 6, 5), drawn(2, 12, 5, seed=1)
    shift = 10 * drawn(1, 1, 5, seed=2)
    before = logit_variances(query, key, 3)
    torch.testing.assert_close(logit_variances(query, key + shift, 3), before)
    assert unary_shares(query, key + shift, 3) == pytest.approx(unary_shares(query, key, 3))
    maps = unary_maps(query, key, 0.5)
    torch.testing.assert_close(unary_maps(query, key + shift, 0.5), maps)
    moved = logit_variances(query + shift, key, 3)
    torch.testing.assert_close(moved[:, 1], before[:, 1])
    assert (moved[:, 0] > 2 * before[:, 0]).all()


def test_rounding_is_no_variance() -> None:
    """Frames that are alike in fp32, as in a network without temporal kernels on a still clip."""
    query, key = 100 + drawn(1, 12, 8), drawn(1, 12, 8, seed=1)
    still = key[:, :4].float().repeat(1, 3, 1) * (1 + 1e-8 * drawn(1, 12, 1, seed=2))
    assert unary_shares(query, still, 3)["unary_share_time"] == 1
    assert unary_shares(query - query.mean(1, keepdim=True), key, 3)["unary_share_time"] < 1e-9


def test_shares_are_of_all_positions_and_have_intervals() -> None:
    block, x = randomise(build_block("nl", 8)), features(6, 8, 4, 6, 6)
    whole, part = one(block, x, positions=1000), one(block, x, positions=16)
    assert shares(whole) == pytest.approx(shares(part), rel=1e-12)
    for name in SHARES:
        found = getattr(part, name)
        assert 0 < found.low < found.value < found.high < 1
        assert found.sampling_error == 0
    near, exact = part.unary_divergence, whole.unary_divergence
    assert exact.sampling_error == 0 < near.sampling_error
    assert abs(near.value - exact.value) < 5 * near.sampling_error
    assert exact.value < math.log(2)


def test_a_query_that_sees_one_frame_or_one_location_has_one_of_the_shares() -> None:
    x = features(2, 8, 4, 3, 3)
    space, time = (one(randomise(build_block("nl", 8, span=span)), x) for span in ("space", "time"))
    assert space.unary_share_time is None
    assert time.unary_share_space is None
    assert "in one frame" in space.reasons["unary_share_time"]
    assert "at one location" in time.reasons["unary_share_space"]
    assert space.unary_share.value == pytest.approx(space.unary_share_space.value)
    assert time.unary_share.value == pytest.approx(time.unary_share_time.value)


@torch.no_grad()
def test_a_disentangled_block_is_compared_with_its_unary_term() -> None:
    block = randomise(build_block("dnl", 8)).double()
    nn.init.zeros_(block.query.weight)  # the pairwise term is uniform
    x = features(1, 8, 4, 3, 3)
    found = one(block, x)
    unary, uniform = block.unary_weights(x)[0], torch.full((36,), 1 / 36).double()
    both = (unary + uniform) / 2
    middle = (unary + both) / 2
    wanted = float(sum((p * (p / middle).log()).sum() for p in (unary, both)) / 2)
    assert found.unary_divergence.value == pytest.approx(wanted)
    assert (found.kind, found.reach, found.keys) == ("dnl", "all", 36)
    assert found.unary_share is None
    assert "softmax of its own" in found.reasons["unary_share"]
    assert found.attention.overall.value == pytest.approx(0, abs=1e-12)
    nn.init.zeros_(block.unary.weight)
    assert one(block, x).unary_divergence.value == pytest.approx(0, abs=1e-12)
