from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import randomise, slow
from video_gc.blocks import GlobalContext, NonLocal
from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig, context_blocks
from video_gc.models.convert import convert
from video_gc.train.checkpoint import CheckpointContents, described, load_network
from video_gc.train.resume.weights_file import write_weights

NL = ContextConfig(kind="nl", after=["res3.1", "res4.1"])


def config(*contexts: ContextConfig, backbone: str = "slow") -> ModelConfig:
    return ModelConfig(
        backbone=backbone,
        width=0.125,
        num_classes=4,
        dropout=0,
        context=contexts[0],
        more_context=list(contexts[1:]),
    )


def trained(described: ModelConfig) -> nn.Module:
    """In float64, with context blocks that do something."""
    torch.manual_seed(0)
    network = build_model(described).double().eval()
    for seed, block in enumerate(context_blocks(network).values()):
        randomise(block, seed)
    return network


def without_queries(network: nn.Module) -> nn.Module:
    for block in context_blocks(network).values():
        if isinstance(block, NonLocal):
            nn.init.zeros_(block.query.weight)
    return network


def clips(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 4, 32, 32, generator=generator).double() for _ in range(2)]


def moved(a: nn.Module, b: nn.Module, batches: list[Tensor]) -> float:
    """The mean over clips of |b - a| / |a|, of the logits."""
    with torch.inference_mode():
        one, two = (torch.cat([network(batch) for batch in batches]) for network in (a, b))
    return float(((two - one).norm(dim=1) / one.norm(dim=1)).mean())


def rebuilt(network: nn.Module, described: ModelConfig) -> nn.Module:
    again = build_model(described).double().eval()
    again.load_state_dict(network.state_dict())
    return again


@pytest.mark.parametrize(
    "options",
    [
        {"scale": False},
        {"norm": False},
        slow({}),
        slow({"reduction": 4}),
    ],
)
def test_without_queries_snl_is_exact(options: dict) -> None:
    described = config(ContextConfig(kind="nl", after=["res3.1", "res4.1"], options=options))
    network = without_queries(trained(described))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    done = convert(network, "snl", clips())
    assert moved(network, done.network, clips(1)) < 1e-12
    assert done.clips == 4
    for block in done.replaced:
        assert block.query_share == pytest.approx(1)
        assert block.query_spread < 1e-6
    # the blocks do something, and the given network still has them
    for block in context_blocks(done.network).values():
        nn.init.zeros_(block.transform[0].weight)
    assert moved(network, done.network, clips(1)) > 1e-6
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    torch.testing.assert_close(
        rebuilt(convert(network, "snl", clips()).network, done.config(described))(clips()[0]),
        network(clips()[0]),
    )


def test_gaussian_takes_the_mean_of_x() -> None:
    described = config(ContextConfig(kind="nl", after=["res4.1"], options={"pairwise": "gaussian"}))
    network = trained(described)
    seen = []
    block = context_blocks(network)["res4.1"]
    hook = block.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    done = convert(network, "snl", clips())
    hook.remove()
    mean = torch.stack(seen).movedim(2, 0).flatten(1).mean(1)
    key = context_blocks(done.network)["res4.1"].key.weight[0]
    torch.testing.assert_close(key, block.scale * mean)
    spread = (torch.stack(seen).movedim(2, 0).flatten(1) - mean[:, None]).square().sum(0).mean()
    assert done.replaced[0].query_mean == pytest.approx(float(mean.norm()))
    assert done.replaced[0].query_spread == pytest.approx(float(spread.sqrt()))


def test_the_mean_query_is_better_than_another_one() -> None:
    network = trained(config(ContextConfig(kind="nl", after=["res3.1"])))
    with torch.no_grad():
        context_blocks(network)["res3.1"].key.weight.mul_(6)
    done = convert(network, "snl", clips())
    least = moved(network, done.network, clips())
    assert least > 0
    for factor in (-1, 0, 3):
        other = convert(network, "snl", clips()).network
        with torch.no_grad():
            context_blocks(other)["res3.1"].key.weight.mul_(factor)
        assert moved(network, other, clips()) > least


@pytest.mark.parametrize(
    ("fusion", "transform"),
    [
        ("add", "linear"),
        ("scale", "linear_inside"),
        slow("add", "linear_inside"),
        slow("scale", "linear"),
    ],
)
def test_gc_is_exact_where_the_rank_suffices(fusion: str, transform: str) -> None:
    options = {"transform": transform, "fusion": fusion, "bias": True}
    described = config(ContextConfig(kind="snl", after=["res3.1"], options=options))
    network = trained(described)
    full = convert(network, "gc", [], reduction=1)
    assert moved(network, full.network, clips()) < 1e-12
    assert full.replaced[0].energy == 1
    matrix = context_blocks(network)["res3.1"].transform[0].weight
    cut = convert(network, "gc", [], reduction=4)
    assert cut.replaced[0].rank == 16
    values = torch.linalg.svdvals(matrix.detach())
    assert cut.replaced[0].energy == pytest.approx(
        float(values[:16].square().sum() / values.square().sum())
    )
    first, *_, last = context_blocks(cut.network)["res3.1"].transform
    off = torch.linalg.matrix_norm(last.weight @ first.weight - matrix).detach()
    assert float(off) == pytest.approx(float(values[16:].square().sum().sqrt()))
    assert moved(network, cut.network, clips()) > 1e-6
    with torch.no_grad():  # a matrix of rank 16
        matrix.copy_(last.weight @ first.weight)
    assert moved(network, convert(network, "gc", [], reduction=4).network, clips()) < 1e-12


def test_nl_becomes_gc_by_both_steps_and_every_tool_can_build_it() -> None:
    described = config(
        NL,
        ContextConfig(kind="nl", after=["res4.2", "res4.3"], place="after_1x1"),
        ContextConfig(kind="se", after=["res4.4"], options={"reduction": 4}),
        ContextConfig(kind="snl", after=["res4.5"]),
    )
    network = without_queries(trained(described))
    done = convert(network, "gc", clips(), reduction=1)
    assert moved(network, done.network, clips()) < 1e-12
    kinds = [type(block) for block in context_blocks(done.network).values()]
    assert kinds == [GlobalContext] * 6
    assert [r.before for r in done.replaced] == ["nl"] * 4 + ["snl"]
    again = done.config(described)
    assert again.weights is None
    assert len([again.context, *again.more_context]) == 4  # three kinds of GC, and SE
    same = rebuilt(done.network, again)
    torch.testing.assert_close(same(clips()[0]), done.network(clips()[0]))
    assert list(done.network.state_dict()) == list(same.state_dict())

    some = convert(network, "snl", clips(), blocks=["res4.1", "res4.3 after_1x1"])
    assert [r.name for r in some.replaced] == ["res4.1", "res4.3 after_1x1"]
    again = some.config(described)
    left = [c.after for c in (again.context, *again.more_context) if c.kind == "nl"]
    assert left == [["res3.1"], ["res4.2"]]
    torch.testing.assert_close(rebuilt(some.network, again)(clips()[0]), some.network(clips()[0]))
    with pytest.raises(ValueError, match=r"no context block at res4\.1"):
        some.config(config(ContextConfig(kind="nl", after=["res3.1"])))


def test_pathways_and_named_placements() -> None:
    described = config(
        ContextConfig(kind="nl", after=["*.five"], options={"pool": [1, 2, 2]}),
        backbone="slowfast",
    )
    network = without_queries(trained(described))
    long = [torch.randn(1, 3, 8, 32, 32).double()]
    done = convert(network, "snl", long, blocks=["fast.res3.1"])
    again = done.config(described)
    assert again.more_context[0].after == ["fast.res3.1"]
    assert len(again.context.after) == 9
    rebuilt(done.network, again)
    assert "pooled [1, 2, 2]" in done.replaced[0].notes[0]


def test_modes_and_dtype_stay() -> None:
    network = trained(config(NL)).bfloat16().train()
    done = convert(network, "gc", [c.bfloat16() for c in clips()])
    assert network.training
    assert not done.network.training
    assert {p.dtype for p in done.network.parameters()} == {torch.bfloat16}
    assert not any(b._forward_pre_hooks for b in context_blocks(network).values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairwise": "dot_product"}, "'dot_product' has no softmax"),
        ({"pairwise": "concatenation"}, "only gaussian and embedded_gaussian"),
        ({"span": "time"}, "span 'time' has a map"),
    ],
)
def test_what_cannot_be_converted_says_so(options: dict, message: str) -> None:
    network = trained(config(ContextConfig(kind="nl", after=["res3.1"], options=options)))
    with pytest.raises(ValueError, match=message):
        convert(network, "snl", clips())


def test_wrong_calls() -> None:
    network = trained(config(NL, ContextConfig(kind="se", after=["res4.2"])))
    for arguments, options, message in (
        (("se", clips()), {}, "must be one of snl, gc"),
        (("snl", []), {}, "needs clips"),
        (("snl", clips()), {"blocks": ["res3.2"]}, "no context block at 'res3.2'; there are res3"),
        (("snl", clips()), {"blocks": ["res4.2"]}, "res4.2 is GlobalContext, not an NL block"),
        (("gc", clips()), {"reduction": 1000}, "leaves 0"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(network, *arguments, **options)
    with pytest.raises(ValueError, match="no NL or SNL block to convert"):
        convert(trained(config(ContextConfig(kind="gc", after=["res4.2"]))), "gc", clips())


def test_saved_it_loads_as_any_checkpoint(tmp_path: Path) -> None:
    described_model = config(NL)
    network = trained(described_model).float()
    done = convert(network, "gc", [clip.float() for clip in clips()])
    contents = CheckpointContents(
        done.config(described_model), ClipConfig(), Normalisation(), list("abcd"), {}
    )
    file = tmp_path / "converted.safetensors"
    state = done.network.state_dict()
    write_weights(state, described(contents, state), file)
    loaded, about = load_network(file)
    assert about.model.context.kind == "gc"
    clip = clips()[0].float()
    assert torch.equal(loaded(clip), done.network(clip))
