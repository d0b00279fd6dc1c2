"""tools/complexity.py as it is called."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from video_gc.analysis.cost.cost_table import cost_tables, notes, short
from video_gc.analysis.cost.network_cost import described_network, network_cost, with_clip
from video_gc.backbones.published import PUBLISHED
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig


def test_an_experiment_is_counted_without_its_data(tool: Any, tmp_path: Path) -> None:
    status, _, err = tool(
        "complexity", "experiment=kinetics400/slow_r50_8x8_gc5", "--clip", "8", "64", "--classes", "400",
        "--no-measure", "--json", tmp_path / "cost.json", "--csv", tmp_path / "new" / "cost.csv",
    )  # fmt: skip
    assert status == 0, err
    assert "multiply-adds" in err
    assert str(tmp_path / "new" / "cost.csv") in err
    cost = json.loads((tmp_path / "cost.json").read_text())
    assert (cost["frames"], cost["test_side"], cost["train_side"]) == (8, 64, 64)
    lines = {(line["kind"], line["name"]): line for line in cost["lines"]}
    assert lines["network", "network"]["parameters"] == pytest.approx(34.30e6, abs=5e3)
    assert lines["without", "without context blocks"]["parameters"] == 32_454_096
    assert lines["network", "network"]["test_seconds"] is None
    rows = list(csv.DictReader((tmp_path / "new" / "cost.csv").read_text().splitlines()))
    assert [int(row["flops"]) for row in rows] == [line["flops"] for line in cost["lines"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("context=ngl",), "nl"),
        (("slow_r50", "context=gc"), "give 'slow_r50' alone"),
        (("nothing.ckpt",), "no such checkpoint or run directory"),
        (("model=slowfast_small", "--clip", "7", "64"), "multiple of 4 frames"),
    ],
)
def test_what_was_called_wrongly_is_one_line(
    tool: Any, arguments: tuple[str, ...], message: str
) -> None:
    status, _, err = tool("complexity", *arguments, "--no-measure")
    assert status == 2
    assert "error: " in err
    assert message in err


def test_which_network_a_name_means(checkpoint: Path, tmp_path: Path) -> None:
    model, clip = described_network(str(checkpoint))
    assert described_network(str(checkpoint.parent.parent)) == (model, clip)
    assert (model.num_classes, clip.test_crop) == (2, 32)
    with pytest.raises(FileNotFoundError, match="best.ckpt"):
        described_network(str(tmp_path))
    for name, published in PUBLISHED.items():  # and nothing is downloaded
        model, clip = described_network(name)
        assert (model.backbone, clip.frames, clip.crop, clip.test_crop) == (
            published.backbone, published.frames, published.side, published.side,
        )  # fmt: skip
        assert model.weights is None
    assert with_clip(ClipConfig(stride=4), 2, 48).crop == 48


@pytest.mark.slow
def test_the_measured_table_has_100_columns_and_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from video_gc.analysis.cost import network_cost as network

    apart = []

    def measured(model: ModelConfig, *_: object, train: bool, **__: object) -> float:
        apart.append((model.context.kind, train))
        return 300.0 if train else 100.0

    monkeypatch.setattr(network, "peak_memory", measured)
    context = ContextConfig(kind="nl", after=["*.res3.0"], place="after_1x1")
    model = ModelConfig(backbone="slowfast", width=0.125, num_classes=3, context=context)
    cost = network_cost(model, with_clip(ClipConfig(), 4, 32), batch=2, seconds=0)
    assert sorted(apart) == [("nl", False), ("nl", True), ("none", False), ("none", True)]
    whole, rest = cost.of("network")[0], cost.of("rest")[0]
    assert (whole.test_peak_mib, whole.train_peak_mib) == (100, 300)
    stages = cost.of("stage")
    assert whole.kept_mib == pytest.approx(sum(s.kept_mib for s in stages) + rest.kept_mib)
    assert cost.of("contexts")[0].train_seconds == pytest.approx(
        sum(line.train_seconds for line in cost.of("context"))
    )
    assert cost.added_train is not None
    assert cost.added_test is not None
    assert cost.added_test.rounds >= 1
    text = _text(*cost_tables(cost, blocks=True))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for line in cost.lines:
        assert f" {line.name} " in text
        assert f"{line.parameters:,}" in text
    assert any("measured in turns" in note for note in notes(cost))
    narrow = _text(*cost_tables(cost, blocks=True, width=80))
    assert max(map(len, narrow.splitlines())) <= 80
    assert "…" not in narrow
    assert "fast.res4.5" not in _text(*cost_tables(cost, blocks=False))


@pytest.mark.slow
def test_a_narrow_terminal_cuts_no_figure(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from video_gc.analysis.cost import network_cost as network
    from video_gc.progress import console

    monkeypatch.setattr(console, "width", 80)
    monkeypatch.setattr(network, "peak_memory", lambda *_, **__: 1234.0)
    monkeypatch.setattr(
        network, "time_networks", lambda networks, *_, **__: {kind: [0.1] for kind in networks}
    )
    monkeypatch.setattr(
        network, "time_parts", lambda _, parts, *__: dict.fromkeys(["", *parts], 0.1)
    )
    status, _, err = tool("complexity", "context=gc", "--clip", "4", "64")
    assert status == 0, err
    assert "without context blocks 436,842" in err
    assert err.count("1,234 1,234") == 2
    assert "…" not in err


def _text(*tables: object) -> str:
    stream = io.StringIO()
    Console(width=100, file=stream).print(*tables)
    return stream.getvalue()


def test_short_numbers() -> None:
    assert [short(n) for n in (0, 999, 1000, 41_743_000_000, 262_144)] == [
        "0", "999", "1.00 k", "41.74 G", "262.1 k",
    ]  # fmt: skip
