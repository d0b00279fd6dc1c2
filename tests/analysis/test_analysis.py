import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet50

from tests.conftest import SMALL, randomise
from video_gc.analysis.attention.maps import attention_maps, stretch
from video_gc.analysis.overlay import heat, strip
from video_gc.analysis.report import choose_examples, write_report
from video_gc.config import compose_train
from video_gc.evaluate.evaluate import TestOptions, evaluate
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig, context_blocks
from video_gc.models.counts import Complexity, complexity
from video_gc.train.loop import train
from video_gc.train.resume.run_directory import read_metrics


def model(kind: str = "none") -> torch.nn.Module:
    context = ContextConfig(kind=kind)
    config = ModelConfig(backbone="slow", width=0.125, num_classes=10, context=context)
    return build_model(config).eval()


def test_flops_are_multiply_adds() -> None:
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 5, 7))
    assert complexity(linear, (2, 4, 5)).flops == 3 * 2 * 4 * 5 * 7
    assert complexity(linear, (2, 4, 5)).parameters == 120 * 7 + 7


@pytest.mark.slow  # tests/analysis/cost has the papers' networks
def test_the_image_network_has_its_published_cost() -> None:
    class Image(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = resnet50()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x[:, :, 0])

    with torch.device("meta"):  # counting needs no numbers
        image = Image()
    cost = complexity(image, (1, 224, 224))
    assert cost.parameters == 25_557_032
    assert cost.flops / 1e9 == pytest.approx(4.09, abs=0.005)


@pytest.mark.slow  # tests/analysis/cost has each block alone
def test_cost_of_the_blocks_in_closed_form() -> None:
    """At 4×64² the features are 4×8² (C = 64) after res3 and 4×4² (C = 128) after res4."""
    plain = complexity(model(), (4, 64, 64))
    costs = {
        "gc": lambda c, p: 2 * c * p + 2 * c * (c // 4),
        "snl": lambda c, p: 2 * c * p + c * c,
        "se": lambda c, p: 2 * c * (c // 16),
        "nl": lambda c, p: 4 * p * c * (c // 2) + 2 * p * p * (c // 2),
        "dnl": lambda c, p: 4 * p * c * (c // 2) + 2 * p * p * (c // 2) + p * (c + c // 2),
        "cc": lambda c, p: 3 * (2 * p * c * c + p * c * (20 if p > 64 else 12)),
    }
    some, others = ["gc", "cc", "dnl"], ["nl", "snl", "se"]
    for res3, res4 in ((some, others), (others, some)):
        places = [(f"res3.{n}", kind) for n, kind in enumerate(res3)]
        places += [(f"res4.{n}", kind) for n, kind in enumerate(res4)]
        first, *more = (ContextConfig(kind=kind, after=[name]) for name, kind in places)
        network = build_model(
            ModelConfig(
                backbone="slow", width=0.125, num_classes=10, context=first, more_context=more
            )
        )
        full = complexity(network, (4, 64, 64))
        added = sum(costs[k](64, 256) for k in res3) + sum(costs[k](128, 64) for k in res4)
        assert full.flops - plain.flops == added
        blocks = sum(p.numel() for b in context_blocks(network).values() for p in b.parameters())
        assert full.parameters - plain.parameters == blocks


def test_attention_maps_are_what_the_blocks_use() -> None:
    network = model("gc")
    for block in context_blocks(network).values():
        randomise(block)
    clip = torch.randn(2, 3, 4, 64, 64)
    seen = {}
    block = context_blocks(network)["res3.1"]
    hook = block.register_forward_pre_hook(lambda _m, inputs: seen.update(x=inputs[0]))
    maps = attention_maps(network, clip)
    hook.remove()
    assert list(maps) == ["res3.1", "res3.3", "res4.1", "res4.3", "res4.5"]
    assert maps["res3.1"].shape == (2, 4, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(maps["res3.1"], block.attention_map(seen["x"]))
    torch.testing.assert_close(maps["res4.5"].sum((1, 2, 3)), torch.ones(2))
    assert attention_maps(model("se"), clip) == attention_maps(model("nl"), clip) == {}
    assert not any(b._forward_pre_hooks for b in context_blocks(network).values())


def test_drawing() -> None:
    attention = torch.zeros(2, 4, 4)
    attention[1, 0, 3] = 0.5
    large = stretch(attention, (4, 16, 16))
    assert large.shape == (4, 16, 16)
    assert (large.min(), large.max()) == (0, 1)
    assert large[3, 0, 15] == 1
    frames = np.full((4, 16, 16, 3), 100, np.uint8)
    warm = heat(frames, large.numpy())
    assert (warm[0, 15, 0] == 100).all()  # no attention: the grey of the frame
    assert warm[3, 0, 15, 0] > 150
    assert strip(frames, 3).shape == (16, 3 * 16 + 2 * 2, 3)


def test_examples_take_the_surest_of_each_class_in_turn() -> None:
    rows = [
        {"label": label, "top1": top, "score1": score}
        for label, top, score in [
            ("a", "a", "0.9"), ("a", "a", "0.8"), ("b", "b", "0.6"), ("b", "a", "0.7"),
        ]
    ]  # fmt: skip
    right, wrong = choose_examples(rows)
    assert [(row["label"], row["score1"]) for row in right] == [
        ("a", "0.9"),
        ("b", "0.6"),
        ("a", "0.8"),
    ]
    assert wrong == [rows[3]]


@pytest.mark.slow
def test_the_report_is_one_page_that_needs_no_network(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[str, Complexity] = {}

    def counted_once(network: torch.nn.Module, clip: tuple[int, int, int]) -> Complexity:
        if str(network) not in known:
            known[str(network)] = complexity(network, clip)
        return known[str(network)]

    monkeypatch.setattr("video_gc.analysis.report.complexity", counted_once)
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    with pytest.raises(
        FileNotFoundError, match=r"accuracy.json: not there yet; make it with video-gc test"
    ):
        write_report(copy)
    evaluate(copy / "checkpoints" / "best.ckpt", TestOptions(workers=0))
    (copy / "test" / "pairs.png").write_bytes((copy / "test" / "confusion.png").read_bytes())
    page = write_report(copy).read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "http" not in re.sub(r'data:[^"]*|xmlns(:\w+)?="[^"]*"', "", page)
    for name in ("bright", "dark"):  # rows and columns of the confusion matrix, and a bar
        assert len(re.findall(rf">{name}( \(\d\))?</text>", page)) == 3
    assert page.count('class="card example"') + page.count("No test video") >= 2
    assert page.count("Attention over the frames") == page.count('alt="Frames of') > 0
    top1 = read_metrics(copy / "logs")["val/top1"]
    assert [epoch for epoch, _ in top1] == [1, 2]
    assert "without context blocks" in page
    assert "top-5" not in page  # of two classes
    assert "Confidence and accuracy" in page
    assert "Most frequent confusions" in page
    (copy / "test" / "pairs.png").unlink()
    assert write_report(copy).read_text().count("<img") == page.count("<img") - 1


@pytest.mark.slow
def test_a_report_without_pooling_attention_claims_no_map(
    clips_folder: Path, tmp_path: Path
) -> None:
    given = [*SMALL, f"data.root={clips_folder}", f"runs={tmp_path}", "name=se", "context=se"]
    directory = train(compose_train([*given, "model.context.options.reduction=4", "epochs=1"]))
    evaluate(directory / "checkpoints" / "last.ckpt", TestOptions(workers=0))
    page = write_report(directory).read_text()
    assert "5 se blocks" in page
    assert "Below each strip" not in page
    assert "last.ckpt" in page  # the checkpoint that was tested, not another


def test_a_report_of_nothing_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"best.ckpt: not there yet; make it with video-gc train"
    ):
        write_report(tmp_path)
    (tmp_path / "real" / "checkpoints").mkdir(parents=True)
    (tmp_path / "real" / "checkpoints" / "best.ckpt").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="no such run directory; there are real"):
        write_report(tmp_path / "rael")
