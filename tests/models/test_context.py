import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from tests.backbones.test_backbones import randomise_scaled
from tests.conftest import randomise, slow
from video_gc.backbones import build_backbone
from video_gc.backbones.stages import residual_blocks
from video_gc.blocks import build_block
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import (
    ContextConfig,
    context_blocks,
    expand_placement,
    insert_context,
    place_blocks,
)
from video_gc.models.describe import describe, positions_seen

TOTALS = {  # Slow-only R50, 400 classes: GCNet's table, 32.45 / 39.81 / 36.13 / 34.30 / 42.45 M
    ("none", "none"): 32_454_096,
    ("nl", "five"): 39_812_560,
    ("snl", "five"): 36_128_208,
    ("gc", "five"): 34_300_368,
    ("gc", "all"): 42_454_992,
    ("dnl", "five"): 39_812_560,  # as NL: W_m for the biases of θ and φ
}


def small(name: str = "slow", **context: object) -> torch.nn.Module:
    width = 0.25 if name == "slowfast" else 0.125
    torch.manual_seed(0)
    config = ModelConfig(
        backbone=name, width=width, num_classes=5, dropout=0, context=ContextConfig(**context)
    )
    return build_model(config)


@pytest.mark.parametrize(("choice", "total"), TOTALS.items())
def test_parameters_equal_the_papers(choice: tuple[str, str], total: int) -> None:
    config = ModelConfig(
        backbone="slow", num_classes=400, context=ContextConfig(kind=choice[0], after=[choice[1]])
    )
    with torch.device("meta"):
        model = build_model(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == total


PLACES = ("after_add", "after_1x1", "after_3x3")
PAIRS = [
    (name, kind, PLACES[(row + 2 * column) % 3])
    for row, name in enumerate(("c2d", "i3d", "slow", "slowfast"))
    for column, kind in enumerate(("gc", "snl", "nl", "cc", "dnl"))
]
"""Every network with every kind of block, each of them at every place.

Quick is every fourth: each network, each kind and each place."""


@pytest.mark.parametrize(
    ("name", "kind", "place"),
    [row if number % 4 == 0 else slow(*row) for number, row in enumerate(PAIRS)],
)
def test_fresh_blocks_leave_the_output_bit_identical(name: str, kind: str, place: str) -> None:
    plain, full = small(name), small(name, kind=kind, after=["all"], place=place)
    full.load_state_dict(randomise_scaled(plain).state_dict(), strict=False)
    clip = torch.randn(1, 3, 8, 48, 48)
    with torch.inference_mode():
        expected = plain.eval()(clip)
        assert expected.abs().max() > 1e-4
        assert torch.equal(full.eval()(clip), expected)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("i3d", "after_add"), ("i3d", "after_3x3"), ("slowfast", "after_1x1"),
        slow("i3d", "after_1x1"), slow("slowfast", "after_add"), slow("slowfast", "after_3x3"),
    ],
)  # fmt: skip
def test_backbone_names_do_not_change_and_blocks_act(name: str, place: str) -> None:
    plain, full = small(name), small(name, kind="gc", after=["five"], place=place)
    names = set(plain.state_dict())
    added = set(full.state_dict()) - names
    assert names <= set(full.state_dict())
    assert added
    assert all(".context." in new for new in added)
    randomise_scaled(full)
    clip = torch.randn(1, 3, 8, 48, 48)
    with torch.inference_mode():
        before = full.eval()(clip)
        for block in context_blocks(full).values():
            randomise(block)
        assert not torch.allclose(full(clip), before)


def test_the_hook_computes_what_a_hand_written_block_would() -> None:
    model = randomise_scaled(small(kind="gc", after=["res3.1"], place="after_1x1")).eval()
    context = randomise(context_blocks(model)["res3.1 after_1x1"])
    block = residual_blocks(model)["res3.1"]
    x = torch.randn(1, 64, 3, 6, 6)
    b = block.branch2
    inner = b.act_a(b.norm_a(b.conv_a(x)))
    inner = b.norm_c(b.conv_c(b.act_b(b.norm_b(b.conv_b(inner)))))
    torch.testing.assert_close(block(x), torch.relu(x + context(inner)))


def test_after_3x3_has_the_width_of_the_bottleneck() -> None:
    model = small(kind="gc", after=["res4.0"], place="after_3x3")
    ((name, block),) = context_blocks(model).items()
    assert name == "res4.0 after_3x3"
    assert block.channels == 256 // 8
    assert residual_blocks(model)["res4.0"].branch2.act_b.context is block


def test_named_placements() -> None:
    assert expand_placement(["one"], 50) == ["res4.4"]
    assert expand_placement(["five"], 50) == ["res3.1", "res3.3", "res4.1", "res4.3", "res4.5"]
    assert expand_placement(["five"], 101) == ["res3.1", "res3.3", "res4.6", "res4.13", "res4.20"]
    counts = {
        n: len(context_blocks(small(kind="gc", after=[n])))
        for n in ("one", "five", "ten", "all", "none")
    }
    assert counts == {"one": 1, "five": 5, "ten": 10, "all": 13, "none": 0}
    with pytest.raises(
        ValueError, match="'ten' is defined for the stages of a ResNet of depth 50, and"
    ):
        expand_placement(["ten"], 101)
    assert expand_placement(["all"], None) == ["res3.*", "res4.*", "res5.*"]


def test_in_slowfast_a_bare_name_means_the_slow_pathway() -> None:
    model = small("slowfast", kind="gc", after=["five", "fast.res5.0"])
    assert list(context_blocks(model)) == [
        "slow.res3.1", "slow.res3.3", "slow.res4.1", "slow.res4.3", "slow.res4.5", "fast.res5.0",
    ]  # fmt: skip


def test_without_blocks_every_placement_is_as_good() -> None:
    assert not context_blocks(small("slowfast", kind="none", after=["*.five", "fast.all"]))
    with pytest.raises(ValueError, match="no residual block is called 'res9.1'"):
        small(kind="none", after=["res9.1"])


def test_a_network_without_residual_blocks_says_so() -> None:
    with pytest.raises(ValueError, match="no residual blocks in this network; they are found in"):
        insert_context(nn.Linear(3, 3), after=["five"], make_block=nn.Identity)


def test_more_kinds_in_one_network() -> None:
    config = ModelConfig(
        backbone="slow", width=0.125, num_classes=3,
        context=ContextConfig(kind="gc", after=["res4.*"]),
        more_context=[ContextConfig(kind="nl", after=["res3.1"])],
    )  # fmt: skip
    kinds = {
        name: type(block).__name__ for name, block in context_blocks(build_model(config)).items()
    }
    assert kinds == {"res3.1": "NonLocal"} | {f"res4.{i}": "GlobalContext" for i in range(6)}


def test_deepcopy_keeps_the_blocks_apart() -> None:
    model = randomise_scaled(small(kind="gc", after=["five"])).eval()
    twin = copy.deepcopy(model)
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.inference_mode():
        before = model(clip)
        assert torch.equal(twin(clip), before)
        for block in context_blocks(twin).values():
            randomise(block)
        assert torch.equal(model(clip), before)
        assert not torch.equal(twin(clip), before)


@pytest.mark.parametrize("name", ["image", slow("slow"), slow("slowfast")])
def test_torch_export_carries_the_hooks(name: str) -> None:
    if name == "image":
        model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5).eval()
        insert_context(model, after=["res3.*"], make_block=lambda c: build_block("gc", c))
    else:
        model = randomise_scaled(small(name, kind="gc", after=["five"])).eval()
    for block in context_blocks(model).values():
        randomise(block)
    clip = torch.randn(1, 3, 32, 32) if name == "image" else torch.randn(1, 3, 8, 32, 32)
    exported = torch.export.export(model, (clip,)).module()
    with torch.inference_mode():
        torch.testing.assert_close(exported(clip), model(clip), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("after", "place", "message"),
    [
        (["res6.1"], "after_add", "no residual block is called 'res6.1'; did you mean 'res"),
        (["res4.6"], "after_add", "no residual block is called 'res4.6'"),
        (["fast.res3.1"], "after_add", "no residual block is called 'fast.res3.1'"),
        (["fiv"], "after_add", "did you mean 'five'"),
        (["*.res9.1"], "after_add", "no residual block is called '*.res9.1'".replace("*", ".")),
        (["res3.1"], "after_5x5", "unknown place 'after_5x5'.*after_add, after_1x1, after_3x3"),
    ],
)
def test_a_wrong_place_names_the_valid_ones(after: list[str], place: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        insert_context(
            build_backbone("slow", width=0.125),
            after=after,
            make_block=lambda channels: build_block("gc", channels),
            place=place,
        )


def test_an_error_leaves_the_network_as_it_was() -> None:
    model = small("slow", kind="gc", after=["res4.0"])
    with pytest.raises(ValueError, match="res4.0 has a context block after_add already"):
        insert_context(model, after="res*.*", make_block=nn.Identity)
    assert list(context_blocks(model)) == ["res4.0"]


@pytest.mark.parametrize("kind", ["gc", "nl", slow("snl"), slow("se"), slow("cc"), slow("dnl")])
def test_describe_knows_every_kind_and_other_peoples_blocks(kind: str) -> None:
    model = small("slow", kind=kind, after=["res3.1"])
    (block,) = context_blocks(model).values()
    insert_context(model, after="res5.0", make_block=lambda _channels: nn.Identity())
    columns = [list(column.cells) for column in describe(model, (4, 32, 32)).columns]
    assert columns[5] == [f"{block.multiply_adds((4, 4, 4)):,}", "0", columns[5][0]]


def test_no_place_takes_two_blocks() -> None:
    model = small(kind="gc", after=["five"])
    with pytest.raises(ValueError, match="res3.1 has a context block after_add already"):
        place_blocks(model, ContextConfig(kind="nl", after=["res3.1"]))


DEEP = [
    ("slow", 0.125), ("slowfast", 0.125), slow("c2d", 0.125), slow("i3d", 0.125),
    slow("csn", 0.125),
]  # fmt: skip


@pytest.mark.parametrize(("name", "width"), DEEP)
def test_the_placements_of_the_deep_networks(name: str, width: float) -> None:
    config = ModelConfig(
        backbone=name, depth=101, width=width, num_classes=3,
        context=ContextConfig(kind="gc", after=["five"], options={"reduction": 1}),
    )  # fmt: skip
    with torch.device("meta"):
        found = list(context_blocks(build_model(config)))
    expected = ["res3.1", "res3.3", "res4.6", "res4.13", "res4.20"]
    assert found == [f"slow.{n}" if name == "slowfast" else n for n in expected]


@pytest.mark.parametrize("pathway", ["slow.", "fast.", "*."])
def test_either_pathway_of_slowfast_or_both(pathway: str) -> None:
    model = randomise_scaled(
        small("slowfast", kind="nl", after=[f"{pathway}five", f"{pathway}res5.0"])
    ).eval()
    expected = ["res3.1", "res3.3", "res4.1", "res4.3", "res4.5", "res5.0"]
    wanted = ["slow.", "fast."] if pathway == "*." else [pathway]
    assert list(context_blocks(model)) == [p + name for p in wanted for name in expected]
    clip = torch.randn(1, 3, 8, 32, 32)
    with torch.inference_mode():
        before = model(clip)
        for block in context_blocks(model).values():
            randomise(block)
        assert not torch.allclose(model(clip), before)


@pytest.mark.parametrize(
    ("place", "name", "stages"),
    [
        pytest.param(place, name, stages, marks=[] if name == quick else pytest.mark.slow)
        for place, quick in zip(PLACES, ("csn", "r2plus1d", "x3d"), strict=True)
        for name, stages in (
            ("x3d", (3, 5, 11, 7)), ("x3d_l", (5, 10, 25, 15)), ("csn", (3, 4, 6, 3)),
            ("r2plus1d", (3, 4, 6, 3)),
        )
    ],
)  # fmt: skip
def test_other_backbones_take_blocks_through_the_same_placement(
    place: str, name: str, stages: tuple
) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        backbone=name, width=0.25, num_classes=5, dropout=0,
        context=ContextConfig(kind="gc", after=["all"], place=place, options={"reduction": 1}),
    )  # fmt: skip
    model = randomise_scaled(build_model(config)).eval()
    assert list(residual_blocks(model)) == [
        f"res{n}.{i}" for n, count in enumerate(stages, 2) for i in range(count)
    ]
    blocks = context_blocks(model)
    assert len(blocks) == sum(stages[1:])
    clip = torch.randn(1, 3, 8, 64, 64)
    with torch.inference_mode():
        before = model(clip)
        for block in blocks.values():
            randomise(block)
        assert not torch.allclose(model(clip), before)


def test_named_placements_of_another_depth_are_an_error() -> None:
    config = ModelConfig(
        backbone="x3d", num_classes=3, context=ContextConfig(kind="gc", after=["five"])
    )
    message = "'five' is defined for the stages of a ResNet of depth 50 or 101, and this network has others; use"
    with pytest.raises(ValueError, match=message):
        build_model(config)


def test_image_resnet_with_gc_has_the_published_cost() -> None:
    """GCNet: 25.56 M → 28.08 M; the 0.26 % more multiply-adds is a quotient of rounded numbers."""
    with torch.device("meta"):
        plain, model = resnet50(), resnet50()
    counts = [parameters(model)]
    insert_context(
        model, after=["res3.*", "res4.*", "res5.*"],
        make_block=lambda channels: build_block("gc", channels, reduction=16).to("meta"),
        place="after_1x1",
    )  # fmt: skip
    counts.append(parameters(model))
    assert [round(count / 1e6, 2) for count in counts] == [25.56, 28.08]
    macs = []
    for network in (plain, model):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network.eval()(torch.zeros(1, 3, 224, 224, device="meta"))
        macs.append(counter.get_total_flops() // 2)
    assert macs[1] - macs[0] == 8_712_192
    assert macs[0] == 4_089_184_256
    assert (macs[1] - macs[0]) / macs[0] == pytest.approx(0.00213, abs=1e-5)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("place", ["after_add", "after_1x1", "after_3x3"])
def test_image_resnets_of_torchvision_take_blocks(place: str) -> None:
    model = ResNet(Bottleneck, [1, 1, 2, 1]).eval()
    image = torch.randn(1, 3, 64, 64)
    make = lambda channels: build_block("gc", channels)  # noqa: E731
    with torch.inference_mode():
        before = model(image)
        (block,) = insert_context(model, after=["res4.1"], make_block=make, place=place).values()
        assert torch.equal(model(image), before)
        randomise(block)
        b = residual_blocks(model)["res4.1"]
        x = torch.randn(1, 1024, 4, 4)
        inner = b.relu(b.bn2(b.conv2(b.relu(b.bn1(b.conv1(x))))))
        inner = block(inner) if place == "after_3x3" else inner
        outer = nn.functional.conv2d(inner, b.conv3.weight)
        outer = nn.functional.batch_norm(
            outer, b.bn3.running_mean, b.bn3.running_var, b.bn3.weight, b.bn3.bias
        )
        outer = block(outer) if place == "after_1x1" else outer
        out = torch.relu(x + outer)
        out = block(out) if place == "after_add" else out
        torch.testing.assert_close(b(x), out)


def test_a_place_that_a_residual_block_lacks_lists_its_places() -> None:
    with pytest.raises(ValueError, match="res3.0 has no place 'after_1x1'; it has after_add$"):
        insert_context(
            resnet18(), after=["res3.0"], place="after_1x1",
            make_block=lambda channels: build_block("gc", channels),
        )  # fmt: skip


def test_describe_shows_where_blocks_sit_and_what_each_adds() -> None:
    config = ModelConfig(
        backbone="slow", num_classes=400, context=ContextConfig(kind="gc", after=["five"]),
        more_context=[ContextConfig(kind="nl", after=["res5.0"], place="after_3x3")],
    )  # fmt: skip
    with torch.device("meta"):
        model = build_model(config)
    seen = positions_seen(model, (8, 224, 224))
    assert seen["res3.1"] == (512, 8, 28, 28)
    assert seen["res4.5"] == (1024, 8, 14, 14)
    assert seen["res5.0 after_3x3"] == (512, 8, 7, 7)
    table = describe(model)
    columns = [list(column.cells) for column in table.columns]
    assert columns[0] == [*context_blocks(model), "all"]
    added = 34_300_368 - 32_454_096
    nl = sum(p.numel() for p in context_blocks(model)["res5.0 after_3x3"].parameters())
    assert columns[4][-1] == f"{added + nl:,}"
    assert columns[5][0] == f"{2 * 512 * 6272 + 2 * 512 * 128:,}"
    with pytest.raises(ValueError, match="the network takes no input of 1×8×8"):
        describe(build_backbone("c2d", width=0.125), (1, 8, 8))
