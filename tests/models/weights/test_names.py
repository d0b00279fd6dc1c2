"""Weights under other libraries' names give the network that they were made from."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.backbones.test_backbones import randomise_scaled
from tests.conftest import randomise
from tests.models.weights.naming import caffe2, mmaction2, pyslowfast
from video_gc.backbones import build_backbone
from video_gc.models.build import ModelConfig, build_model, build_with_report
from video_gc.models.context import ContextConfig, context_blocks

NL_BEFORE = {
    "pairwise": "embedded_gaussian", "scale": True, "span": "spacetime",
    "pool": [1, 2, 2], "pool_at": "before",
}  # fmt: skip
NL_AFTER = NL_BEFORE | {"pool_at": "after"}


def config(backbone: str, **context: object) -> ModelConfig:
    return ModelConfig(
        backbone=backbone, width=0.25 if "slowfast" in backbone else 0.125, num_classes=7,
        dropout=0, context=ContextConfig(**context),
    )  # fmt: skip


def random_network(given: ModelConfig, out_bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    model = randomise_scaled(build_model(given)).eval()
    for block in context_blocks(model).values():
        randomise(block)
        if not out_bias:
            block.out.bias.data.zero_()
    return model


def check_equal(path: Path, given: ModelConfig, original: nn.Module, frames: int) -> None:
    """A new network with these weights computes what the original does, and all of them land."""
    torch.manual_seed(1)
    given.weights = str(path)
    model, report = build_with_report(given)
    assert report is not None
    assert not report.new
    assert not report.resized
    assert not report.unused
    clip = torch.randn(1, 3, frames, 48, 48)
    with torch.inference_mode():
        expected = original(clip)
        assert expected.std() > 1e-4
        torch.testing.assert_close(model.eval()(clip), expected, rtol=1e-5, atol=1e-5)


PYSLOWFAST = [
    ("c2d", {"kind": "nl", "options": NL_BEFORE}),
    ("c2d_nopool", {}),
    ("i3d", {"kind": "nl", "options": NL_BEFORE}),
    ("slow", {"kind": "nl", "options": NL_BEFORE | {"pairwise": "dot_product"}}),
    ("slowfast", {"kind": "nl", "options": NL_BEFORE | {"pairwise": "dot_product", "pool": None}}),
    ("slowfast_4x16", {}),
    ("slowfast_fuse5", {"kind": "nl", "options": NL_BEFORE | {"pairwise": "dot_product"}}),
    ("slow", {}),
]


NAMINGS = ("PySlowFast", "Caffe2")


@pytest.mark.parametrize(
    ("backbone", "context", "naming"),
    [
        pytest.param(
            *row, NAMINGS[(number + turn) % 2],
            marks=[] if turn == 0 and row[0] in ("i3d", "slowfast_4x16", "slowfast_fuse5")
            else pytest.mark.slow,
        )
        for number, row in enumerate(PYSLOWFAST)
        for turn in range(2)
    ],
)  # fmt: skip
def test_pyslowfast(backbone: str, context: dict, naming: str, tmp_path: Path) -> None:
    given = config(backbone, **context)
    original = random_network(given)
    if naming == "PySlowFast":
        path = tmp_path / "weights.pyth"
        torch.save({"epoch": 7, "cfg": "A: 1", "model_state": pyslowfast(original)}, path)
    else:
        path = tmp_path / "weights.pkl"
        blobs = {name: tensor.detach().numpy() for name, tensor in caffe2(original).items()}
        path.write_bytes(pickle.dumps({"blobs": blobs | {"lr": np.float32(0.1)}}, protocol=2))
    check_equal(path, given, original, 16)


MMACTION2 = [
    ("i3d_32x2", {"kind": "nl", "options": NL_AFTER | {"scale": False}}),
    ("i3d_32x2", {"kind": "nl", "options": NL_AFTER | {"pairwise": "dot_product"}}),
    ("i3d_32x2", {"kind": "nl", "options": NL_AFTER | {"pairwise": "gaussian", "scale": False}}),
    ("slow", {"kind": "nl", "after": ["res3.0", "res4.2"], "options": NL_AFTER}),
    ("slow", {"kind": "nl", "options": NL_AFTER | {"pairwise": "concatenation"}}),
    ("slow", {}),
    ("slowfast_linear", {}),
    ("slowfast_4x16_linear", {}),
]


@pytest.mark.parametrize(
    ("backbone", "context"),
    [
        pytest.param(*row, marks=[] if number in (0, 4, 6) else pytest.mark.slow)
        for number, row in enumerate(MMACTION2)
    ],
)
def test_mmaction2(backbone: str, context: dict, tmp_path: Path) -> None:
    given = config(backbone, **context)
    original = random_network(given, out_bias=False)
    state = mmaction2(original, sub_sample=bool(context))
    torch.save({"meta": {"epoch": 7}, "state_dict": state}, tmp_path / "weights.pth")
    check_equal(tmp_path / "weights.pth", given, original, 32)


def test_the_published_names_are_as_published() -> None:
    """A few of each, literally, as they stand in the published files' naming."""
    model = random_network(config("slowfast_linear", kind="nl", after=["res3.1"]))
    assert set(mmaction2(model, sub_sample=True)) >= {
        "backbone.slow_path.conv1.conv.weight", "backbone.slow_path.conv1.bn.running_mean",
        "backbone.slow_path.conv1_lateral.conv.weight",
        "backbone.slow_path.layer3_lateral.conv.weight",
        "backbone.fast_path.layer1.0.downsample.conv.weight",
        "backbone.slow_path.layer4.2.conv3.bn.weight",
        "backbone.slow_path.layer2.1.non_local_block.g.0.conv.weight",
        "backbone.slow_path.layer2.1.non_local_block.theta.conv.bias",
        "backbone.slow_path.layer2.1.non_local_block.conv_out.bn.weight",
        "cls_head.fc_cls.bias",
    }  # fmt: skip
    model = random_network(config("slowfast", kind="nl", after=["res3.1"]))
    assert set(pyslowfast(model)) >= {
        "s1.pathway0_stem.conv.weight", "s1.pathway1_stem.bn.weight", "s1_fuse.conv_f2s.weight",
        "s4_fuse.bn.running_var", "s2.pathway0_res0.branch1.weight",
        "s2.pathway1_res0.branch1_bn.bias", "s5.pathway0_res2.branch2.c_bn.weight",
        "s3.pathway0_nonlocal1.conv_theta.weight", "s3.pathway0_nonlocal1.conv_out.bias",
        "s3.pathway0_nonlocal1.bn.running_mean", "head.projection.weight",
    }  # fmt: skip
    assert set(caffe2(model)) >= {
        "conv1_w", "t_conv1_w", "res_conv1_bn_s", "t_res_conv1_bn_riv", "t_pool1_subsample_w",
        "t_pool1_subsample_bn_rm", "t_res4_5_branch2c_bn_subsample_w", "res2_0_branch1_bn_b",
        "t_res2_2_branch2c_bn_subsample_bn_s", "res4_5_branch2b_w", "t_res5_0_branch1_w",
        "nonlocal_conv3_1_theta_w", "nonlocal_conv3_1_bn_s", "nonlocal_conv3_1_out_b", "pred_w",
    }  # fmt: skip


def test_mmaction2s_i3d_needs_its_strides(tmp_path: Path) -> None:
    state = mmaction2(random_network(config("i3d_32x2")))
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    given = config("i3d")
    given.weights = str(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="stem .1. differs here; use model.backbone=i3d_32x2$"):
        build_model(given)


def test_mmaction2s_slowfast_has_linear_laterals(tmp_path: Path) -> None:
    state = mmaction2(random_network(config("slowfast_linear")))
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    given = config("slowfast")
    given.weights = str(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="not fit, .*; use model.backbone=slowfast_linear$"):
        build_model(given)


def test_other_i3ds_do_not_fit_mmaction2s_strides(tmp_path: Path) -> None:
    torch.save({"model_state": pyslowfast(random_network(config("i3d")))}, tmp_path / "i3d.pyth")
    given = config("i3d_32x2")
    given.weights = str(tmp_path / "i3d.pyth")
    with pytest.raises(ValueError, match="stem .4. differs here; use model.backbone=i3d$"):
        build_model(given)


def test_caffe2s_c2d_has_no_temporal_pooling(tmp_path: Path) -> None:
    blobs = {k: v.detach().numpy() for k, v in caffe2(random_network(config("c2d"))).items()}
    (tmp_path / "c2d.pkl").write_bytes(pickle.dumps({"blobs": blobs}))
    given = config("c2d")
    given.weights = str(tmp_path / "c2d.pkl")
    _, report = build_with_report(given)
    assert report is not None
    assert "model.backbone=c2d_nopool" in str(report)


SHAPES = {  # from the configurations of the peers: a name, and the shape of its tensor at width 1
    ("MMAction2", "slowfast_linear", 50): {
        "backbone.slow_path.conv1.conv.weight": (64, 3, 1, 7, 7),
        "backbone.slow_path.conv1_lateral.conv.weight": (16, 8, 7, 1, 1),
        "backbone.slow_path.layer1.0.conv1.conv.weight": (64, 80, 1, 1, 1),
        "backbone.fast_path.conv1.conv.weight": (8, 3, 5, 7, 7),
        "cls_head.fc_cls.weight": (400, 2304),
    },
    ("MMAction2", "slowfast_linear", 101): {
        "backbone.slow_path.layer2_lateral.conv.weight": (128, 64, 7, 1, 1),
        "backbone.slow_path.layer3.22.conv1.conv.weight": (256, 1024, 3, 1, 1),
    },
    ("MMAction2", "slowfast_4x16_linear", 50): {
        "backbone.slow_path.conv1_lateral.conv.weight": (16, 8, 5, 1, 1),
    },
    ("MMAction2", "i3d_32x2", 50): {
        "backbone.conv1.conv.weight": (64, 3, 5, 7, 7),
        "backbone.layer1.2.conv1.conv.weight": (64, 256, 3, 1, 1),
        "backbone.layer2.1.conv1.conv.weight": (128, 512, 1, 1, 1),
        "backbone.layer4.1.conv1.conv.weight": (512, 2048, 3, 1, 1),
        "backbone.layer4.2.conv1.conv.weight": (512, 2048, 1, 1, 1),
        "cls_head.fc_cls.weight": (400, 2048),
    },
    ("PySlowFast", "slowfast", 50): {
        "s1_fuse.conv_f2s.weight": (16, 8, 7, 1, 1),
        "s4.pathway1_res5.branch2.a.weight": (32, 128, 3, 1, 1),
        "head.projection.weight": (400, 2304),
    },
    ("PySlowFast", "slowfast_4x16", 50): {"s1_fuse.conv_f2s.weight": (16, 8, 5, 1, 1)},
    ("PySlowFast", "slowfast", 101): {"s3_fuse.conv_f2s.weight": (128, 64, 5, 1, 1)},
    ("PySlowFast", "slow", 50): {"s5.pathway0_res2.branch2.a.weight": (512, 2048, 3, 1, 1)},
}
QUICK_SHAPES = (("slowfast_linear", 50), ("i3d_32x2", 50), ("slowfast", 50))


@pytest.mark.parametrize(
    ("naming", "backbone", "depth"),
    [
        pytest.param(*key, marks=[] if key[1:] in QUICK_SHAPES else pytest.mark.slow)
        for key in SHAPES
    ],
)
def test_our_networks_have_the_peers_shapes(naming: str, backbone: str, depth: int) -> None:
    with torch.device("meta"):
        model = build_backbone(backbone, depth=depth)
    state = mmaction2(model) if naming == "MMAction2" else pyslowfast(model)
    for name, shape in SHAPES[naming, backbone, depth].items():
        assert tuple(state[name].shape) == shape, name


def test_a_naming_that_is_not_known(tmp_path: Path) -> None:
    torch.save({"encoder.weight": torch.zeros(3)}, tmp_path / "other.pth")
    given = config("slow")
    given.weights = str(tmp_path / "other.pth")
    with pytest.raises(ValueError, match="unknown parameter names, encoder.weight for example"):
        build_model(given)
