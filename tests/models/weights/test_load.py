"""Weights through torch.hub's cache, from a local file URL in place of the published one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50

from tests.backbones.test_backbones import HUB, randomise_scaled
from tests.conftest import slow
from video_gc.backbones import build_backbone
from video_gc.backbones.published import KINETICS400
from video_gc.backbones.slowfast import split_pathways
from video_gc.backbones.stages import residual_blocks
from video_gc.blocks import build_block
from video_gc.models import weights
from video_gc.models.build import ModelConfig, build_with_report
from video_gc.models.context import ContextConfig, context_blocks, insert_context
from video_gc.models.weights import PUBLISHED, load_weights


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path


def test_the_published_names_are_pytorchvideos() -> None:
    assert set(PUBLISHED) == {
        "c2d_r50", "i3d_r50", "slow_r50", "x3d_xs", "x3d_s", "x3d_m", "x3d_l", "csn_r101",
        "slowfast_r50", "slowfast_r101", "slowfast_16x8_r101_50_50", "r2plus1d_r50",
    }  # fmt: skip
    assert all(p.url.startswith("https://") and p.url.endswith(".pyth") for p in PUBLISHED.values())


def test_the_class_names_of_the_published_weights_are_in_their_order() -> None:
    """Alphabetical, as the annotation files and the labels of the data set are."""
    labels = Path(__file__).parents[3] / "datasets" / "kinetics400" / "labels.txt"
    assert labels.read_text().splitlines() == KINETICS400
    assert len(KINETICS400) == 400
    assert (KINETICS400[0], KINETICS400[399]) == ("abseiling", "zumba")


@pytest.mark.slow  # networks at their full width
@pytest.mark.parametrize("name", ["slow", "slowfast"])
def test_published_weights_give_pytorchvideos_output(
    name: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = randomise_scaled(HUB[name]()).eval()
    torch.save({"model_state": theirs.state_dict()}, hub / "zoo.pyth")
    local = replace(PUBLISHED[f"{name}_r50"], url=(hub / "zoo.pyth").as_uri())
    monkeypatch.setitem(PUBLISHED, f"{name}_r50", local)
    model, report = build_with_report(
        ModelConfig(
            backbone=name, num_classes=400, weights=f"{name}_r50",
            context=ContextConfig(kind="gc", after=["five"]),
        )
    )  # fmt: skip
    assert report is not None
    counted = [n for n in theirs.state_dict() if not n.endswith("num_batches_tracked")]
    assert len(report.loaded) == len(counted)
    assert all(".context." in n for n in report.new)
    assert not report.unused
    assert (hub / "hub" / "checkpoints" / "zoo.pyth").is_file()  # went through the cache
    for pool in (m for m in theirs.modules() if isinstance(m, nn.AvgPool3d)):
        pool.kernel_size = (8 if name == "slow" or pool.kernel_size[0] == 8 else 32, 2, 2)
    clip = torch.randn(1, 3, 8 if name == "slow" else 32, 64, 64)
    with torch.inference_mode():
        expected = theirs(split_pathways(theirs, (clip,))[0] if name == "slowfast" else clip)
        torch.testing.assert_close(model.eval()(clip), expected, rtol=1e-4, atol=1e-5)


def test_another_class_count_leaves_the_head_new(hub: Path) -> None:
    torch.save(build_backbone("slow", width=0.125, num_classes=7).state_dict(), hub / "seven.pt")
    model = build_backbone("slow", width=0.125, num_classes=5)
    report = load_weights(model, hub / "seven.pt")
    assert report.new == ["blocks.5.proj.weight", "blocks.5.proj.bias"]
    assert str(report) == (
        f"{hub / 'seven.pt'} (pytorchvideo): {len(report.loaded)} loaded, 0 resized, 2 new, "
        "2 unused (blocks.5.proj.weight, blocks.5.proj.bias); a new head for 5 classes instead of 7"
    )


def test_another_architecture_is_an_error(hub: Path) -> None:
    torch.save(build_backbone("i3d", width=0.125).state_dict(), hub / "i3d.pt")
    with pytest.raises(
        ValueError, match="belong to another architecture: .* parameters do not fit"
    ):
        load_weights(build_backbone("slow", width=0.125), hub / "i3d.pt")


def test_a_deeper_network_does_not_load_in_part(hub: Path) -> None:
    """Every parameter of R50 has a namesake of its shape in R101."""
    torch.save(build_backbone("slow", depth=101, width=0.125).state_dict(), hub / "r101.pt")
    with pytest.raises(ValueError, match="51 of its kernels have no place in the network, blocks"):
        load_weights(build_backbone("slow", width=0.125), hub / "r101.pt")


def test_a_file_without_a_head_says_so(hub: Path) -> None:
    model = build_backbone("slow", width=0.125, num_classes=5)
    state = {name: value for name, value in model.state_dict().items() if ".proj." not in name}
    torch.save(state, hub / "headless.pt")
    report = load_weights(model, hub / "headless.pt")
    assert report.notes == ["a new head for 5 classes instead of none"]


def test_a_missing_file_names_the_published_weights() -> None:
    with pytest.raises(FileNotFoundError, match="no weights 'slow_r500'.*slow_r50,"):
        load_weights(nn.Identity(), "slow_r500")


def test_a_checkpoint_of_ours_brings_its_context_blocks(checkpoint: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    config = ModelConfig(
        backbone="i3d", width=0.125, num_classes=9, weights=str(checkpoint),
        context=ContextConfig(kind="gc", after=["five"]),
    )  # fmt: skip
    model, report = build_with_report(config)
    assert report is not None
    assert {name.rsplit(".", 2)[-2] for name in report.new} == {"proj"}
    name = next(name for name in model.state_dict() if name.endswith("context.key.weight"))
    assert torch.equal(model.state_dict()[name], state[f"model.{name}"])


@pytest.fixture(scope="module")
def image_model() -> nn.Module:
    return randomise_image(resnet50())


def randomise_image(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data = 0.2 + 0.5 * torch.rand_like(module.weight)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture(scope="module")
def image_hub(image_model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache to which the file of the image network is fetched once."""
    folder = tmp_path_factory.mktemp("imagenet")
    torch.save(image_model.state_dict(), folder / "image.pth")
    return folder


@pytest.fixture
def imagenet(
    image_model: nn.Module, image_hub: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> nn.Module:
    """The image network whose file stands in for the published one."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(image_hub / "hub"))
    monkeypatch.setitem(weights.IMAGENET, 50, (image_hub / "image.pth").as_uri())
    return image_model


@pytest.fixture(scope="module")
def i3d() -> nn.Module:
    """A network that tests load what they like into; the published width takes time to draw."""
    return build_backbone("i3d", num_classes=10).eval()


def test_inflated_c2d_sees_a_still_video_as_the_image_network_sees_the_image(
    imagenet: nn.Module,
) -> None:
    model = build_backbone("c2d", num_classes=10)
    report = load_weights(model, "imagenet")
    assert {name.split(".")[2] for name in report.new} == {"proj"}
    assert report.unused == report.new  # the classifier of the image network
    seen = {}
    residual_blocks(model)["res5.2"].register_forward_hook(lambda _m, _i, out: seen.update(v=out))
    imagenet.layer4.register_forward_hook(lambda _m, _i, out: seen.update(i=out))
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        model.eval()(image.unsqueeze(2).expand(-1, -1, 4, -1, -1))
        imagenet(image)
    for t in range(2):
        torch.testing.assert_close(seen["v"][:, :, t], seen["i"], rtol=1e-4, atol=1e-5)


def test_inflated_kernels_sum_to_the_image_kernel_over_time(
    imagenet: nn.Module, i3d: nn.Module
) -> None:
    report = load_weights(i3d, "imagenet")
    assert "blocks.0.conv.weight" in report.resized
    torch.testing.assert_close(i3d.blocks[0].conv.weight.sum(2), imagenet.conv1.weight)
    conv_a = residual_blocks(i3d)["res2.1"].branch2.conv_a.weight
    assert conv_a.shape[2] == 3
    torch.testing.assert_close(conv_a.sum(2), imagenet.layer1[1].conv1.weight)
    sees_a_still_clip_as_the_image(i3d, imagenet)


@pytest.mark.slow
def test_in_slowfast_the_slow_pathway_is_inflated(
    imagenet: nn.Module,
) -> None:
    model = build_backbone("slowfast")
    fast = {k: v.clone() for k, v in model.state_dict().items() if "multipathway_blocks.1" in k}
    report = load_weights(model, "imagenet")
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in fast.items())
    conv = residual_blocks(model)["slow.res2.0"].branch2.conv_a.weight
    torch.testing.assert_close(
        conv[:, :64, 0], imagenet.layer1[0].conv1.weight[:, :, 0, 0][..., None, None]
    )
    assert "blocks.1.multipathway_blocks.0.res_blocks.0.branch2.conv_a.weight" in report.resized
    assert all(
        "fast" in n or "multipathway_blocks.1" in n or "fusion" in n or "proj" in n
        for n in report.new
    )


def test_imagenet_weights_need_the_full_width(
    imagenet: nn.Module,
) -> None:
    with pytest.raises(ValueError, match="image networks fit c2d, .* at width 1"):
        load_weights(build_backbone("slow", width=0.125), "imagenet")


def test_centred_inflation_puts_the_image_kernel_at_one_instant(
    imagenet: nn.Module, i3d: nn.Module
) -> None:
    load_weights(i3d, "imagenet", inflation="centre")
    stem = i3d.blocks[0].conv.weight
    assert torch.equal(stem[:, :, 2], imagenet.conv1.weight)
    assert not stem[:, :, [0, 1, 3, 4]].any()
    with pytest.raises(ValueError, match=r"inflation \('mean'\) must be one of repeat, centre"):
        load_weights(i3d, "imagenet", inflation="mean")
    sees_a_still_clip_as_the_image(i3d, imagenet)


@pytest.mark.slow
@pytest.mark.parametrize("inflation", ["repeat", "centre"])
def test_an_inflated_slow_network_sees_a_still_clip_as_the_image(
    imagenet: nn.Module, inflation: str
) -> None:
    model = build_backbone("slow", num_classes=10)
    load_weights(model, "imagenet", inflation=inflation)
    sees_a_still_clip_as_the_image(model, imagenet)


def sees_a_still_clip_as_the_image(model: nn.Module, imagenet: nn.Module) -> None:
    """In the middle of a clip that is long enough for no kernel to reach past its ends."""
    seen = {}
    block = residual_blocks(model)["res3.1"]
    hooks = [
        block.register_forward_hook(lambda _m, _i, out: seen.update(v=out)),
        imagenet.layer2[1].register_forward_hook(lambda _m, _i, out: seen.update(i=out)),
    ]
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        model.eval()(image.unsqueeze(2).expand(-1, -1, 40, -1, -1))
        imagenet(image)
    for hook in hooks:
        hook.remove()
    middle = seen["v"].shape[2] // 2
    torch.testing.assert_close(seen["v"][:, :, middle], seen["i"], rtol=1e-4, atol=1e-5)


def context_file(folder: Path, **context: object) -> Path:
    given = ModelConfig(
        backbone="slow", width=0.25, num_classes=3, context=ContextConfig(**context)
    )
    model, _ = build_with_report(given)
    torch.save(model.state_dict(), folder / "context.pt")
    return folder / "context.pt"


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (
            {"kind": "nl"}, {"kind": "gc"},
            "have nl blocks after_add of res3.1,.*,res4.5, the network has gc; use context=nl "
            r"model.context.place=after_add model.context.after=\[res3.1,res3.3,res4.1,res4.3,res4.5\], or weights without",
        ),
        slow({"kind": "gc"}, {"kind": "nl"}, "have gc blocks after_add of .*the network has nl"),
        slow({"kind": "cc"}, {"kind": "nl"}, "have cc blocks after_add of .*the network has nl"),
        slow({"kind": "dnl"}, {"kind": "nl"}, "have dnl blocks after_add of .*the network has nl"),
        ({"kind": "gc"}, {"kind": "snl"}, "have gc blocks after_add of .*the network has snl"),
        slow({"kind": "se"}, {"kind": "gc"}, "have se blocks after_add of .*the network has gc"),
        slow({"kind": "gc", "after": ["all"]}, {"kind": "gc"}, "have gc blocks after_add of .*has no block"),
        ({"kind": "gc"}, {"kind": "none"}, "have gc blocks after_add of res3.1.*has no block"),
        (
            {"kind": "gc"}, {"kind": "gc", "options": {"reduction": 2}},
            "have gc blocks with other options at res3.1.* .transform.0.weight differs",
        ),
        slow(
            {"kind": "nl"}, {"kind": "nl", "options": {"pairwise": "gaussian"}},
            "have nl blocks with other options at .*query.weight differs",
        ),
        ({"kind": "gc"}, {"kind": "gc", "place": "after_1x1"}, "model.context.place=after_add"),
    ],
)  # fmt: skip
def test_other_context_blocks_are_an_error(
    theirs: dict, ours: dict, message: str, tmp_path: Path
) -> None:
    given = ModelConfig(
        backbone="slow", width=0.25, num_classes=3, context=ContextConfig(**ours),
        weights=str(context_file(tmp_path, **theirs)),
    )  # fmt: skip
    with pytest.raises(ValueError, match=message) as caught:
        build_with_report(given)
    assert "\n" not in str(caught.value)


def test_weights_without_blocks_leave_new_ones_as_they_are(tmp_path: Path) -> None:
    given = ModelConfig(
        backbone="slow", width=0.25, num_classes=3, context=ContextConfig(kind="gc"),
        weights=str(context_file(tmp_path, kind="none")),
    )  # fmt: skip
    model, report = build_with_report(given)
    assert report is not None
    assert len(report.new) == 5 * len(list(context_blocks(model)["res3.1"].parameters()))


def test_image_networks_with_blocks_load_under_their_own_names(
    imagenet: nn.Module, hub: Path
) -> None:
    model = resnet50()
    insert_context(model, after=["res4.*"], make_block=lambda c: build_block("gc", c))
    report = load_weights(model, "imagenet")
    assert len(report.new) == 6 * len(list(context_blocks(model)["res4.0"].parameters()))
    assert not report.unused
    model, twin = resnet18(), resnet18()
    for network in (model, twin):
        insert_context(network, after=["res4.*"], make_block=lambda c: build_block("gc", c))
    torch.save(model.state_dict(), hub / "mine.pt")
    with pytest.raises(ValueError, match="do not tell the fusion, relu of their gc blocks"):
        load_weights(twin, hub / "mine.pt")
    assert not load_weights(twin, hub / "mine.pt", named={"gc": ["fusion", "relu"]}).new
    for key, tensor in model.state_dict().items():
        assert torch.equal(twin.state_dict()[key], tensor)


def test_what_became_of_the_weights_is_printed(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(build_backbone("slow", width=0.125, num_classes=7).state_dict(), hub / "seven.pt")
    load_weights(build_backbone("slow", width=0.125, num_classes=5), hub / "seven.pt")
    shown = " ".join(capsys.readouterr().err.split())
    assert "seven.pt (pytorchvideo): 265 loaded, 0 resized, 2 new, 2 unused" in shown
    assert "a new head for 5 classes instead of 7" in shown
