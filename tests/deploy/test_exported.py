"""An exported model is used as a checkpoint is, and its contract must fit it."""

import json
import re
import runpy
import shutil
import sys
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import counted_frames, slow
from tests.decode.videos import encode, x264
from tests.deploy.test_contract import CONTRACT
from video_gc.decode.write import write_video
from video_gc.deploy.contract import read_contract, write_contract
from video_gc.deploy.exported import open_exported, open_file
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.predict.features import StageFeatures
from video_gc.predict.recognizer import Recognizer

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.fixture
def moved(exported: Path, tmp_path: Path) -> Path:
    """The model and its contract in a folder of no run."""
    for suffix in (".onnx", ".json"):
        shutil.copy(exported.with_suffix(suffix), tmp_path)
    return tmp_path / exported.name


def change(file: Path, **values: object) -> None:
    """Change its contract."""
    contract = replace(read_contract(file.with_suffix(".json")), **values)
    write_contract(contract, file.with_suffix(".json"))


def test_it_predicts_as_its_checkpoint(exported: Path, bag_run: Path, video: Path) -> None:
    checkpoint = Recognizer(bag_run / "checkpoints" / "best.ckpt", device="cpu", precision="fp32")
    recognizer = Recognizer(exported)
    assert recognizer.contract == checkpoint.contract
    assert recognizer.network.about == "fp32, onnxruntime, cpu"
    one, two = checkpoint.predict(video), recognizer.predict(video)
    torch.testing.assert_close(two.scores, one.scores, rtol=0, atol=1e-5)
    assert [(w.start, w.end) for w in two.windows] == [(w.start, w.end) for w in one.windows]


def test_it_is_tested_on_the_videos_of_its_run(exported: Path, bag_run: Path) -> None:
    of_checkpoint = evaluate(bag_run / "checkpoints" / "best.ckpt", TestOptions(precision="fp32"))
    done = evaluate(exported)
    assert done.files[0].parent == bag_run / "test_model_onnx"
    assert "onnxruntime" in done.title
    wanted, found = of_checkpoint.result, done.result
    assert found.index.table.equals(wanted.index.table)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=0, atol=1e-5)


def test_elsewhere_it_needs_videos(moved: Path, clips_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lies in no run's folder, .* give --data DIR"):
        evaluate(moved)
    done = evaluate(moved, TestOptions(data=clips_folder, clips=1, crops=1, out=tmp_path / "out"))
    assert done.result.video_level.count == 12
    for given, said in (
        (TestOptions(data=clips_folder, precision="bf16"), "has its own precision; for bf16 give"),
        (TestOptions(data=clips_folder, weights="ema"), "has one kind of weights"),
    ):
        with pytest.raises(ValueError, match=said):
            evaluate(moved, given)


def test_a_contract_that_does_not_fit(moved: Path) -> None:
    whole = asdict(read_contract(moved.with_suffix(".json")))
    for values, said in (
        ({"names": ["a", "b", "c"]}, "3 classes, the model has 2"),
        ({"crop": 48}, "clips of 3×4×48×48, the model takes N×3×4×32×32"),
        ({"frames": 8}, "clips of 3×8×32×32"),
        ({"weights": "0" * 64}, "weights 000000000000, the model has"),
    ):
        moved.with_suffix(".json").write_text(json.dumps(whole | values))
        with pytest.raises(ValueError, match=rf"model\.json: does not fit model\.onnx .*{said}"):
            Recognizer(moved)
    moved.with_suffix(".json").write_text("{}")
    with pytest.raises(ValueError, match=r"model\.json: not the contract of a model"):
        Recognizer(moved)
    moved.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match=r"contract model\.json is missing; copy it"):
        Recognizer(moved)
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: no such exported model"):
        Recognizer(moved.with_name("none.onnx"))


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", slow(".xml")])
@pytest.mark.parametrize("content", [b"", b"this is no model\n" * 9])
def test_a_file_that_is_no_model(moved: Path, suffix: str, content: bytes) -> None:
    if suffix == ".xml":
        pytest.importorskip("openvino")
    file = moved.with_suffix(suffix)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"model\{suffix}: not an .*, or a damaged one \(.+\)"):
        Recognizer(file)


def test_a_damaged_model(moved: Path) -> None:
    moved.write_bytes(moved.read_bytes()[:5000])
    with pytest.raises(ValueError, match="not an ONNX model .*, or a damaged one"):
        Recognizer(moved)


def test_it_has_no_layers_to_look_at(exported: Path) -> None:
    with pytest.raises(ValueError, match="features need the backend eager, not onnxruntime"):
        StageFeatures(Recognizer(exported), "res3")


def test_a_gpu_is_refused(moved: Path) -> None:
    with pytest.raises(ValueError, match="runs on the CPU here, not on cuda"):
        open_exported(moved, torch.device("cuda"))


@pytest.mark.parametrize(
    ("part", "content", "said"),
    [
        ("data/sample_inputs/model.pt", b"cos\nsystem\n(S'true'\ntR.", "could run code"),
        ("data/constants/opaque_obj_0", b"cos\nsystem\n(S'true'\ntR.", "could run code"),
        ("data/weights/model.pt", b"cos\nsystem\n(S'true'\ntR.", "could run code"),
        ("data/weights/model_weights_config.json", (b"false", b"true"), "tensor in it is pickled"),
        (
            "models/model.json",
            (b"torch.ops.aten.linear.default", b"torch.hub.load"),
            r"its graph calls 'torch\.hub\.load'",
        ),
        (
            "models/model.json",
            (b"torch.ops.aten.linear.default", b"torch.ops.aten.from_file.default"),
            r"its graph calls 'torch\.ops\.aten\.from_file\.default'",
        ),
        (
            "models/model.json",
            (b'{"as_int": 1}', b'{"as_expr": {"expr_str": "print(1)", "hint": null}}'),
            r"a size in it is 'print\(1\)'",
        ),
        (
            "models/model.json",
            (b'"range_constraints": {}', b'"range_constraints": {"print(1)": {}}'),
            r"a name in it is 'print\(1\)'",
        ),
        ("models/model.json", (b'"input"', b'"input=print(1)"'), r"is 'input=print\(1\)'"),
    ],
)
def test_an_exported_program_that_could_run_code_is_refused(
    part: str, content: bytes | tuple[bytes, bytes], said: str, tmp_path: Path
) -> None:
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    program.example_inputs = None
    torch.export.save(program, tmp_path / "a.pt2")
    file = tmp_path / "b.pt2"
    with zipfile.ZipFile(tmp_path / "a.pt2") as old, zipfile.ZipFile(file, "w") as new:
        parts = {name: old.read(name) for name in old.namelist()}
        root = next(iter(parts)).partition("/")[0]
        name = f"{root}/{part}"
        parts[name] = content if isinstance(content, bytes) else parts[name].replace(*content)
        for each, value in parts.items():
            new.writestr(each, value)
    for model in ("a.pt2", "b.pt2"):
        write_contract(CONTRACT, (tmp_path / model).with_suffix(".json"))
    with pytest.raises(ValueError, match="does not fit"):  # it is opened
        open_exported(tmp_path / "a.pt2")
    with pytest.raises(ValueError, match=said):
        open_exported(file)


class Two(torch.nn.Module):
    """Two inputs, or two outputs."""

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> object:
        return (x, x + 1) if y is None else x + y


@pytest.mark.parametrize("count", [1, 2])
def test_a_program_with_two_inputs_or_outputs(count: int, tmp_path: Path) -> None:
    program = torch.export.export(Two(), (torch.zeros(1, 2),) * count)
    program.example_inputs = None
    torch.export.save(program, tmp_path / "two.pt2")
    said = r"two\.pt2: not an exported program of torch with one input and one output.*unpack"
    with pytest.raises(ValueError, match=said):
        open_file(tmp_path / "two.pt2")


@pytest.mark.slow
def test_an_openvino_model_without_classes(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    operators = pytest.importorskip("openvino.opset13")
    clips = operators.parameter([1, 3, 2, 4, 4], np.float32)
    total = operators.reduce_sum(clips, np.arange(5), False)
    openvino.save_model(openvino.Model([total], [clips]), tmp_path / "model.xml")
    with pytest.raises(ValueError, match=r"model\.xml: not an OpenVINO model with one input"):
        open_file(tmp_path / "model.xml")


@pytest.mark.parametrize(
    ("contract", "rate"),
    [
        ({}, 30),
        ({"past_end": "loop", "stride": 4, "fps": 10.0}, 30),  # a window is longer than the video
        ({"offsets": "pyslowfast", "subtract_mean_frame": True, "fps": None}, 60),
        ({"sampling": "segments", "multi_label": True}, 30),
        ({"stride": 3, "fps": 25.0, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}, 60),
        ({"std": [1e-5] * 3}, 30),  # logits above 88, whose power of e is no float32
        ({"fps": 25.0}, None),
        ({"fps": 12.5, "offsets": "pyslowfast"}, None),
        ({"past_end": "loop", "stride": 60}, None),
        ({"fps": None}, None),
    ],
)
def test_the_program_of_the_page_agrees_with_recognizer(
    moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], contract: dict[str, object], rate: int | None,
) -> None:  # fmt: skip
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(list(filter(str.strip, program.splitlines()))) <= 40
    imported = set(re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE))
    assert imported - set(sys.stdlib_module_names) == {"av", "numpy", "onnxruntime"}
    (tmp_path / "consume.py").write_text(program, encoding="utf-8")
    video = tmp_path / "v.mp4"
    if rate is None:  # it varies
        encode(video, "libx264", x264(), size=(32, 48), stamps=lambda n: n + max(n - 20, 0))
    else:
        write_video(video, counted_frames(34, height=32, width=48), fps=rate)
    change(moved, **contract)
    monkeypatch.setattr(sys, "argv", ["consume.py", str(moved), str(video)])
    runpy.run_path(str(tmp_path / "consume.py"))
    name, score = capsys.readouterr().out.split()
    ((wanted, best),) = Recognizer(moved).predict(video).top(1)
    assert name == wanted
    assert float(score) == pytest.approx(best, abs=2e-4)  # nothing was scaled
