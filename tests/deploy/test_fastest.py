"""The way that was measured to be the fastest is the one that predictions use."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from video_gc.deploy import fastest as module
from video_gc.deploy.choices import MOST_CLIPS, PRECISIONS, clips_in_call
from video_gc.deploy.export import ExportOptions, export_network
from video_gc.deploy.exported import open_exported
from video_gc.deploy.fastest import Way, fastest, remember_fastest
from video_gc.deploy.inference_network import choose, choose_way, fast_network
from video_gc.evaluate import evaluate as evaluation
from video_gc.evaluate.checkpoint_networks import check_fastest
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.predict.features import StageFeatures
from video_gc.predict.recognizer import Recognizer
from video_gc.train.checkpoint import load_network

CPU, CLIP = torch.device("cpu"), (4, 32, 32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "video_gc" / "fastest"


def network(kind: str) -> nn.Module:
    return build_model(
        ModelConfig(backbone="slow", width=0.0625, num_classes=3, context=ContextConfig(kind=kind))
    ).eval()


@pytest.fixture(scope="module")
def gc() -> nn.Module:
    return network("gc")


def slower() -> Way:
    """Not the default of this machine."""
    (precision,) = {*PRECISIONS[1:]} - {choose(CPU, "auto", "auto")[0]}
    return Way(precision, "eager", 3)


def test_it_is_for_this_network_clip_and_number_of_threads(
    gc: nn.Module, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fastest(gc, CLIP, CPU) is None
    file = remember_fastest(slower(), gc, CLIP, CPU)
    assert file.parent == cache
    assert fastest(gc, CLIP, CPU) == fastest(deepcopy(gc), CLIP, CPU) == slower()
    assert fastest(network("gc"), CLIP, CPU) is None  # other weights, which may agree less
    assert fastest(network("snl"), CLIP, CPU) is None
    assert fastest(gc, (4, 32, 40), CPU) is None
    assert fastest(gc, CLIP, torch.device("cuda")) is None
    with monkeypatch.context() as patched:
        patched.setattr(torch, "get_num_threads", lambda: 77)
        assert fastest(gc, CLIP, CPU) is None
    monkeypatch.setattr(module, "_processor", lambda: "another")
    assert fastest(gc, CLIP, CPU) is None


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"precision": "fp32"}', '{"precision": "int4", "backend": "eager"}',
     '{"precision": "fp32", "backend": "eager", "micro_batch": 0}',
     '{"precision": "int8", "backend": "openvino", "micro_batch": 8}', "3",
     '{"precision": "fp32", "backend": "eager", "micro_batch": 8, "file": "x.xml"}'],
)  # fmt: skip
def test_a_damaged_file_is_as_none(content: str, gc: nn.Module) -> None:
    remember_fastest(slower(), gc, CLIP, CPU).write_text(content)
    assert fastest(gc, CLIP, CPU) is None


def test_a_backend_that_is_gone_or_another_is_not_taken(
    gc: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(module, "version", lambda name: asked.append(name) or "2.0")
    monkeypatch.setattr(module, "installed", lambda name: True)
    remember_fastest(Way("bf16", "openvino", 8), gc, CLIP, CPU)
    assert fastest(gc, CLIP, CPU) == Way("bf16", "openvino", 8)
    assert {*asked} == {"openvino"}
    with monkeypatch.context() as patched:
        patched.setattr(module, "version", lambda name: "2.1")
        assert fastest(gc, CLIP, CPU) is None
    monkeypatch.setattr(module, "installed", lambda name: False)
    assert choose_way(gc, CLIP, CPU) == Way(*choose(CPU, "auto", "auto"), MOST_CLIPS)


def test_only_what_is_not_given_is_chosen(gc: nn.Module) -> None:
    assert fast_network(gc, CLIP, device=CPU).micro_batch == MOST_CLIPS
    remember_fastest(slower(), gc, CLIP, CPU)
    chosen = fast_network(gc, CLIP, device=CPU)
    assert (chosen.precision, chosen.backend, chosen.micro_batch) == (
        slower().precision,
        "eager",
        3,
    )
    assert fast_network(gc, CLIP, device=CPU, micro_batch=5).micro_batch == 5
    for given in ({"backend": "eager"}, {"precision": choose(CPU, "auto", "auto")[0]}):
        found = fast_network(gc, CLIP, device=CPU, **given)
        assert (found.precision, found.micro_batch) != (slower().precision, 3)


def test_without_a_home_there_is_none(gc: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for an unknown user
    assert choose_way(gc, CLIP, CPU).backend == "eager"


def test_features_watch_eager_layers(checkpoint: Path, video: Path) -> None:
    plain = Recognizer(checkpoint, device="cpu", precision="fp32")
    assert plain.in_eager() is plain
    other = Recognizer(checkpoint, device="cpu", precision="fp32")
    other.network = replace(other.network, backend="openvino")
    clips = torch.zeros(1, 3, *(plain.contract.frames, *[plain.contract.crop] * 2))
    with pytest.raises(ValueError, match="need the backend eager"):
        StageFeatures(other, "res4")
    found = StageFeatures(other.in_eager(), "res4")(clips)
    assert torch.equal(found, StageFeatures(plain, "res4")(clips))


def test_predictions_use_it(checkpoint: Path, video: Path) -> None:
    plain = Recognizer(checkpoint, device="cpu")
    contract = plain.contract
    assert plain.model is not None
    assert plain.micro_batch == MOST_CLIPS
    shape = contract.frames, contract.crop, contract.crop
    remember_fastest(slower(), plain.model, shape, CPU)
    chosen = Recognizer(checkpoint, device="cpu")
    assert (chosen.network.precision, chosen.micro_batch) == (slower().precision, 3)
    given = Recognizer(checkpoint, device="cpu", precision=slower().precision, micro_batch=3)
    assert torch.equal(chosen.predict(video).scores, given.predict(video).scores)


def test_a_network_in_int8_is_kept_and_used(
    checkpoint: Path, video: Path, tmp_path: Path, cache: Path
) -> None:
    pytest.importorskip("nncf")
    pytest.importorskip("onnxscript")
    plain = Recognizer(checkpoint, device="cpu", precision="fp32", backend="eager")
    contract, model = plain.contract, plain.model
    assert model is not None
    shape = contract.frames, contract.crop, contract.crop
    ranges = [torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    options = ExportOptions(format="openvino", int8=True, dynamic=True, accept_difference=True)
    batches = [(ranges[0], [-1])]
    exported = export_network(model, contract, options, tmp_path / "made", batches, ranges).files[0]
    kept = remember_fastest(Way("int8", "openvino", 2, exported), model, shape, CPU)
    chosen = Recognizer(checkpoint, device="cpu")
    assert (chosen.network.precision, chosen.micro_batch) == ("int8", 2)
    assert chosen.in_eager().network.precision in PRECISIONS
    done = evaluate(checkpoint, TestOptions(fastest=True, device="cpu", out=tmp_path / "tested"))
    assert "int8, openvino" in done.title
    other = export_network(model, contract, options, tmp_path / "other", batches, ranges[1:])
    remember_fastest(Way("int8", "openvino", 2, other.files[0]), model, shape, CPU)
    assert [file.suffix for file in sorted(cache.glob("*_*"))] == [".bin", ".xml"]  # no old ones
    clips = torch.cat([*ranges, ranges[0]])  # a call of two clips, and one of one
    torch.testing.assert_close(chosen.network(clips), open_exported(exported)[0](clips))
    assert not torch.equal(chosen.network(clips), plain.network(clips))
    assert chosen.predict(video).precision == "int8"
    anew = Recognizer(checkpoint, device="cpu")
    assert len({one.identity["network"][0] for one in (plain, chosen, anew)}) == 3
    assert fastest(model, shape, CPU)
    next(cache.glob("*.bin")).unlink()
    assert fastest(model, shape, CPU) is None
    remember_fastest(slower(), model, shape, CPU)
    assert [file.name for file in cache.iterdir()] == [kept.name]


@pytest.mark.parametrize(
    ("clip", "device", "count"),
    [((8, 224, 224), "cpu", 2), ((8, 256, 256), "cpu", 2), ((32, 256, 256), "cpu", 1),
     ((8, 40, 40), "cpu", 8), ((8, 224, 224), "cuda", 8)],
)  # fmt: skip
def test_a_cpu_gets_few_large_clips_in_a_call(
    clip: tuple[int, int, int], device: str, count: int
) -> None:
    assert clips_in_call(clip, device) == count


def test_a_test_uses_it_when_asked_to(
    bag_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = bag_run / "checkpoints" / "best.ckpt"
    asked = TestOptions(fastest=True, device="cpu", workers=0)
    with pytest.raises(ValueError, match=r"best\.ckpt: its fastest way on the cpu .* --choose"):
        evaluate(checkpoint, asked)
    model, contents = load_network(checkpoint)
    remember_fastest(slower(), model, contents.clip.test_shape, CPU)
    known = []
    monkeypatch.setattr(evaluation, "identity_of", lambda *given, **more: known.append(more) or {})
    done = evaluate(checkpoint, asked)
    assert done.files[0].parent == bag_run / "test_fastest"
    about = json.loads((bag_run / "test_fastest" / "accuracy.json").read_text())
    assert about["precision"] == slower().precision  # not the default of this machine
    part = evaluate(checkpoint, replace(asked, subset=1))
    assert part.files[0].parent.name == "test_subset_fastest"
    evaluate(checkpoint, TestOptions(device="cpu", workers=0, out=tmp_path / "plain"))
    assert [more.get("way") for more in known] == [str(slower())] * 2 + [None]
    with pytest.raises(ValueError, match="tables of runs"):
        evaluate(checkpoint, replace(asked, out=bag_run / "checkpoints" / ".." / "test"))


def test_a_test_takes_its_size_of_calls() -> None:
    trained = {"clips": 2, "micro_batch": 16}
    assert TestOptions(fastest=True).views(trained, slower()).micro_batch == 3
    assert TestOptions(fastest=True, micro_batch=5).views(trained, slower()).micro_batch == 5
    assert TestOptions().views(trained, None).micro_batch == trained["micro_batch"] == 16


@pytest.mark.parametrize(
    ("given", "processes", "text"),
    [(("fp32", None, None), 1, "--precision"), ((None, "eager", None), 1, "--backend"),
     ((None, None, "raw"), 1, "--weights"), ((None, None, None), 2, "several processes")],
)  # fmt: skip
def test_what_does_not_go_with_the_fastest_way(
    given: tuple[str | None, ...], processes: int, text: str, checkpoint: Path
) -> None:
    check_fastest(checkpoint, (None, None, None), 1)
    with pytest.raises(ValueError, match=text):
        check_fastest(checkpoint, given, processes)
    if processes == 1:
        options = dict(zip(("precision", "backend", "weights"), given, strict=True))
        with pytest.raises(ValueError, match=text):
            evaluate(checkpoint, TestOptions(fastest=True, **options))


def test_an_exported_model_has_no_other_way(exported: Path) -> None:
    with pytest.raises(ValueError, match="runs as it was written"):
        evaluate(exported, TestOptions(fastest=True))
