"""Parts of a network: that they cover it, and what is put down to each."""

import pytest
import torch

from tests.conftest import slow
from video_gc.analysis.cost.parts import (
    BLOCK,
    CONTEXT,
    CONTEXTS,
    NETWORK,
    REST,
    STAGE,
    counted_lines,
    network_parts,
)
from video_gc.analysis.cost.profile import ALL, kept_for_backward, time_parts
from video_gc.backbones import BACKBONES
from video_gc.backbones.stages import residual_blocks
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig, context_blocks
from video_gc.models.counts import inside


def network(backbone: str, kind: str = "cc", place: str = "after_add") -> torch.nn.Module:
    depth = 101 if "101" in backbone or backbone == "slowfast_16x8" else 50
    after = ["*.res3.*"] if backbone.startswith("slowfast") else ["res3.*"]
    context = ContextConfig(kind=kind, after=after, place=place, options={"reduction": 2})
    width = 1.0 if backbone == "image" else 0.125
    return build_model(
        ModelConfig(backbone=backbone, depth=depth, width=width, num_classes=10, context=context)
    )


@pytest.mark.parametrize(
    "backbone", [name if name == "slowfast" else slow(name) for name in BACKBONES]
)
def test_stages_and_the_rest_are_the_network(backbone: str) -> None:
    model = network(backbone)
    parts = network_parts(model)
    names = [part.name for part in parts if part.kind == STAGE]
    one = ["stem", "res2", "res3", "res4", "res5", "head"]
    two = ["slow.stem", "fast.stem", "fuse1", "slow.res2", "fast.res2", "fuse2", "slow.res3",
           "fast.res3", "fuse3", "slow.res4", "fast.res4", "fuse4", "slow.res5", "fast.res5",
           "head"]  # fmt: skip
    image = ["stem.0", "stem.1", *one[1:]]  # convolution and norm of torchvision's ResNets
    assert names == (
        two if backbone.startswith("slowfast") else image if backbone == "image" else one
    )
    assert {p.name for p in parts if p.kind == BLOCK} == set(residual_blocks(model))
    lines = counted_lines(model, parts, (8, 32, 32))
    whole, rest = (next(line for line in lines if line.kind == k) for k in (NETWORK, REST))
    assert whole.parameters == sum(p.numel() for p in model.parameters())
    assert (rest.parameters, rest.flops, rest.activations) == (0, 0, 0)
    for part in (p for p in parts if p.kind == STAGE and "res" in p.name):
        stage = next(line for line in lines if (line.kind, line.name) == (STAGE, part.name))
        inner = [x for x in lines if x.kind == BLOCK and x.name.startswith(f"{part.name}.")]
        assert stage.flops == sum(line.flops for line in inner) > 0
        assert stage.parameters == sum(line.parameters for line in inner)


@pytest.mark.parametrize(
    "place",
    [
        "after_1x1",
        *(slow(each) for each in ("after_add", "after_3x3")),
    ],
)
def test_the_network_less_its_blocks_is_the_one_without(place: str) -> None:
    model, plain = network("slow", place=place), network("slow", kind="none")
    lines = counted_lines(model, network_parts(model), (4, 32, 32))
    bare = counted_lines(plain, network_parts(plain), (4, 32, 32))
    blocks = next(line for line in lines if line.kind == CONTEXTS)
    for figure in ("parameters", "flops", "activations"):
        assert getattr(lines[-1], figure) - getattr(blocks, figure) == getattr(bare[-1], figure)
    single = {line.name: line for line in lines if line.kind == CONTEXT}
    assert single.keys() == context_blocks(model).keys()
    without = {(line.kind, line.name): line for line in bare}
    for name, line in single.items():  # a residual block contains its context block
        stem = name.split(" ")[0]
        block = next(x for x in lines if (x.kind, x.name) == (BLOCK, stem))
        assert block.flops - line.flops == without[BLOCK, stem].flops


def test_what_is_kept_for_backward_in_bytes() -> None:
    """A linear layer keeps its input, a ReLU its output; in place, once for both."""
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 5), torch.nn.ReLU(inplace=True), torch.nn.Linear(5, 4),
        torch.nn.Sigmoid(), torch.nn.Linear(4, 1), torch.nn.Dropout(0.0),
    )  # fmt: skip
    kept = kept_for_backward(model, torch.randn(3, 6))
    assert {name: size for name, size in kept.items() if size} == {"1": 3 * 5 * 4, "3": 3 * 4 * 4}
    assert kept_for_backward(model.requires_grad_(False), torch.randn(3, 6)).total() == 0


def test_an_attention_that_stores_its_weights_keeps_them() -> None:
    """P = 4·4·4 after res3: N·P² weights in fp32, in place of N·P sums that the fused one keeps."""
    sizes = {}
    for plain in (False, True):
        context = ContextConfig(kind="nl", after=["res3.1"], options={"plain": plain})
        model = build_model(
            ModelConfig(backbone="slow", width=0.125, num_classes=10, context=context)
        )
        kept = kept_for_backward(model.train(), torch.randn(2, 3, 4, 32, 32))
        part = next(p for p in network_parts(model) if p.kind == CONTEXT)
        sizes[plain] = inside(kept, part.path)
    assert sizes[True] - sizes[False] == 2 * 64**2 * 4 - 2 * 64 * 4


@pytest.mark.parametrize("backbone", [slow("i3d"), "slowfast"])
def test_hooks_see_every_part_forward_and_backward_and_go(backbone: str) -> None:
    model = network(backbone).train()
    parts = {f"{part.kind} {part.name}": part.module for part in network_parts(model)}
    clip = torch.randn(2, 3, 8, 32, 32)

    def step(model: torch.nn.Module = model, clip: torch.Tensor = clip) -> None:
        model(clip).sum().backward()

    forward = torch.no_grad()(lambda model=model, clip=clip: model(clip))
    tested = time_parts(forward, parts, torch.device("cpu"), range(1))
    trained = time_parts(step, parts | {NETWORK: model}, torch.device("cpu"), range(1))
    assert tested.keys() == {*parts, ALL}
    assert all(seconds > 0 for seconds in tested.values())
    for times in (tested, trained):  # stages do not overlap, though two pathways interleave
        stages = sum(seconds for key, seconds in times.items() if key.startswith(STAGE))
        assert 0 < stages <= times[ALL]
    for part in network_parts(model):  # a part contains what is in it
        if part.kind == BLOCK:
            stage = part.name.rpartition(".")[0]
            assert trained[f"{BLOCK} {part.name}"] <= trained[f"{STAGE} {stage}"]
    assert not any(len(m._forward_pre_hooks) for m in parts.values())
