"""Image networks on clips: each frame as in torchvision, context blocks over all frames."""

import re
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from tests.conftest import randomise, slow
from video_gc.analysis.cost.parts import counted_lines, network_parts
from video_gc.backbones import build_backbone
from video_gc.backbones.image import take_clips
from video_gc.backbones.receptive_field import receptive_field
from video_gc.backbones.stages import named_parts, residual_blocks
from video_gc.deploy.fold import fold_norms
from video_gc.models.activation_checkpointing import checkpoint_activations
from video_gc.models.build import ModelConfig, build_model, sketch
from video_gc.models.context import ContextConfig, context_blocks
from video_gc.models.counts import complexity
from video_gc.models.describe import positions_seen
from video_gc.models.stochastic_depth import drop_branches
from video_gc.models.weights import load_weights

NETWORKS = [
    "resnet18", "mobilenet_v3_small", "efficientnet_b0",
    *map(slow, ("resnet50", "resnext50_32x4d", "regnet_y_400mf", "convnext_tiny")),
]  # fmt: skip
"""One of each family."""


def of_torchvision(name: str) -> nn.Module:
    """With random norms and classifier, so that no zero hides a wrong layer."""
    torch.manual_seed(0)
    network = models.get_model(name, weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.6, 1.2)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.bias, std=0.2)
    return network.eval()


def last_map(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The input of the pooling, and the logits."""
    seen: list[Tensor] = []
    hook = network.avgpool.register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    with torch.inference_mode():
        logits = network(x)
    hook.remove()
    return seen[0], logits


def network(name: str = "resnet18", **context: object) -> nn.Module:
    """With random context blocks and norms, in eval mode."""
    torch.manual_seed(0)
    config = ModelConfig(
        backbone="image", image_network=name, num_classes=5, context=ContextConfig(**context)
    )
    model = build_model(config)
    for block in context_blocks(model).values():
        randomise(block)
    return model.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_each_frame_is_what_torchvision_makes_of_it(name: str, tmp_path: Path) -> None:
    theirs = of_torchvision(name)
    torch.save(theirs.state_dict(), tmp_path / "image.pth")
    ours = build_backbone("image", image_network=name, num_classes=1000)
    report = load_weights(ours.eval(), tmp_path / "image.pth")
    assert len(report.loaded) + len(report.resized) == len(
        [n for n in theirs.state_dict() if not n.endswith("num_batches_tracked")]
    )
    assert not report.new
    assert not report.unused
    theirs, ours, clip = theirs.double(), ours.double(), torch.randn(2, 3, 3, 64, 48).double()
    expected, logits = last_map(theirs, clip.transpose(1, 2).flatten(0, 1))
    found, mean = last_map(ours, clip)
    torch.testing.assert_close(found.transpose(1, 2).flatten(0, 1), expected)
    with torch.inference_mode():
        alone = torch.cat([ours(frame) for frame in clip.split(1, dim=2)]).unflatten(0, (3, 2))
    per_frame = logits.unflatten(0, (2, 3)).transpose(0, 1)
    torch.testing.assert_close(alone, per_frame)
    if name.startswith(("res", "reg", "eff")):  # a linear head: the mean of the frames' logits
        torch.testing.assert_close(mean, per_frame.mean(0))


@pytest.mark.parametrize("name", ["resnet50", "resnet18", "efficientnet_b0", "convnext_tiny"])
def test_costs_are_those_that_torchvision_publishes(name: str) -> None:
    published = models.get_model_weights(name).IMAGENET1K_V1.meta
    model = sketch(ModelConfig(backbone="image", image_network=name, num_classes=1000))
    cost = complexity(model, (4, 224, 224))
    assert cost.parameters == published["num_params"]
    classifier = 1000 * named_parts(model)["head"].in_features
    frames = cost.flops - classifier  # the classifier sees the mean of the frames
    assert frames / 4 + classifier == pytest.approx(1e9 * published["_ops"], abs=5.1e5)


@pytest.mark.slow
def test_the_parts_add_up_and_what_a_position_sees() -> None:
    model = sketch(ModelConfig(backbone="image", image_network="resnet50", num_classes=7))
    names = [part.name for part in network_parts(model) if part.kind == "stage"]
    assert names == ["stem.0", "stem.1", "res2", "res3", "res4", "res5", "head"]
    lines = {line.key: line for line in counted_lines(model, network_parts(model), (2, 64, 64))}
    assert lines["rest"].parameters == lines["rest"].flops == 0
    assert lines["block res4.1"].flops == 2 * 16 * (1024 * 256 * 2 + 9 * 256 * 256)
    assert receptive_field(model) == (1, 427, 427)  # as C2D without pooling in time
    other = sketch(ModelConfig(backbone="image", image_network="mobilenet_v3_small", num_classes=7))
    assert [part.name for part in network_parts(other)] == ["features.0", "head"]
    assert receptive_field(other) is None


@pytest.mark.slow
def test_blocks_see_all_frames_inside_resnets_and_after_the_last_map() -> None:
    places = ["res3.1", "res5.*", "features"]
    assert positions_seen(network(kind="nl", after=places), (6, 64, 96)) == {
        "res3.1": (128, 6, 8, 12), "res5.0": (512, 6, 2, 3), "res5.1": (512, 6, 2, 3),
        "features": (512, 6, 2, 3),
    }  # fmt: skip
    inner = network("resnet50", kind="gc", after=["five"], place="after_3x3")
    assert positions_seen(inner, (4, 64, 64))["res4.5 after_3x3"] == (256, 4, 4, 4)
    assert list(context_blocks(network("efficientnet_b0", kind="se", after=["features"])))


def test_only_context_blocks_relate_frames() -> None:
    plain, full = network(), network(kind="nl", after=["features"])  # of the same seed
    context = context_blocks(full)["features"]
    clip = torch.randn(2, 3, 4, 64, 64)
    features, logits = last_map(plain, clip)

    def classified(x: Tensor) -> Tensor:
        return x.mean((2, 3, 4)) @ full.fc.weight.T + full.fc.bias

    with torch.inference_mode():
        torch.testing.assert_close(classified(features), logits, rtol=1e-4, atol=1e-5)
        found = full(clip)
        torch.testing.assert_close(found, classified(context(features)), rtol=1e-4, atol=1e-4)
        alone = torch.cat([context(frame) for frame in features.split(1, dim=2)], dim=2)
        assert not torch.allclose(found, classified(alone), rtol=1e-2)


def test_recomputing_activations_changes_no_gradient() -> None:
    model = network(kind="gc", after=["res4.*", "features"]).train()
    other = deepcopy(model)
    checkpoint_activations(other)
    clip = torch.randn(2, 3, 2, 64, 64)
    for one in (model, other):
        torch.manual_seed(1)  # of the dropout
        one(clip).square().sum().backward()
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad)


@pytest.mark.parametrize(
    ("name", "norms"), [("resnet18", 20), ("mobilenet_v3_small", 34), slow("convnext_tiny", 0)]
)
def test_norms_fold_and_channels_last_computes_the_same(name: str, norms: int) -> None:
    model, clip = network(name, kind="gc", after=["features"]), torch.randn(2, 3, 2, 64, 64)
    folded, count = fold_norms(model, clip[:1])
    assert count == norms
    last = deepcopy(model).to(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        expected = model(clip)
        for found in (folded(clip), last(clip.to(memory_format=torch.channels_last_3d))):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_it_compiles_and_exports(name: str) -> None:
    model, clip = network(name, kind="gc", after=["features"]), torch.randn(1, 3, 2, 64, 64)
    with torch.no_grad():
        expected = model(clip)
        for found in (
            torch.compile(model)(clip),
            torch.export.export(model, (clip,)).module()(clip),
        ):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_dropout_and_stochastic_depth_are_those_of_the_config() -> None:
    for name in ("resnet18", "mobilenet_v3_small"):
        model = build_backbone("image", image_network=name, num_classes=3, dropout=0.99)
        seen: list[Tensor] = []
        head = named_parts(model)["head"]
        head.register_forward_hook(lambda _m, given, _out, seen=seen: seen.append(given[0]))
        for mode in (True, False):
            model.train(mode)(torch.randn(4, 3, 2, 64, 64))
        dropped, kept = ((x == 0).float().mean() for x in seen)
        assert dropped > 0.97
        assert kept < 0.1
    with torch.device("meta"):
        deep = build_backbone("image", image_network="convnext_tiny", num_classes=3)
    depths = [m for m in deep.modules() if type(m).__name__ == "StochasticDepth"]
    assert [module.p for module in depths] == [0] * 18
    drop_branches(deep, 0.36)
    assert [module.p for module in depths] == pytest.approx([0.02 * n for n in range(1, 19)])


class Own(nn.Module):
    """A user's network; `mixing` looks across all positions of its map."""

    def __init__(self, mixing: bool = False) -> None:
        super().__init__()
        self.mixing = mixing
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, (3, 5), stride=2, padding="valid", bias=False), nn.BatchNorm2d(6),
            nn.ReLU(), nn.AvgPool2d(3, 2, 1), nn.Conv2d(6, 8, 3, padding="same", groups=2),
            nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        if self.mixing:
            x = x - x.flatten(2).mean(2).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        return self.head(x)


def test_a_network_of_the_user() -> None:
    torch.manual_seed(0)
    theirs = Own().eval()
    ours = take_clips(deepcopy(theirs), num_classes=4)
    ours.head[2].load_state_dict(theirs.head[2].state_dict())
    clip = torch.randn(2, 3, 5, 64, 72)
    with torch.inference_mode():
        expected = theirs(clip.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 5)).mean(1)
        torch.testing.assert_close(ours(clip), expected)
    with pytest.raises(ValueError, match="its code mixes the frames of a clip"):
        take_clips(Own(mixing=True), num_classes=4)
    assert not residual_blocks(ours)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "resnet52",
            r"'resnet52'. is no image classifier of torchvision.models; did you mean resnet\d+ or",
        ),
        ("vit_b_16", "it has no nn.AdaptiveAvgPool2d.1. between a map of features and nn.Linear"),
        ("swin_t", "'swin_t'.: its code takes no clips .*; torchvision's resnet, .* fit"),
    ],
)
def test_a_network_that_does_not_fit_is_named(name: str, message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build_backbone("image", image_network=name)


def test_options_without_effect_are_errors() -> None:
    for options in ({"depth": 101}, {"width": 0.5}):
        with pytest.raises(ValueError, match="no effect on image; image_network chooses"):
            build_backbone("image", **options)
    with pytest.raises(ValueError, match=r"'resnet18'. is an option of image, not of i3d"):
        ModelConfig(image_network="resnet18")
    with pytest.raises(ValueError, match=re.escape("use model.context.after=[features]")):
        network("efficientnet_b0", kind="gc", after=["five"])
    with pytest.raises(ValueError, match="features has no place 'after_1x1'; it has after_add"):
        network(kind="gc", after=["features"], place="after_1x1")
