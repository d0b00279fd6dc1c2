"""What files say of their networks, in the words of the libraries that write them."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.conftest import slow
from tests.models.weights.naming import mmaction2, pyslowfast
from tests.models.weights.test_names import NL_AFTER, NL_BEFORE, check_equal, config, random_network
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.weights.configuration import configuration

MMACTION2_I3D = """
_base_ = ['../../_base_/default_runtime.py']
model = dict(
    type='Recognizer3D',
    backbone=dict(
        type='ResNet3d', pretrained2d=True, depth=50, conv1_kernel=(5, 7, 7),
        conv1_stride_t=2, pool1_stride_t=2, norm_eval=False,
        inflate=((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0)),
        non_local=((0, 0, 0), (0, 1, 0, 1), (0, 1, 0, 1, 0, 1), (0, 0, 0)),
        non_local_cfg=dict(sub_sample=True, use_scale=False, mode='embedded_gaussian')),
    cls_head=dict(type='I3DHead', num_classes=400))
train_pipeline = [dict(type=make(3))]
"""


def pyslowfast_cfg(arch: str, **sections: dict[str, Any]) -> str:
    """As PySlowFast dumps it, in the parts that matter here."""
    cfg: dict[str, dict[str, Any]] = {
        "MODEL": {"ARCH": arch},
        "RESNET": {
            "DEPTH": 50, "STRIDE_1X1": False, "SPATIAL_STRIDES": [[1], [2], [2], [2]],
            "SPATIAL_DILATIONS": [[1], [1], [1], [1]],
        },
        "NONLOCAL": {
            "GROUP": [[1], [1], [1], [1]], "INSTANTIATION": "softmax",
            "POOL": [[[1, 2, 2], [1, 2, 2]]] * 4,
        },
    }  # fmt: skip
    for name, options in sections.items():
        cfg.setdefault(name, {}).update(options)
    return yaml.safe_dump(cfg)


def saved(path: Path, given: ModelConfig, cfg: str | None) -> ModelConfig:
    """The network of `given`, random, in a file of PySlowFast; what loads it."""
    content = {"model_state": pyslowfast(random_network(given))}
    torch.save(content | ({} if cfg is None else {"cfg": cfg}), path)
    given.weights = str(path)
    return given


def test_the_options_of_pyslowfasts_blocks_need_no_naming(tmp_path: Path) -> None:
    options = {"pairwise": "dot_product", "pool": [1, 2, 2]}
    given = config("slow", kind="nl", options=options)
    original = random_network(given)
    cfg = pyslowfast_cfg("slow", NONLOCAL={"INSTANTIATION": "dot_product"})
    torch.save({"model_state": pyslowfast(original), "cfg": cfg}, tmp_path / "w.pyth")
    check_equal(tmp_path / "w.pyth", given, original, 8)


@pytest.mark.parametrize(
    ("nonlocal_", "options", "message"),
    [
        (
            {"INSTANTIATION": "dot_product"}, {"pool": [1, 2, 2]},
            "pairwise is embedded_gaussian at res3.1, theirs is dot_product .NONLOCAL.INSTANTIATION: "
            "dot_product.; use model.context.options.pairwise=dot_product$",
        ),
        ({}, {}, r"pool is null at res3.1, theirs is \[1,2,2\] .*'model.context.options.pool=\[1,2,2"),
        slow(
            {"POOL": [[[1, 2, 2]], [[1, 2, 2]], [[2, 2, 2]], [[1, 2, 2]]]}, {"pool": [1, 2, 2]},
            r"pool is \[1,2,2\] at res4.1, theirs is \[2,2,2\]",
        ),
        slow({}, {"pool": [1, 2, 2], "pool_at": "after"}, "pool_at is after at res3.1, theirs is before"),
        slow({}, {"pool": [1, 2, 2], "scale": False}, "scale is false at res3.1, theirs is true"),
        (
            {"GROUP": [[1], [4], [1], [1]]}, {"pool": [1, 2, 2]},
            "span is spacetime at res3.1, theirs is 4 groups of frames .NONLOCAL.GROUP: 4",
        ),
    ],
)  # fmt: skip
def test_other_options_than_pyslowfasts_are_an_error(
    nonlocal_: dict, options: dict, message: str, tmp_path: Path
) -> None:
    given = config("slow", kind="nl", options=options)
    given = saved(tmp_path / "w.pyth", given, pyslowfast_cfg("slow", NONLOCAL=nonlocal_))
    with pytest.raises(ValueError, match=message):
        build_model(given)


@pytest.mark.parametrize(
    ("backbone", "cfg", "message"),
    [
        (
            "slowfast_4x16", pyslowfast_cfg("slowfast", SLOWFAST={"ALPHA": 4}),
            "SLOWFAST.ALPHA: 4 in the file means frames of the clip per slow frame 4, and here it is "
            "8; use model.backbone=slowfast_fuse5$",
        ),
        (
            "c2d_nopool", pyslowfast_cfg("c2d"),
            "pooling in time after res2 2, and here it is 1; use model.backbone=c2d$",
        ),
        slow("c2d_unpadded", pyslowfast_cfg("c2d"), "padding of the stem's pool 1, and .* use .*=c2d$"),
        slow(
            "slow", pyslowfast_cfg("slow", RESNET={"STRIDE_1X1": True}),
            "RESNET.STRIDE_1X1: True in the file .* 3×3; no backbone here has that",
        ),
        (
            "slow",
            pyslowfast_cfg("slow", RESNET={"SPATIAL_STRIDES": [[1], [2], [2], [1]]}),
            r"strides of its stages \[1, 2, 2, 1\], and here it is \[1, 2, 2, 2\]; no backbone",
        ),
        ("slow", pyslowfast_cfg("slow_i3d"), None),
        slow("slow", "MODEL: [not, a, mapping]", None),
        ("slow", "{" * 100_000, None),
        slow("slow", "a: [" * 5_000, None),
    ],
)  # fmt: skip
def test_networks_that_shapes_do_not_tell_apart(
    backbone: str, cfg: str, message: str | None, tmp_path: Path
) -> None:
    given = saved(tmp_path / "w.pyth", config(backbone), cfg)
    if message is None:
        build_model(given)
        return
    with pytest.raises(ValueError, match=message):
        build_model(given)


def test_without_a_configuration_the_options_are_to_be_named(tmp_path: Path) -> None:
    given = saved(tmp_path / "w.pyth", config("slow", kind="nl"), None)
    with pytest.raises(
        ValueError,
        match="do not tell the pairwise, span, pool of their nl blocks, .*"
        "model.context.options.pairwise=… model.context.options.span=… model.context.options.pool=…",
    ):
        build_model(given)
    named = {"pairwise": "embedded_gaussian", "span": "spacetime", "pool": None}
    given.context.options |= named
    build_model(given)


@pytest.mark.parametrize("key", ["cfg", slow("config")])  # of MMEngine, and of mmcv before it
def test_mmaction2s_configuration_is_read(key: str, tmp_path: Path) -> None:
    given = config("i3d_32x2", kind="nl", options={"pool": [1, 2, 2], "pool_at": "after"})
    original = random_network(given, out_bias=False)
    state = mmaction2(original, sub_sample=True)
    content = {"meta": {key: MMACTION2_I3D}, "state_dict": state}
    torch.save(content, tmp_path / "w.pth")
    given.weights = str(tmp_path / "w.pth")
    with pytest.raises(
        ValueError, match="scale is true at res3.1, theirs is false .non_local_cfg.us"
    ):
        build_model(given)
    given = config("i3d_32x2", kind="nl", options=NL_AFTER | {"scale": False})
    original = random_network(given, out_bias=False)
    torch.save(content | {"state_dict": mmaction2(original, sub_sample=True)}, tmp_path / "w.pth")
    check_equal(tmp_path / "w.pth", given, original, 32)
    heavy = MMACTION2_I3D.replace("_stride_t=2", "_stride_t=1")
    torch.save(content | {"meta": {key: heavy}}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="stem 1, and here it is 4; no backbone here has that"):
        build_model(given)


def test_what_names_of_mmaction2_tell(tmp_path: Path) -> None:
    """It pools after φ and g, and its names show whether; they do not show the pairwise function."""
    given = config("slow", kind="nl", options={"scale": True, "pairwise": "embedded_gaussian"})
    state = mmaction2(random_network(given, out_bias=False), sub_sample=True)
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    given.weights = str(tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"pool is null at res3.1, theirs is \[1,2,2\]"):
        build_model(given)
    given.context.options = {"pool": [1, 2, 2], "pool_at": "after", "scale": True}
    with pytest.raises(ValueError, match="do not tell the pairwise of their nl blocks"):
        build_model(given)


def test_python_text_is_read_as_literals_alone() -> None:
    """Nothing in it runs: what is neither a literal nor dict(…) is nothing."""
    text = "model = dict(backbone=dict(type='ResNet3dSlowFast', resample_rate=4, speed_ratio=4, "
    hostile = text + "x=__import__('os').abort(), slow_pathway=dict(style='caffe')))"
    said = configuration({"meta": {"cfg": hostile}}, "MMAction2").network
    found = {s.fact: s.value for s in said}
    assert found["frames of the clip per slow frame"] == 4
    assert found["convolution with the stride"] == "1×1"
    for broken in (
        "model = dict(",
        "(" * 10_000,
        "model = " + "-" * 50_000 + "1",
        "\0",
        "x" * 400_000,
    ):
        assert not configuration({"meta": {"cfg": broken}}, "MMAction2").network
    assert not configuration({"meta": {"cfg": [1]}, "cfg": 3}, "MMAction2").network


@pytest.mark.parametrize(
    ("kind", "options", "other", "message"),
    [
        (
            "nl", {"pairwise": "dot_product", "pool": [1, 2, 2]}, {"pool": [1, 2, 2]},
            "pairwise is embedded_gaussian at res3.1, theirs is dot_pr",
        ),
        ("dnl", {"temperature": 0.05}, {}, "temperature is 1.0 at res3.1, theirs is 0.05"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_ours_says_how_its_blocks_compute(
    kind: str, options: dict, other: dict, message: str, tmp_path: Path
) -> None:
    given = config("slow", kind=kind, after=["res3.1"], options=options)
    content = {
        "video_gc": {"model": {
            "backbone": "slow", "depth": 50, "more_context": [],
            "context": {
                "kind": kind, "place": "after_add", "after": ["res3.1"], "options": options,
            },
        }},
        "state_dict": {f"model.{k}": v for k, v in random_network(given).state_dict().items()},
    }  # fmt: skip
    torch.save(content, tmp_path / "best.ckpt")
    given.weights = str(tmp_path / "best.ckpt")
    build_model(given)
    given.context.options = other
    with pytest.raises(ValueError, match=message):
        build_model(given)


def test_a_checkpoint_of_ours_keeps_the_frames_of_its_slow_pathway(tmp_path: Path) -> None:
    given = config("slowfast_linear")
    described = {"backbone": "slowfast_linear", "slow_frames": "spread", "context": None}
    content = {
        "video_gc": {"model": described},
        "state_dict": {f"model.{k}": v for k, v in random_network(given).state_dict().items()},
    }
    torch.save(content, tmp_path / "best.ckpt")
    given.weights = str(tmp_path / "best.ckpt")
    with pytest.raises(
        ValueError, match="slow frames spread, and here it is strided; use .*=spread$"
    ):
        build_model(given)
    given.slow_frames = "spread"
    build_model(given)
    del described["slow_frames"]  # of a stranger: the backbone's own way is meant
    torch.save(content, tmp_path / "best.ckpt")
    given.slow_frames = "strided"
    build_model(given)


@pytest.mark.slow
def test_the_hint_for_other_blocks_names_all_of_the_files(tmp_path: Path) -> None:
    """PySlowFast's I3D_NLN_8x8_R101 has blocks where `five` has them at depth 50."""
    where = ["res3.1", "res3.3", "res4.1", "res4.3", "res4.5"]
    given = ModelConfig(backbone="i3d", depth=101, width=0.125, num_classes=3)
    given.context.kind, given.context.after = "nl", where
    cfg = pyslowfast_cfg("i3d")
    given.context.options = {"pool": [1, 2, 2]}
    saved(tmp_path / "w.pyth", given, cfg)
    build_model(given)
    given.context.after = ["five"]
    with pytest.raises(ValueError, match=r"after=\[res3.1,res3.3,res4.1,res4.3,res4.5\]"):
        build_model(given)


def test_blocks_without_hidden_options_need_none(tmp_path: Path) -> None:
    """NL_BEFORE has them all: a file without a configuration loads."""
    given = config("i3d", kind="nl", options=NL_BEFORE)
    build_model(saved(tmp_path / "w.pyth", given, None))
