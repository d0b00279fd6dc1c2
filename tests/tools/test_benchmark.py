"""The benchmark measures what it says; how long anything takes is no test's business."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from benchmarks.blocks import GROWING, GROWTH, LITERAL, growth_table, plot_growth
from benchmarks.parts.block_kinds import BLOCKS
from benchmarks.parts.block_targets import SIZE, against_yardstick, attention_rate, targets
from benchmarks.parts.measurement import save_figure, show, table
from benchmarks.parts.network_timing import HEADS
from rich.cells import cell_len
from rich.console import Console

from tests.conftest import randomise
from video_gc.blocks import BLOCKS as KINDS
from video_gc.models.counts import count_modules

TOOL = Path(__file__).parents[2] / "tools" / "benchmark.py"


def test_tables_fit_eighty_columns_with_whole_headings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.parts.measurement.console", Console(width=80))
    rows = [[f"a way of {n} clips", *["12,345.6 ± 7.8"] * (len(HEADS) - 1)] for n in range(3)]
    show("\n".join(["**videos**", "", *table(HEADS, rows), "", "The end."]))
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert max(map(cell_len, printed.splitlines())) <= 80
    for word in " ".join(HEADS).split():
        assert word in printed
    assert "The end." in printed


@pytest.mark.parametrize(
    ("ours", "theirs", "names"),
    [
        ("gc", "gc, literal", {}),
        (
            "nl", "nl, literal",
            {"query": "theta", "key": "phi", "value": "g", "out": "z", "norm": "norm"},
        ),
        (
            "nl", "nl, pytorchvideo",
            {"query": "conv_theta", "key": "conv_phi", "value": "conv_g", "out": "conv_out",
             "norm": "norm"},
        ),
    ],
)  # fmt: skip
def test_the_peers_compute_what_our_blocks_do(ours: str, theirs: str, names: dict) -> None:
    block, peer = randomise(BLOCKS[ours](32)).eval(), BLOCKS[theirs](32).eval()
    wanted = peer.state_dict()
    state = {}
    for name, tensor in block.state_dict().items():
        first, _, rest = name.partition(".")
        theirs_name = f"{names.get(first, first)}.{rest}"
        state[theirs_name] = tensor.reshape(wanted[theirs_name].shape)
    peer.load_state_dict(state)
    x = torch.randn(1, 32, 2, 3, 4)
    with torch.no_grad():
        torch.testing.assert_close(block(x), peer(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_run_writes_a_table_with_the_peer_and_the_machine(tmp_path: Path) -> None:
    blocks = ["x.sum() and x + 1", "gc", "nl, pytorchvideo"]
    command = [
        sys.executable, TOOL, "blocks", "--sizes", "res4-8", "--blocks", *blocks,
        "--no-growth", "--seconds", "0", "--out", tmp_path,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert str(tmp_path / "blocks.json") in done.stderr
    results = json.loads((tmp_path / "blocks.json").read_text())
    assert results["machine"]["torch"]
    assert len(results["cases"]) == 3 * 2 * 2
    assert all(case["seconds"] > 0 for case in results["cases"])
    table = (tmp_path / "blocks.md").read_text()
    assert all(f"| {block} |" in table for block in blocks)
    assert "P = 1,568" in table


def test_the_plot_has_a_slope_for_each_block(tmp_path: Path) -> None:
    cases = [
        {"size": "growth", "block": "nl", "shape": shape, "seconds": 1e-9 * p**2, "peak_mib": 1}
        for shape in GROWTH
        for p in [shape[1] * shape[2] * shape[3]]
    ]
    figure, slopes = plot_growth(cases, ["nl"])
    save_figure(figure, tmp_path / "plot.png")
    assert slopes == {"seconds": {"nl": 2.0}, "peak_mib": {"nl": 0.0}}
    assert growth_table(cases, slopes)[-1] == "| nl | 200,704 | 40.3 s | 1 MiB | 2.00 | 0.00 |"
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_the_rate_of_attention_counts_all_its_products(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, seconds = iter([3e9, 4e9]), iter([0.5, 0.25])

    def clock(call: Callable[[], object]) -> float:
        call()
        return next(seconds)

    monkeypatch.setattr(
        "benchmarks.parts.block_targets.product_rates", lambda: {"fp32": next(rates)}
    )
    monkeypatch.setattr("benchmarks.parts.block_targets._seconds", clock)
    found = attention_rate("fp32", rounds=2, shape=(32, 2, 7, 7))
    products = count_modules(BLOCKS["nl"](32), torch.empty(1, 32, 2, 7, 7)).flops.total()
    assert found == {"ratio": 2 * products / 0.25 / 4e9, "own": 2 * products / 0.25, "product": 4e9}


def test_the_yardstick_is_timed_in_the_same_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.parts.block_targets.SHAPE", (16, 2, 3, 3))
    seconds = iter([9, 9, 2, 3, 1, 2])  # gc, yardstick; yardstick, gc; gc, yardstick
    monkeypatch.setattr("benchmarks.parts.block_targets._seconds", lambda call: next(seconds))
    found = against_yardstick("gc", "contiguous", rounds=2)
    assert found == {"ratio": (3 / 2 + 1 / 2) / 2}


def test_targets_compare_memory_in_both_layouts_and_leave_out_what_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.parts.block_targets.has_bf16", lambda _device: True)
    measured = {"attention_rate": {"ratio": 0.5}, "against_yardstick": {"error": "killed"}}
    monkeypatch.setattr("benchmarks.parts.block_targets.in_new_process",
                        lambda call, *_: measured[call.__name__])  # fmt: skip
    cases = [
        {"size": SIZE, "block": block, "training": training, "layout": layout, "peak_mib": mib}
        for block, layout, mib in [
            ("nl", "contiguous", 50), ("nl", "channels-last", 30), ("gc", "contiguous", 1),
            ("nl, pytorchvideo", "contiguous", 1000), ("nl, pytorchvideo", "channels-last", 200),
        ]
        for training in (False, True)
    ]  # fmt: skip
    found = targets(cases)
    assert [(target.number, target.met) for target in found] == [
        (0.5, False), (0.5, False), (0.15, False), (0.15, False),
    ]  # fmt: skip
    assert not targets([case | {"size": "res4-8"} for case in cases])


def test_growth_has_every_kind_and_says_where_the_literal_formula_ends() -> None:
    assert set(GROWING) <= set(BLOCKS)
    assert {name.split(",")[0] for name in GROWING} == set(KINDS)
    cases = [{"size": "growth", "block": LITERAL, "shape": shape} for shape in GROWTH]
    assert "at P = 84,672 its scores and weights, P×P each, take 53 GiB" in " ".join(
        growth_table(cases[:4], {"seconds": {}, "peak_mib": {}})
    )
    assert "GiB" not in " ".join(growth_table(cases, {"seconds": {}, "peak_mib": {}}))


@pytest.mark.slow
def test_help_and_a_wrong_block() -> None:
    shown = subprocess.run([sys.executable, TOOL, "--help"], capture_output=True, text=True)
    assert "video-gc benchmark blocks --sizes res4-8" in shown.stdout
    wrong = subprocess.run(
        [sys.executable, TOOL, "blocks", "--blocks", "gcx"], capture_output=True, text=True
    )
    assert wrong.returncode == 2
    assert "invalid choice: 'gcx'" in wrong.stderr
