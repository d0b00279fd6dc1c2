"""An exported network computes what the network computes, or it is not written."""

from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import slow
from tests.deploy.test_contract import CONTRACT
from tests.deploy.test_inference_network import CLIP, network
from video_gc.blocks.non_local import PAIRWISE, SPANS
from video_gc.deploy import export, openvino
from video_gc.deploy.contract import Contract, hash_weights, read_contract
from video_gc.deploy.export import Exported, ExportOptions, export_network
from video_gc.deploy.exported import open_exported
from video_gc.deploy.exported_program import trace
from video_gc.deploy.fold import fold_norms
from video_gc.deploy.inference_network import example_clip
from video_gc.deploy.onnx import context_nodes, write_onnx
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import PLACES, ContextConfig

KINDS = ("gc", "nl", "snl", "se", "cc", "dnl")
BACKBONES = ("c2d", "i3d", "slow", "slowfast", "x3d", "csn", "r2plus1d", "image")
NAMES = list("abcdefg")


def contract_for(model: nn.Module) -> Contract:
    return replace(CONTRACT, names=NAMES, frames=CLIP[0], weights=hash_weights(model.state_dict()))


def clips(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *CLIP, generator=torch.Generator().manual_seed(seed))


def write(
    model: nn.Module, folder: Path, calibration: list[Tensor] | None = None, **options
) -> Exported:  # type: ignore[no-untyped-def]
    batches = [(clips(2), [0, -1]), (clips(1, seed=1), [3])]
    return export_network(
        model, contract_for(model), ExportOptions(**options), folder, batches, calibration
    )


def difference(file: Path, model: nn.Module, count: int) -> float:
    """Of the logits of other clips than those that it was verified on, from the largest logit."""
    found, wanted = open_exported(file)[0](clips(count, seed=2)), model(clips(count, seed=2))
    assert found.shape == wanted.shape == (count, 7)
    return float(((found - wanted).abs().max() / wanted.abs().max()).detach())


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        slow(kind, place)  # test_every_format writes GC
        for kind, place in zip(KINDS, cycle(PLACES), strict=False)
    ],
)
def test_every_kind_of_block_in_onnx(kind: str, place: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = network("bag", kind, place, depth=11)
    done = write(model, tmp_path, dynamic=True)
    assert [file.name for file in done.files] == ["model.onnx", "model.json"]
    assert {file.name for file in tmp_path.glob("[!.]*")} == {"model.onnx", "model.json"}
    assert read_contract(tmp_path / "model.json") == contract_for(model)
    assert done.comparison.clips == 3
    assert done.comparison.labelled == 2
    assert done.comparison.relative < 1e-4
    for count in (1, 3):
        assert difference(done.files[0], model, count) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "kind", "dynamic"),
    list(zip(BACKBONES, cycle(["snl", "nl", "gc", "dnl"]), cycle([False, True]), strict=False)),
)
def test_every_backbone_in_onnx(backbone: str, kind: str, dynamic: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = network(backbone, kind)
    done = write(model, tmp_path, dynamic=dynamic)
    assert difference(done.files[0], model, 2) < 1e-4


@pytest.mark.parametrize(
    ("options", "stem", "close"),
    [
        ({"format": "exported_program", "dynamic": True}, "model", 1e-4),
        slow({"format": "exported_program", "half": True}, "model_half", 1e-2),
        slow({"format": "onnx", "half": True}, "model_half", 1e-2),
        slow({"format": "onnx", "opset": 18}, "model", 1e-4),
        slow({"format": "openvino", "dynamic": True}, "model", 1e-4),
        slow({"format": "openvino", "half": True}, "model_half", 1e-2),
    ],
)
def test_every_format(options: dict[str, object], stem: str, close: float, tmp_path: Path) -> None:
    if options["format"] != "exported_program":
        pytest.importorskip("openvino" if options["format"] == "openvino" else "onnxruntime")
        pytest.importorskip("onnxscript")
    model = network("bag", "gc", depth=11)
    done = write(model, tmp_path, accept_difference=True, **options)
    assert done.files[0].stem == stem
    assert difference(done.files[0], model, 3) < close
    content = b"".join(file.read_bytes() for file in done.files)  # a .pt2 is not compressed
    assert str(Path(torch.__file__).parent).encode() not in content  # no folder of this machine
    assert str(Path(export.__file__).parents[2]).encode() not in content
    found = open_exported(done.files[0])[0]
    assert found.precision == ("fp16" if "half" in options else "fp32")
    if found.backend != "openvino":  # its ReLU makes 0 of NaN
        with pytest.raises(FloatingPointError, match="first in the output"):
            found(torch.full((1, 3, *CLIP), torch.nan))


NETWORKS = [
    *({"backbone": name} for name in BACKBONES if name != "image"),
    *(
        {"backbone": "image", "image_network": name}
        for name in ("efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf", "convnext_tiny")
    ),
]
BLOCKS = [
    *({"kind": kind} for kind in KINDS),
    {"kind": "dnl", "options": {"plain": True}},
    {"kind": "gc", "options": {"fusion": "both", "transform": "linear", "pool": "average"}},
    {"kind": "gc", "options": {"transform": "linear_inside"}},
    *(
        {"kind": "nl", "options": {"pairwise": pairwise, "span": span, "plain": plain}}
        for pairwise, span, plain in zip(PAIRWISE, cycle(SPANS), cycle([True, False]), strict=False)
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "context"),
    [(network, {}) for network in NETWORKS]
    + [({"backbone": "bag", "depth": 11}, block) for block in BLOCKS],
    ids=str,
)
def test_an_exported_program_of_ours_can_be_opened(
    options: dict[str, Any], context: dict[str, Any], tmp_path: Path
) -> None:
    backbone = options["backbone"]
    model = build_model(
        ModelConfig(
            width={"image": 1.0, "x3d": 0.5}.get(backbone, 0.125),
            num_classes=7,
            context=ContextConfig(**({"after": ["res3.*"]} | context))
            if context
            else ContextConfig(),
            **options,
        )
    ).eval()
    done = write(model, tmp_path, format="exported_program", dynamic=True)
    assert difference(done.files[0], model, 3) < 1e-4


@pytest.mark.slow
def test_int8_is_int8(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    pytest.importorskip("onnxscript")
    model = network("bag", "gc", depth=11)
    options = {"format": "openvino", "int8": True, "accept_difference": True}
    done = write(model, tmp_path, [clips(1, seed=n) for n in range(8)], **options)
    assert done.files[0].name == "model_int8.xml"
    assert 'element_type="i8"' in done.files[0].read_text()
    assert 1e-3 < difference(done.files[0], model, 8) < 0.5
    exact = write(model, tmp_path, [clips(1)], format="openvino")
    assert exact.comparison.relative < 1e-4  # calibration is for int8 alone
    assert done.files[1].stat().st_size < 0.6 * exact.files[1].stat().st_size
    with pytest.raises(ValueError, match="int8 needs clips to calibrate"):
        write(model, tmp_path, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "kind"), [*(("bag", kind) for kind in KINDS), ("slow", "gc"), ("slow", "nl")]
)
def test_the_nodes_of_context_blocks_are_those_that_they_add(
    backbone: str, kind: str, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    import onnx

    counts, found = [], set[str]()
    for name in ("none", kind):
        model = network(backbone, name, **({"depth": 11} if backbone == "bag" else {}))
        folded, _ = fold_norms(model, example_clip(model, CLIP))
        file = tmp_path / f"{name}.onnx"
        write_onnx(trace(folded.eval(), CLIP, dynamic=True), file, {})
        found = context_nodes(file)
        nodes = onnx.load(file).graph.node
        heavy = [
            node.name for node in nodes if node.op_type in ("Conv", "Gemm", "MatMul", "Softmax")
        ]
        counts.append(len(heavy))
        assert len({*heavy} - found) == counts[0]  # all but those without a block
        assert bool(found) == (name != "none")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gc", "nl"])
def test_context_blocks_stay_in_fp32_if_int8_costs_more(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    pytest.importorskip("onnxscript")
    import openvino as runtime

    shares = iter([0.03, 0.01, 0.03, 0.04, 0.005])
    monkeypatch.setattr(openvino, "_changed", lambda *_given: next(shares))
    model = network("bag", kind, depth=11)
    batches = [clips(1, seed=n) for n in range(openvino.ENOUGH)]
    options = {"format": "openvino", "int8": True, "accept_difference": True}
    inside = context_nodes(write(model, tmp_path, format="onnx").files[0])
    found = []
    for count in (openvino.ENOUGH,) * 3 + (openvino.ENOUGH - 1,):
        file = write(model, tmp_path, batches[:count], **options).files[0]
        rounded = {other.get_node().get_friendly_name().partition("/")[0]
                   for one in runtime.Core().read_model(file).get_ops()
                   if one.get_type_name() == "FakeQuantize"
                   for other in one.output(0).get_target_inputs()}  # fmt: skip
        assert any("conv3d" in name for name in rounded - inside)
        found.append(bool(rounded & inside))
    # better; worse, so all are rounded; few enough; of fewer clips no share is looked at
    assert found == [False, True, True, True]
    assert not [*shares]


def shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the exporter write another network than it was given."""

    class Shifted(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.model(x)
            return logits + 0.02 * logits.detach().amax()

    trace = export.trace
    monkeypatch.setattr(
        export, "trace", lambda model, shape, **named: trace(Shifted(model), shape, **named)
    )


@pytest.mark.slow
def test_a_model_that_disagrees_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network("bag", "none", depth=11)
    before = write(model, tmp_path, format="exported_program").files[0].read_bytes()
    shifted(monkeypatch)
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(
            FloatingPointError, match=r"model\.pt2: is not written: a logit differs"
        ):
            write(model, folder, format="exported_program")
    assert not list((tmp_path / "new").glob("*model*"))
    assert (tmp_path / "model.pt2").read_bytes() == before  # the earlier one stays
    done = write(model, tmp_path, format="exported_program", accept_difference=True)
    assert (tmp_path / "model.pt2").read_bytes() != before
    assert done.comparison.disagrees("fp32").startswith("a logit differs by 0.0")


@pytest.mark.parametrize(
    ("found", "precision", "kept"),
    [
        ({"relative": 9e-4, "agreement": 0.5}, "fp32", True),  # two classes may tie
        ({"relative": 1.1e-3, "agreement": 1.0}, "fp32", False),
        ({"relative": float("nan"), "agreement": 1.0}, "fp32", False),
        ({"relative": 0.4, "agreement": 0.99}, "int8", True),
        ({"relative": 0.4, "agreement": 0.98}, "int8", False),
        ({"relative": 0.4, "agreement": 1.0}, "fp16", False),
    ],
)
def test_the_limits(found: dict[str, float], precision: str, kept: bool) -> None:
    comparison = export.Comparison(
        clips=100, difference=1.0, labelled=0, accuracy=(0.0, 0.0), seconds=(1.0, 1.0), **found
    )
    assert (comparison.disagrees(precision) == "") is kept


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "tflite"}, "must be one of onnx, openvino, exported_program"),
        ({"int8": True}, "int8: not in onnx; use format openvino"),
        ({"format": "openvino", "int8": True, "half": True}, "choose one"),
        ({"format": "openvino", "opset": 18}, r"opset \(18\): only onnx"),
    ],
)
def test_options_that_exclude_each_other(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ExportOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("format", "extra"), [("onnx", "onnx"), ("openvino", "openvino")])
def test_a_missing_library_names_the_install_line(
    format: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_gc.extras.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf'pip install "video_gc\[{extra}\]"'):
        write(nn.Identity(), tmp_path, format=format)


def test_an_opset_that_does_not_exist(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    with pytest.raises(ValueError, match=r"opset \(3\)"):
        write(network("bag", "none", depth=11), tmp_path, opset=3)
    assert not list(tmp_path.glob("[!.]*"))
