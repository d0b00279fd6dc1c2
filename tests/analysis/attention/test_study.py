import itertools
import math
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import resnet18

from tests.analysis.attention.networks import alone, features
from tests.conftest import randomise
from video_gc.analysis.attention.maps import query_maps
from video_gc.analysis.attention.study import BlockStudy, Estimate, Pairs, study
from video_gc.blocks import NonLocal, build_block
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig, context_blocks, insert_context

LOG2 = math.log(2)


def one(block: nn.Module, *batches: Tensor, **options: object) -> BlockStudy:
    [found] = study(alone(block), batches, **options)
    assert found.name == "res2.0"
    return found


def values(pairs: Pairs) -> list[float]:
    return [pairs.overall.value, pairs.between.value, pairs.within.value]


def nl(channels: int = 8, **options: object) -> NonLocal:
    return randomise(build_block("nl", channels, **options))


def test_without_queries_attention_depends_on_none() -> None:
    block = nl()
    nn.init.zeros_(block.query.weight)  # θ(x) is its bias everywhere
    found = one(block, 9 * features(3, 8, 4, 3, 3))
    for pairs in (found.output, found.attention, found.divergence):
        assert max(values(pairs)) < 1e-12
    assert min(values(found.input)) > 0.01
    assert found.entropy_share.value < 0.999  # and not because the map is uniform


def test_what_a_block_changes() -> None:
    x = features(3, 8, 4, 3, 3)
    for fresh in (build_block("nl", 8), build_block("gc", 8, reduction=2)):
        assert one(fresh, x).change.value == 0  # its last layer is zero
    gate = build_block("se", 8, reduction=2)  # a fresh one halves x
    assert one(gate, x).change.value == pytest.approx(0.5)
    block = nl().double().eval()
    with torch.no_grad():
        each = [float((block(clip) - clip).norm() / clip.norm()) for clip in x.split(1)]
    assert one(block, x).change.value == pytest.approx(np.mean(each))


def test_queries_that_see_themselves_alone_depend_most() -> None:
    block = nl(24, pairwise="gaussian", scale=False)
    x = 10 * torch.eye(24).reshape(1, 24, 2, 3, 4)
    found = one(block, x.double())
    assert values(found.attention) == pytest.approx([1, 1, 1])
    assert values(found.divergence) == pytest.approx([LOG2] * 3)
    assert found.entropy.value == pytest.approx(0, abs=1e-12)
    assert values(found.input) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("alike", ["within", "between"])
def test_dependence_on_time_alone_and_on_place_alone(alike: str) -> None:
    block = nl(12)
    x = features(2, 12, 4, 2, 3)
    x[:, :4] = torch.eye(4)[None, :, :, None, None]  # four channels say which frame
    x[:, 4:10] = torch.eye(6).reshape(6, 1, 2, 3)  # six say which place
    with torch.no_grad():
        block.query.weight.mul_(6)
        block.query.weight[:, slice(4, None) if alike == "within" else slice(0, 4)] = 0
        if alike == "between":
            block.query.weight[:, 10:] = 0
    found = one(block, x)
    for pairs in (found.attention, found.divergence):
        same, other = pairs.within, pairs.between
        if alike == "within":
            assert same.value < 1e-12
            assert other.value > 1e-3
        else:  # of pairs in two frames, 1 in 6 is at the same place and alike
            assert other.value == pytest.approx(same.value * 5 / 6, rel=1e-9)
            assert same.value > 1e-3


def naive(block: NonLocal, x: Tensor) -> dict[str, list[float]]:
    """The means over pairs for one clip (C, T, H, W), pair by pair from the formulas."""
    positions = list(itertools.product(*map(range, x.shape[1:])))
    rows = [x[(slice(None), *p)] for p in positions]
    theta = phi = rows
    if block.pairwise != "gaussian":
        theta, phi = ([layer(row) for row in rows] for layer in (block.query, block.key))
    maps, updates = [], []
    for a in theta:
        if block.pairwise == "concatenation":
            f = [torch.relu(block.pair.weight[0] @ torch.cat([a, b])) / len(rows) for b in phi]
        elif block.pairwise == "dot_product":
            f = [a @ b / len(rows) for b in phi]
        else:
            f = [torch.exp(a @ b * block.scale) for b in phi]
            f = [each / sum(f) for each in f]
        maps.append(torch.stack(f))
        y = sum(w * block.value(row) for w, row in zip(f, rows, strict=True))
        updates.append(block.norm(block.out(y)[None, :, None, None]).flatten())

    def cosine(a: Tensor, b: Tensor) -> float:
        return float(1 - a @ b / a.norm() / b.norm())

    def js(p: Tensor, q: Tensor) -> float:
        m = (p + q) / 2
        return float((p * (p / m).log() + q * (q / m).log()).sum() / 2)

    found = {}
    measures: dict[str, tuple[list[Tensor], Callable[[Tensor, Tensor], float]]] = {
        "input": (rows, cosine), "output": (updates, cosine), "attention": (maps, cosine),
    }  # fmt: skip
    if block.pairwise.endswith("gaussian"):
        measures["divergence"] = (maps, js)
    for name, (vectors, distance) in measures.items():
        pairs = {"overall": [], "between": [], "within": []}
        for i, j in itertools.permutations(range(len(rows)), 2):
            d = distance(vectors[i], vectors[j])
            pairs["overall"].append(d)
            pairs["between" if positions[i][0] != positions[j][0] else "within"].append(d)
        found[name] = [sum(d) / len(d) for d in pairs.values()]
    return found


@pytest.mark.parametrize(
    "pairwise", ["embedded_gaussian", "gaussian", "dot_product", "concatenation"]
)
@torch.no_grad()
def test_equals_a_loop_over_all_pairs(pairwise: str) -> None:
    block = nl(pairwise=pairwise)
    x = features(2, 8, 3, 2, 2)
    found = one(block, x)
    wanted = [naive(block, clip) for clip in x]
    for name in wanted[0]:
        mean = np.mean([w[name] for w in wanted], 0)
        np.testing.assert_allclose(values(getattr(found, name)), mean, rtol=1e-9, atol=1e-12)
    if not pairwise.endswith("gaussian"):
        assert found.divergence is None
        assert "no distribution" in found.reasons["divergence"]


@pytest.mark.slow
def test_sampled_positions_come_close_by_their_stated_error() -> None:
    block = nl()
    x = features(6, 8, 4, 9, 9, seed=1) ** 3
    whole = one(block, x, positions=1000)
    assert whole.queries == 4 * 81
    assert whole.attention.overall.sampling_error == 0
    off = []
    for seed in range(4):
        part = one(block, x, positions=32, seed=seed)
        assert part.queries == 32
        for name in ("input", "output", "attention", "divergence"):
            for split in ("overall", "between", "within"):
                exact, drawn = (getattr(getattr(s, name), split) for s in (whole, part))
                off.append((drawn.value - exact.value) / drawn.sampling_error)
        assert part.entropy.value == pytest.approx(whole.entropy.value, abs=0.01)
    assert 0.5 < np.sqrt(np.mean(np.square(off))) < 1.4
    assert np.max(np.abs(off)) < 5


def test_how_clips_are_batched_changes_nothing() -> None:
    block, x = nl(), features(5, 8, 2, 5, 5)
    together, apart = one(block, x, positions=16), one(block, x[:2], x[2:], positions=16)
    assert together.attention.overall.value == pytest.approx(apart.attention.overall.value)
    assert one(block, x, positions=16, seed=1).attention != together.attention


def test_intervals_are_over_videos() -> None:
    x = features(6, 8, 2, 3, 3)
    found = one(nl(), x)
    assert found.videos == found.clips == 6
    input_ = found.input.overall
    assert input_.low < input_.value < input_.high
    single = one(nl(), x[:1])
    assert (single.input.overall.low, single.input.overall.high) == (None, None)


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def test_no_tensor_has_all_pairs_of_positions() -> None:
    network, positions = alone(nl()), 4 * 16 * 16
    with Largest() as seen:
        study(network, [features(2, 8, 4, 16, 16)], positions=32)
    assert seen.numel == 32 * positions  # rows of the sampled queries
    with Largest() as seen:  # the bound would see them
        context_blocks(network)["res2.0"].attention(features(1, 8, 4, 16, 16))
    assert seen.numel == positions**2


@pytest.mark.parametrize("kind", ["gc", "snl"])
def test_maps_that_are_known(kind: str) -> None:
    block = randomise(build_block(kind, 16))
    nn.init.zeros_(block.key.weight)
    found = one(block, features(3, 16, 5, 2, 2))
    assert (found.kind, found.reach, found.keys, found.queries) == (kind, "shared", 20, 20)
    assert found.entropy.value == pytest.approx(math.log(20))
    assert found.entropy_share.value == pytest.approx(1)
    assert found.time_entropy_share.value == pytest.approx(1)
    assert found.time_centre.value == pytest.approx(0.5)
    assert found.time_spread.value == pytest.approx(math.sqrt((1 - 1 / 25) / 12))
    assert found.frame_weights == pytest.approx([0.2] * 5)
    assert found.between_clips.value == pytest.approx(0, abs=1e-12)
    assert found.attention is None
    assert "share one map" in found.reasons["attention"]

    x = features(4, 16, 5, 2, 2)
    x[:, 0] = 0
    x[:2, 0, 4], x[2:, 0, 0] = 1, 1  # the last frame of two clips, the first one of two
    with torch.no_grad():
        block.key.weight[0, 0] = 200
    found = one(block, x)
    assert found.entropy.value == pytest.approx(math.log(4))
    assert found.time_entropy_share.value == pytest.approx(0, abs=1e-12)
    assert found.time_spread.value == pytest.approx(0, abs=1e-6)
    assert found.time_centre.value == pytest.approx(0.5)  # 0.9 and 0.1
    assert (found.time_centre.low, found.time_centre.high) == (0, 1)  # four clips: no wider
    assert (found.between_clips.low, found.between_clips.high) == (0, pytest.approx(LOG2))
    assert found.frame_weights == pytest.approx([0.5, 0, 0, 0, 0.5])
    assert found.between_clips.value == pytest.approx(LOG2 * 4 / 6)  # 4 of 6 pairs differ


@pytest.mark.slow
def test_more_clips_than_maps_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("video_gc.analysis.attention.record.MAPS_KEPT", 8)
    block = randomise(build_block("snl", 8))
    x = features(40, 8, 2, 3, 3) ** 2 * 3
    drawn = [one(block, x, seed=seed).between_clips for seed in range(20)]
    monkeypatch.undo()
    whole = one(block, x).between_clips
    assert whole.sampling_error == 0
    off = [(d.value - whole.value) / d.sampling_error for d in drawn]
    assert 0.5 < np.sqrt(np.mean(np.square(off))) < 1.6


def test_a_query_is_compared_by_the_keys_it_reaches() -> None:
    x = features(2, 8, 4, 4, 4)
    same_frames = x[:, :, :1].expand(-1, -1, 4, -1, -1).contiguous()
    found = one(nl(span="space", pool=[1, 2, 2]), same_frames, positions=1000)
    assert (found.reach, found.keys, found.positions) == ("own frame", 4, (4, 4, 4))
    # frames that are alike: between them as within one, but for the pairs at one place
    share = 15 / 16
    assert found.divergence.between.value == pytest.approx(found.divergence.within.value * share)
    found = one(nl(span="time", pool=[2, 1, 1]), x)
    assert (found.reach, found.keys) == ("own location", 2)
    assert found.divergence.within.value > 0


def test_every_kind_in_a_whole_network_in_every_place() -> None:
    contexts = [
        ContextConfig(kind="nl", after=["slow.res3.1", "fast.res3.1"]),
        ContextConfig(kind="cc", after=["res3.2"]),
        ContextConfig(kind="dnl", after=["slow.res4.0"]),
        ContextConfig(kind="gc", after=["res4.1"], options={"reduction": 2}),
        ContextConfig(kind="se", after=["res4.2"], options={"reduction": 2}),
        ContextConfig(kind="nl", after=["res4.3"], place="after_1x1"),
        ContextConfig(kind="nl", after=["res4.4"], place="after_3x3", options={"pool": [1, 2, 2]}),
        ContextConfig(kind="nl", after=["res4.5"], options={"pairwise": "concatenation"}),
    ]
    config = ModelConfig(
        backbone="slowfast", width=0.125, num_classes=3, context=contexts[0],
        more_context=contexts[1:],
    )  # fmt: skip
    network = build_model(config)
    for block in context_blocks(network).values():
        randomise(block)
    network.train()
    found = {s.name: s for s in study(network, [torch.rand(2, 3, 8, 32, 32)], positions=16)}
    assert network.training
    assert all(module.training for module in network.modules())
    assert not any(m._forward_hooks for b in context_blocks(network).values() for m in b.modules())
    kinds = {name: s.kind for name, s in found.items()}
    assert list(kinds) == list(context_blocks(network))
    assert kinds["fast.res3.1"] == kinds["slow.res4.3 after_1x1"] == "nl"
    assert kinds["slow.res4.0"] == "dnl"
    assert found["slow.res3.2"].attention is None
    assert found["slow.res3.2"].output.overall.value > 0
    assert found["slow.res4.4 after_3x3"].keys < math.prod(found["slow.res4.4 after_3x3"].positions)
    assert found["fast.res3.1"].positions[0] > found["slow.res3.1"].positions[0]
    for s in found.values():  # every None says why, but for splits and single-frame maps
        fields = asdict(s)
        missing = {name for name, value in fields.items() if value is None}
        assert missing == set(s.reasons), s.name


def test_an_image_network_is_a_clip_of_one_frame() -> None:
    network = resnet18()
    for kind, name in (("nl", "res4.0"), ("gc", "res4.1")):
        insert_context(network, after=name, make_block=lambda c, k=kind: build_block(k, c))
    for block in context_blocks(network).values():
        randomise(block)
    images = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    found, pooled = study(network, [images])
    assert found.positions == (1, 4, 3)
    assert found.attention.between is None
    assert found.attention.overall == found.attention.within
    assert pooled.entropy.value > 0
    assert "one frame" in pooled.reasons["time_centre"]
    maps = query_maps(network, images, [(0, 0.5, 0.5)])["res4.0"]
    assert maps.shape == (2, 1, 1, 4, 3)


def test_autocast_and_channels_last_give_about_the_same() -> None:
    network, x = alone(nl(16, span="space")).float(), features(2, 16, 3, 6, 6).float()
    [plain] = study(network, [x], positions=16)
    with torch.autocast("cpu", torch.bfloat16):
        [found] = study(network, [x.contiguous(memory_format=torch.channels_last_3d)], positions=16)
    for name in ("input", "output", "attention", "divergence"):
        wanted = values(getattr(plain, name))
        assert values(getattr(found, name)) == pytest.approx(wanted, rel=0.1, abs=1e-4)


def test_wrong_calls() -> None:
    network = alone(nl())
    with pytest.raises(ValueError, match="no clips"):
        study(network, [])
    with pytest.raises(ValueError, match="several sizes"):
        study(network, [features(1, 8, 2, 2, 2), features(1, 8, 2, 2, 3)])
    with pytest.raises(ValueError, match=r"positions \(8\)"):
        study(network, [], positions=8)


def test_a_narrow_model_has_wide_statistics() -> None:
    block = nl()
    nn.init.zeros_(block.query.weight)
    network = alone(block).bfloat16()
    [found] = study(network, [features(2, 8, 3, 3, 3).bfloat16()])
    assert found.divergence.overall.value < 1e-12
    assert isinstance(found.attention.overall, Estimate)
