import warnings
from collections.abc import Callable

import pytest
import torch
from pytorchvideo.models.hub.csn import csn_r101
from pytorchvideo.models.hub.r2plus1d import r2plus1d_r50
from pytorchvideo.models.hub.resnet import c2d_r50, i3d_r50, slow_r50
from pytorchvideo.models.hub.slowfast import slowfast_16x8_r101_50_50, slowfast_r50
from pytorchvideo.models.hub.x3d import x3d_l, x3d_m

from tests.conftest import slow
from video_gc.backbones import BACKBONES, build_backbone
from video_gc.backbones.heads import GlobalMean
from video_gc.backbones.slowfast import split_pathways
from video_gc.backbones.stages import named_parts, residual_blocks

HUB = {"c2d": c2d_r50, "i3d": i3d_r50, "slow": slow_r50, "slowfast": slowfast_r50}
PUBLISHED_FRAMES = {"c2d": 8, "i3d": 8, "slow": 8, "slowfast": 32}


SMALL = [(name, 0.25 if name == "slowfast" else 0.125) for name in HUB]


@pytest.mark.parametrize("name", HUB)
def test_parameters_and_names_are_pytorchvideos(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = build_backbone(name), HUB[name]()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }


@pytest.mark.parametrize(
    ("name", "depth", "theirs"),
    [
        ("x3d", 50, x3d_m), slow("x3d_l", 50, x3d_l), ("csn", 101, csn_r101),
        ("r2plus1d", 50, r2plus1d_r50),
    ],
)  # fmt: skip
def test_separable_networks_are_pytorchvideos_with_logits(
    name: str, depth: int, theirs: Callable
) -> None:
    torch.manual_seed(0)
    published = randomise_scaled(theirs()).eval()
    ours = build_backbone(name, depth=depth).eval()
    ours.load_state_dict(published.state_dict())
    for pool in [n for n, m in published.named_modules() if isinstance(m, torch.nn.AvgPool3d)]:
        published.set_submodule(pool, torch.nn.AdaptiveAvgPool3d(1))
    clip = torch.randn(1, 3, 4, 48, 48)
    with torch.inference_mode():
        expected, logits = published(clip), ours(clip)
        assert logits.abs().max() > 1e-4
        softmax = published.blocks[-1].activation is not None
        torch.testing.assert_close(logits.softmax(1) if softmax else logits, expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_the_mean_of_a_head_and_its_gradient(layout: torch.memory_format) -> None:
    x = torch.randn(2, 3, 4, 5, 6).to(memory_format=layout).requires_grad_()
    seen = []
    for pool in (GlobalMean(), torch.nn.AdaptiveAvgPool3d(1)):
        before = x * 1
        before.register_hook(seen.append)
        after = pool(before)
        (after * torch.arange(3.0).view(3, 1, 1, 1)).sum().backward()
        seen.append(after)
    gradient, mean, expected_gradient, expected = seen
    torch.testing.assert_close(mean, expected, rtol=1e-6, atol=1e-7)
    assert torch.equal(gradient, expected_gradient)
    assert gradient.is_contiguous(memory_format=layout)


def test_i3d_32x2_halves_the_clip_twice_in_its_stem() -> None:
    model = build_backbone("i3d_32x2", width=0.125)
    frames = {}
    for name, block in residual_blocks(model).items():
        block.register_forward_hook(
            lambda _m, _i, out, name=name: frames.__setitem__(name, out.shape[2])
        )
    with torch.inference_mode():
        model.eval()(torch.randn(1, 3, 32, 32, 32))
    assert (frames["res2.0"], frames["res3.0"], frames["res5.2"]) == (8, 4, 4)


def test_slowfast_4x16_has_eight_fast_frames_per_slow_one() -> None:
    model = build_backbone("slowfast_4x16", width=0.125, num_classes=3).eval()
    shapes = {}
    for name in ("slow.res2.0", "fast.res2.0"):
        residual_blocks(model)[name].register_forward_hook(
            lambda _m, _i, out, name=name: shapes.__setitem__(name, out.shape[2])
        )
    with torch.inference_mode():
        model(torch.randn(1, 3, 32, 32, 32))
    assert shapes == {"slow.res2.0": 4, "fast.res2.0": 32}


def test_mmaction2s_slow_pathway_sees_every_fourth_frame() -> None:
    """Shown by what the slow pathway is given, and by which frames change it."""
    clip = torch.arange(32.0).reshape(1, 1, 32, 1, 1)
    ((slow, _),) = split_pathways(torch.nn.Identity(), (clip,), 8, "strided")
    assert slow.flatten().tolist() == [0, 8, 16, 24]
    model = build_backbone("slowfast_linear", width=0.125, num_classes=3).eval()
    spread = build_backbone("slowfast_linear", width=0.125, num_classes=3, slow_frames="spread")
    spread.load_state_dict(model.state_dict())
    seen = {}
    for network in (model, spread.eval()):
        stem = named_parts(network)["slow.stem"]
        stem.register_forward_pre_hook(lambda _m, inputs, n=network: seen.update({n: inputs[0]}))
        with torch.inference_mode():
            network(clip.expand(1, 3, 32, 32, 32))
    assert seen[model][0, 0, :, 0, 0].tolist() == [0, 4, 8, 12, 16, 20, 24, 28]
    assert seen[spread][0, 0, :, 0, 0].tolist() == [0, 4, 8, 13, 17, 22, 26, 31]


def test_the_mixture_has_a_deep_slow_and_a_shallow_fast_pathway() -> None:
    with torch.device("meta"):
        mixture = build_backbone("slowfast_4x16_linear_r101_r50", depth=101)
    names = list(residual_blocks(mixture))
    assert len([name for name in names if name.startswith("slow.res4")]) == 23
    assert len([name for name in names if name.startswith("fast.res4")]) == 6
    # MMAction2's README has 62.4 M for it, and 33.0 M for I3D-heavy, each for 400 classes
    assert round(sum(p.numel() for p in mixture.parameters()) / 1e6, 1) == 62.4
    with torch.device("meta"):
        heavy = build_backbone("i3d_heavy")
    assert round(sum(p.numel() for p in heavy.parameters()) / 1e6, 1) == 33.0


def test_the_stem_of_c2d_unpadded_sees_no_border() -> None:
    """MMAction2's pool of 3 every 2 without padding: 16 → 7, where padding makes 8."""
    sizes = {}
    for name in ("c2d", "c2d_unpadded"):
        model = build_backbone(name, width=0.125).eval()
        with torch.inference_mode():
            sizes[name] = named_parts(model)["stem"](torch.zeros(1, 3, 4, 32, 32)).shape
    assert sizes == {"c2d": (1, 8, 4, 8, 8), "c2d_unpadded": (1, 8, 4, 7, 7)}


@pytest.mark.parametrize(
    "name", ["c2d_nopool", "slowfast_4x16", slow("slow"), slow("slowfast_16x8"), slow("csn")]
)
def test_published_heads_average_windows_of_any_map(name: str) -> None:
    """Windows of 7×7 of 8×8 positions, by weights that count them; whole maps below that."""
    model = build_backbone(
        name, depth=101 if name in ("slowfast_16x8", "csn") else 50, width=0.125, num_classes=3,
        dropout=0, head_pool="published",
    ).eval()  # fmt: skip
    clip = torch.randn(1, 3, 32 if name[:2] == "sl" and name != "slow" else 8, 256, 256)
    seen: dict[str, list[torch.Tensor]] = {"maps": []}
    for module in [m for m in model.modules() if isinstance(m, torch.nn.AvgPool3d)]:
        module.register_forward_pre_hook(lambda _m, inputs: seen["maps"].append(inputs[0]))
    weights = torch.tensor([1.0, 2, 2, 2, 2, 2, 2, 1]) / 14
    with torch.inference_mode():
        logits = model(clip)
        features = torch.cat([m.mean(2) for m in seen["maps"]], 1)
        pooled = torch.einsum("nchw,h,w->nc", features, weights, weights)
        expected = named_parts(model)["head"](pooled)
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-6)
        seen["maps"].clear()
        small = model(clip[..., :96, :96])
        features = torch.cat([m.mean((2, 3, 4)) for m in seen["maps"]], 1)
        torch.testing.assert_close(small, named_parts(model)["head"](features))


def test_places_with_probabilities_average_those() -> None:
    """X3D and R(2+1)D are published with a softmax before the mean."""
    model = randomise_scaled(
        build_backbone("x3d_s", width=0.25, num_classes=5, head_pool="published")
    ).eval()
    model.blocks[5].proj.weight.data *= 20_000  # or places would hardly differ
    places = {}
    model.blocks[5].proj.register_forward_hook(lambda _m, _i, out: places.update(out=out))
    with torch.inference_mode():
        logits = model(torch.randn(1, 3, 4, 182, 182))
    assert places["out"].shape == (1, 1, 2, 2, 5)
    expected = places["out"].softmax(4).mean((1, 2, 3))
    torch.testing.assert_close(logits.softmax(1), expected)
    assert not torch.allclose(places["out"].mean((1, 2, 3)).softmax(1), expected, atol=1e-4)


def test_linear_fusion_has_neither_norm_nor_relu() -> None:
    plain = build_backbone("slowfast", width=0.125).state_dict()
    linear = build_backbone("slowfast_linear", width=0.125).state_dict()
    missing = set(plain) - set(linear)
    assert set(linear) <= set(plain)
    assert {name.split(".")[3] for name in missing} == {"norm"}
    assert len(missing) == 4 * 5


@pytest.mark.parametrize("width", [0.125, slow(1)])
@pytest.mark.parametrize("name", [slow("c2d"), slow("i3d"), "slow", "slowfast"])
def test_the_published_head_gives_the_published_output(name: str, width: float) -> None:
    stem = int(64 * width)
    theirs = randomise_scaled(
        HUB[name](head_pool_kernel_sizes=((8, 2, 2), (32, 2, 2)), stem_dim_outs=(stem, stem // 8))
        if name == "slowfast"
        else HUB[name](stem_dim_out=stem)
    )
    ours = build_backbone(name, head_pool="published", width=width)
    ours.load_state_dict(theirs.state_dict())
    side = 224 if name != "slowfast" else 64
    clip = torch.randn(1, 3, PUBLISHED_FRAMES[name], side, side)
    if name == "slowfast":  # a smaller window, so that 64² is enough
        ours.blocks[5].pool = theirs.blocks[5].pool
    given = split_pathways(theirs, (clip,))[0] if name == "slowfast" else clip
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(clip), theirs.eval()(given))


def randomise_scaled(model: torch.nn.Module) -> torch.nn.Module:
    """Random batch norms over the initial kernels, so that the signal neither dies nor explodes."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.weight.data = 0.2 + 0.5 * torch.rand(module.weight.shape, generator=generator)
            module.running_var.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
    return model


@pytest.mark.parametrize(("name", "width"), SMALL)
@pytest.mark.parametrize("shape", [(12, 37, 51), slow((8, 64, 64)), slow((16, 90, 70))])
def test_any_size_that_survives_the_strides(name: str, width: float, shape: tuple) -> None:
    model = build_backbone(name, width=width, num_classes=5).eval()
    with torch.inference_mode():
        assert model(torch.randn(2, 3, *shape)).shape == (2, 5)


@pytest.mark.parametrize(("name", "width"), SMALL)
def test_both_memory_layouts_agree(name: str, width: float) -> None:
    model = randomise_scaled(build_backbone(name, width=width, num_classes=5)).eval()
    clip = torch.randn(2, 3, 8, 48, 48)
    with torch.inference_mode():
        expected = model(clip)
        last = model.to(memory_format=torch.channels_last_3d)(
            clip.contiguous(memory_format=torch.channels_last_3d)
        )
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(last, expected, rtol=1e-5, atol=1e-5)


def test_the_adaptive_head_is_the_mean_over_all_positions() -> None:
    model = build_backbone("slow", width=0.125, num_classes=5).eval()
    features = {}
    model.blocks[4].register_forward_hook(lambda _m, _i, out: features.update(out=out))
    with torch.inference_mode():
        logits = model(torch.randn(2, 3, 5, 96, 64))
        torch.testing.assert_close(
            logits, model.blocks[5].proj(features["out"].mean((2, 3, 4))), rtol=1e-4, atol=1e-6
        )


def test_slowfast_splits_inside_and_as_published() -> None:
    clip = torch.arange(32.0).reshape(1, 1, 32, 1, 1)
    ((slow, fast),) = split_pathways(torch.nn.Identity(), (clip,))
    assert fast is clip
    # PySlowFast: linspace over the first and last frame, truncated
    assert slow.flatten().tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    with pytest.raises(ValueError, match="multiple of 4 frames, not 10"):
        split_pathways(torch.nn.Identity(), (torch.zeros(1, 1, 10, 1, 1),))


def test_residual_blocks_are_found_by_structure() -> None:
    names = [
        f"res{s}.{i}"
        for s, count in zip((2, 3, 4, 5), (3, 4, 6, 3), strict=True)
        for i in range(count)
    ]
    for name in ("c2d", "i3d", "slow"):
        with torch.device("meta"):
            blocks = residual_blocks(build_backbone(name))
        assert list(blocks) == names
        assert blocks["res3.0"].branch2.conv_c.out_channels == 512
    with torch.device("meta"):
        blocks = residual_blocks(build_backbone("slowfast"))
    assert list(blocks) == [f"slow.{n}" for n in names] + [f"fast.{n}" for n in names]
    assert blocks["fast.res3.0"].branch2.conv_c.out_channels == 64


def test_slowfast_16x8_has_its_own_res4() -> None:
    with torch.device("meta"):
        model = build_backbone("slowfast_16x8", depth=101)
    res4 = [
        b.branch2.conv_a.kernel_size for n, b in residual_blocks(model).items() if "fast.res4" in n
    ]
    assert res4 == [(3, 1, 1)] * 6 + [(1, 1, 1)] * 17
    with torch.device("meta"):
        theirs = slowfast_16x8_r101_50_50().state_dict()
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in theirs.items()
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "i4d"}, "backbone .'i4d'. must be one of c2d, c2d_nopool, c2d_unpadded"),
        ({"name": "i3d", "depth": 34}, "depth .34. must be one of 50, 101"),
        (
            {"name": "i3d", "head_pool": "max"},
            "head_pool .'max'. must be one of adaptive, published",
        ),
        ({"name": "i3d", "width": 0.3}, "width .0.3. must leave a whole number"),
        ({"name": "slowfast", "width": 0.0625}, "slowfast needs at least 0.125"),
        ({"name": "slowfast_16x8"}, "depth .50. must be 101"),
        ({"name": "slow", "slow_frames": "spread"}, "slow_frames .* has no effect on slow"),
        ({"name": "slowfast", "slow_frames": "all"}, "must be one of spread, strided"),
    ],
)
def test_a_wrong_choice_names_the_valid_ones(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(**arguments)


def test_importing_is_quiet() -> None:
    assert set(BACKBONES) >= set(HUB)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_backbone("slow", width=0.125)


def test_i3d_3x3x3_widens_the_middle_convolution_of_the_same_blocks() -> None:
    models = {name: build_backbone(name, width=0.125) for name in ("i3d", "i3d_3x3x3")}
    kernels = {
        name: {key: tuple(p.shape[2:]) for key, p in model.named_parameters() if "conv_" in key}
        for name, model in models.items()
    }
    assert list(kernels["i3d"]) == list(kernels["i3d_3x3x3"])
    inflated = [key for key, size in kernels["i3d"].items() if size == (3, 1, 1)]
    assert len(inflated) == 3 + 2 + 3 + 1
    for key in inflated:
        assert kernels["i3d_3x3x3"][key] == (1, 1, 1)
        assert kernels["i3d_3x3x3"][key.replace("conv_a", "conv_b")] == (3, 3, 3)
    assert sum(size == (3, 3, 3) for size in kernels["i3d_3x3x3"].values()) == len(inflated)
