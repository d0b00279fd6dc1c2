"""The benchmarks of whole networks measure what they say; how long it takes is no test's business."""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from benchmarks import predict
from benchmarks import test as view_test
from benchmarks.networks import HEAVY, interval, measure
from benchmarks.networks import Row as NetworkRow
from benchmarks.networks import targets as overheads
from benchmarks.parts.choose import Candidate, choose_fastest
from benchmarks.parts.network_timing import (
    PLAIN,
    Row,
    Setting,
    Spent,
    faster,
    plain_input,
    setting_of,
    time_rows,
)
from benchmarks.parts.videos import DENSE, SPARSE, encode, look_at
from benchmarks.test import plain_test

from video_gc.data.index import DataError
from video_gc.data.sampling import ClipConfig
from video_gc.deploy.fastest import Way, fastest
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig
from video_gc.predict.recognizer import Recognizer
from video_gc.train.checkpoint import load_network

TOOLS = Path(__file__).parents[2] / "tools"

SMALL = {
    kind: ModelConfig(
        backbone="slow",
        num_classes=4,
        width=0.125,
        context=ContextConfig(kind=kind, after=["res3.1" if kind == "gc" else "res3.*"]),
    )
    for kind in ("none", "gc", "nl")
}
SETTING = Setting("slow", 0.125, 4, 2, 32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small videos under the names that the benchmark looks for."""
    folder = tmp_path_factory.mktemp("benchmark")
    for name in (SPARSE, DENSE):
        encode(folder / name, 96, 72, 12, 48)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("test", ["--clips", "2", "--workers", "0"]),
        ("predict", ["--ways", "eager"]),
    ],
)
def test_a_quick_run_has_every_figure(
    what: str, given: list[str], cache: Path, tmp_path: Path
) -> None:
    command = [sys.executable, TOOLS / "benchmark.py", what, "--quick", "--threads", "1"]
    done = subprocess.run(
        [*command, *given, "--cache", cache, "--out", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / f"{what}.json").read_text())
    assert results["machine"]["torch"]
    assert results["flops"] > 1e6
    assert results["rates"]["fp32"] > 1e8
    for rows in results["tables"].values():
        assert rows[0]["name"] == PLAIN
        for row in rows:
            assert row["error"] is None
            (total,), (model,), (waiting,) = row["seconds"], row["model"], row["waiting"]
            assert model > 0
            assert waiting >= 0
            assert model + waiting <= total
            assert row["clips"] > 0
    first = next(iter(results["tables"].values()))
    assert all(row["peak_mib"] > 100 for row in first)
    assert {row["clips"] for row in first} == {{"test": 6, "predict": 1}[what]}
    text = (tmp_path / f"{what}.md").read_text()
    assert f"| {PLAIN} |" in text
    assert "times as fast as the plain loop" in text
    assert {file.name for file in cache.iterdir()} == {SPARSE, DENSE}  # no larger one was made


def test_quick_leaves_what_was_given() -> None:
    parser = argparse.ArgumentParser()
    view_test.add_arguments(parser)
    options = parser.parse_args(["--threads", "1", "--side", "96", "--quick", "--clips", "4"])
    assert setting_of(options) == Setting("slow", 0.125, 4, 8, 96)
    assert (options.clips, options.rounds) == (4, 1)
    options = parser.parse_args(["--threads", "1", "--width", "0.5"])
    assert setting_of(options) == Setting("slow", 0.5, 8, 8, 256)
    assert (options.clips, options.rounds) == (10, 3)
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    options = parser.parse_args(["--threads", "1", "--quick", "--batch", "2", "4"])
    setting_of(options)
    assert options.batch == [2, 4]


def test_turns_warm_up_and_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)  # of a large process, this takes long
    order: list[str] = []

    def work(name: str) -> Spent:
        order.append(name)
        return Spent(2, 0.0)

    rows = [Row("a", "fp32"), Row("b", "fp32"), Row("c", "fp32", error="broken")]
    time_rows(rows, {name: lambda name=name: work(name) for name in "ab"}, 2, "")  # type: ignore[misc]
    assert "".join(order) == "abbaab"
    assert [len(row.seconds) for row in rows] == [2, 2, 0]


def test_the_target_is_the_ratio_of_rates() -> None:
    rows = [Row(PLAIN, "fp32", [3.0], clips=3), Row("ours", "bf16", [2.0], clips=8)]
    (target,) = faster(rows, "ours", 3.0, "")
    assert target.number == pytest.approx(4.0)
    assert not faster(rows[1:], "ours", 3.0, "")


@pytest.mark.slow
def test_flops_are_those_of_the_network_with_its_blocks() -> None:
    one, two = SETTING, Setting(**(asdict(SETTING) | {"side": 64}))
    assert 3.5 < two.flops() / one.flops() < 4.2
    plain = sum(parameter.numel() for parameter in one.plain().parameters())
    assert sum(parameter.numel() for parameter in one.ours().parameters()) > plain


def test_both_loops_score_the_same_views(cache: Path) -> None:
    seen: list[torch.Tensor] = []

    class Look(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return torch.zeros(1, 2)

    video = look_at(cache / SPARSE)
    spent = plain_test(Look(), [video], SETTING, 2, 3)
    assert (spent.clips, spent.videos) == (6, 1)
    assert {tuple(x.shape) for x in seen} == {(1, 3, 4, 32, 32)}
    grey = plain_input(torch.full((4, 3, 2, 2), 115, dtype=torch.uint8))
    assert grey.abs().max() < 0.01  # 0.45 is the mean


def test_the_fastest_way_of_a_run_is_remembered(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    best = run / "checkpoints" / "best.ckpt"
    assert choose_fastest(best, (), ["eager"], rounds=2, out=tmp_path) == 0
    results = json.loads((tmp_path / "choose.json").read_text())
    ways = {(one["precision"], one["backend"], one["micro_batch"]): one for one in results["ways"]}
    assert len(ways) == 4
    assert all(len(way["seconds"]) == 2 for way in ways.values())
    assert ways["fp32", "eager", 1]["same"] == 1
    assert ways["fp32", "eager", 1]["off"] == 0
    assert 0 < ways["bf16", "eager", 8]["off"] < 0.1
    assert ways["bf16", "eager", 8]["same"] == ways["bf16", "eager", 1]["same"]
    least = ways["fp32", "eager", 1]["right"] - 0.003
    sound = [way for way in ways.values() if way["same"] >= 0.99 and way["right"] >= least]
    quickest = min(sound, key=lambda way: sum(way["seconds"]))
    assert {name: quickest[name] for name in ("precision", "backend", "micro_batch")} == {
        name: value for name, value in results["chosen"].items() if name != "file"
    }
    model, contents = load_network(best)
    clip = contents.clip
    shape = clip.frames, clip.test_crop, clip.test_crop
    assert fastest(model, shape, torch.device("cpu")) == Way(**results["chosen"])


@pytest.mark.slow
def test_a_network_in_int8_is_calibrated_on_training_videos(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    best = run / "checkpoints" / "best.ckpt"
    few = ways_in_int8(best, tmp_path)
    assert {way["error"] for way in few} == {"int8 is compared on 200 videos at least, here are 2"}
    monkeypatch.setattr("benchmarks.parts.choose.ENOUGH", 1)
    # a network of a few steps does not agree, and another way may be faster
    monkeypatch.setattr(Candidate, "sound", lambda one, first: one.precision == "int8")
    found = ways_in_int8(best, tmp_path)
    assert [way["error"] for way in found] == [None, None]
    assert 0 < found[0]["off"] < 1
    assert Recognizer(best, device="cpu").network.precision == "int8"


def ways_in_int8(checkpoint: Path, folder: Path) -> list[dict[str, Any]]:
    assert choose_fastest(checkpoint, (), ["openvino"], 1, folder) == 0
    ways = json.loads((folder / "choose.json").read_text())["ways"]
    return [way for way in ways if way["precision"] == "int8"]


def test_a_backend_that_fails_is_a_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_given: object) -> NoReturn:
        raise RuntimeError("no compiler here\nand more")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("video_gc.deploy.inference_network._compiled", broken)
    assert choose_fastest(run / "checkpoints" / "best.ckpt", (), ["compile"], 1, tmp_path) == 0
    ways = json.loads((tmp_path / "choose.json").read_text())["ways"]
    errors = {way["backend"]: way["error"] for way in ways}
    assert errors == {"eager": None, "compile": "no compiler here"}


def test_videos_that_cannot_be_read_are_said(run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(DataError, match="none of 1 videos could be read"):
        choose_fastest(run / "checkpoints" / "best.ckpt", [broken], [], 1, tmp_path)


def test_what_loses_accuracy_is_not_chosen() -> None:
    first = Candidate("fp32", "eager", 1, [1.0], same=1.0, right=0.9)
    assert first.sound(first)
    one = Candidate("int8", "openvino", 1, [0.1], same=0.99, right=0.898)
    assert one.sound(first)
    assert not replace(one, right=0.896).sound(first)
    assert not replace(one, same=0.989).sound(first)
    assert replace(one, right=None).sound(first)
    assert not replace(one, seconds=[]).sound(first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_networks_with_blocks_are_compared_within_a_round(dtype: torch.dtype) -> None:
    rows = measure(SMALL, ClipConfig(frames=2, test_crop=32), torch.device("cpu"), 3, dtype)
    assert [len(row.seconds) for row in rows.values()] == [3, 3, 1]  # NL is heavy here
    none, gc, nl = rows.values()
    assert (none.added, none.difference, none.inside) == (0, [], [0, 0, 0])
    for own, base, difference in zip(gc.seconds, none.seconds, gc.difference, strict=True):
        assert difference == own / base - 1
    assert 0 < gc.added < HEAVY < nl.added
    assert all(part > 0 for part in (*gc.inside, *nl.inside))


def test_the_interval_holds_the_median_and_shrinks() -> None:
    few, many = [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0] * 50
    low, high = interval(few)
    assert low < 1.5 < high
    assert interval(many)[1] - interval(many)[0] <= high - low
    row = NetworkRow(0.5, seconds=[1.0, 2.0], difference=[0.01, 0.01], inside=[0.02, 0.02])
    assert row.cells("gc") == [
        "gc", "2", "1500 ms", "50.00 %", "+1.00 % [+1.00, +1.00]", "2.00 %",
    ]  # fmt: skip
    assert NetworkRow(0, [1.0], [0.01], [0.02]).cells("gc")[4] == "+1.00 %"


def test_overheads_have_their_limits() -> None:
    rows = {
        "gc": NetworkRow(0.0, difference=[0.004, 0.9, 0.001]),
        "gc, all 13": NetworkRow(0.0, difference=[0.03]),
        "cc": NetworkRow(1.2, difference=[1.5]),
    }
    found = overheads(rows)
    assert [round(target.number, 3) for target in found] == [0.4, 3, 1.25]
    assert [target.met for target in found] == [True, False, True]
