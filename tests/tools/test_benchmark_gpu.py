"""The work of a day with a GPU: its order and limits, and a rehearsal on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.gpu import STEPS, all_lines
from benchmarks.gpu_steps import bandwidth, numerics, nvdec, suite
from benchmarks.gpu_steps.clips import moving
from benchmarks.gpu_steps.schedule import Outcome, Row, Step, run_steps, summary
from benchmarks.gpu_steps.wheels import missing, needed, read_there

from tests.tools.gpu_calls import broken, endless, killed, two
from video_gc.decode.write import write_video

TOOL = Path(__file__).parents[2] / "tools" / "benchmark.py"


def steps(**limits: tuple[Any, float]) -> list[Step]:
    return [
        Step(name, "a step", seconds, work, lambda rows: [f"{len(rows)} rows"])
        for name, (work, seconds) in limits.items()
    ]


def test_a_step_that_fails_hinders_no_other_and_findings_are_kept() -> None:
    kept: list[int] = []
    found = run_steps(
        steps(broken=(broken, 60), killed=(killed, 60), two=(two, 60)), "cpu", 600,
        lambda outcomes: kept.append(sum(len(o.rows) for o in outcomes.values())),
    )  # fmt: skip
    assert [(o.state, len(o.rows)) for o in found.values()] == [
        ("failed", 1), ("failed", 1), ("done", 2)
    ]  # fmt: skip
    assert found["broken"].why == "no cpu"
    assert "exit code 7" in found["killed"].why
    assert summary(found["two"]) == "2 findings, 1 wrong"
    assert kept == [1, 1, 2, 2, 3, 4, 4]  # after each finding, and after each step


@pytest.mark.slow
def test_a_step_that_takes_too_long_is_ended_and_the_last_are_left_out() -> None:
    found = run_steps(steps(endless=(endless, 60), two=(two, 60)), "cpu", 15, lambda _: None)
    assert (found["endless"].state, found["endless"].rows) == ("stopped", [{"what": "before"}])
    assert "were over" in found["endless"].why
    assert (found["two"].state, found["two"].rows) == ("left out", [])
    lines = "\n".join(all_lines(steps(endless=(endless, 60), two=(two, 60)), found))
    assert "| two | left out | 0 |" in lines
    assert "1 rows" in lines
    assert "0 rows" not in lines


def test_the_steps_fit_the_eight_minutes_when_each_takes_half_of_its_limit() -> None:
    assert list(STEPS) == ["facts", "tests", "numerics", "nvdec", "speed", "blocks"]
    assert sum(step.seconds for step in STEPS.values()) / 2 < 8 * 60


def test_an_error_beyond_its_bound_or_nan_is_wrong() -> None:
    right = [torch.ones(4), torch.ones(4)]
    assert numerics.judged([torch.ones(4) * 1.01, torch.ones(4)], right, (0.02, 0.02))["right"]
    for bad in (torch.ones(4) * 1.03, torch.tensor([1.0, 1, 1, torch.nan])):
        assert not numerics.judged([bad, torch.ones(4)], right, (0.02, 0.02))["right"]
        assert not numerics.judged([torch.ones(4), bad], right, (0.02, 0.02))["right"]


def test_a_block_with_another_formula_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, shape = torch.device("cpu"), (2, 32, 2, 3, 3)
    usual = numerics.passes

    def other(module: Any, x: torch.Tensor, *rest: Any) -> list[torch.Tensor]:
        return usual(module, x * (1 if x.dtype == torch.float64 else 1.001), *rest)

    assert all(r["right"] for r in numerics.findings("block", "gc", build_gc, shape, cpu))
    monkeypatch.setattr(numerics, "passes", other)
    found = {
        r["precision"]: r["right"] for r in numerics.findings("block", "gc", build_gc, shape, cpu)
    }
    assert found == {"fp32": False, "tf32": True, "bf16": True}


def build_gc() -> torch.nn.Module:
    return numerics.build_block("gc", 32)


def test_one_row_of_another_place_is_found(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", moving(4, 64, 96))
    with nvdec.open_video(path, "pyav") as reader:
        frames = reader.read(range(4))
    assert nvdec.compared(frames, path) == {"largest": 0.0, "frames": 0, "right": True}
    frames[2, :2] = frames[2, 20:22]
    assert nvdec.compared(frames, path)["frames"] == 1
    assert not nvdec.compared(frames[:, :-2], path)["right"]
    assert np.abs(np.diff(moving(1, 64, 96).astype(int), axis=1)).max() < 60  # no jumps of its own


def test_what_is_said_of_the_cache_of_hardware_decoders() -> None:
    pair = {"capacity": nvdec.KEPT, "kept": 1, "right": True}
    assert "is over" in nvdec.verdict([pair, pair])
    assert "still there" in nvdec.verdict([pair, pair | {"right": False}])
    assert "No hardware decoder" in nvdec.verdict([pair, pair | {"kept": 0}])
    assert "No hardware decoder" in nvdec.verdict([pair])
    files = [
        {"what": name, "fell_back": name == "FFV1", "right": True, "largest": 0.0}
        for name in nvdec.HARDWARE
    ]
    assert "1 of 4 files were left to the CPU" in nvdec.lines(files)[-1]


def test_a_kernel_is_due_when_the_better_way_is_far_from_the_limit() -> None:
    def rows(plain: float, compiled: float) -> list[Row]:
        return [
            {"what": bandwidth.POOL, "precision": precision, "way": way, "times_limit": times}
            for precision in bandwidth.TYPES
            for way, times in (("plain", plain), ("compile", compiled))
        ]

    assert "is not due" in bandwidth.verdict(rows(2.0, 1.2))
    assert "is due" in bandwidth.verdict(rows(2.0, 1.4))
    assert "no word" in bandwidth.verdict(rows(2.0, 1.4)[:2])


@pytest.mark.parametrize("may_skip", [True, False])
def test_skipped_tests_are_right_without_a_gpu_only(tmp_path: Path, may_skip: bool) -> None:
    cases = ('<testcase classname="a" name="one"/>'
             '<testcase classname="a" name="two"><skipped message="no GPU"/></testcase>'
             '<testcase classname="a" name="three"><failure message="assert 1 == 2"/></testcase>')  # fmt: skip
    (tmp_path / "report.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    found = list(suite.outcomes(tmp_path / "report.xml", may_skip=may_skip))
    assert [row["outcome"] for row in found] == ["passed", "skipped", "failure"]
    assert [row["right"] for row in found] == [True, may_skip, False]
    assert "| a::three | failure | assert 1 == 2 |" in suite.lines(found)


def test_wheels_for_a_machine_that_has_torch() -> None:
    asked = needed("3.12")
    assert {"av", "pytorchvideo", "fvcore", "iopath", "torchcodec", "pytest"} <= asked.keys()
    assert not {"torch", "torchvision", "triton"} & asked.keys()
    assert not any(name.startswith("nvidia") for name in asked)
    there = read_there("NumPy==1.20\npyarrow\n# a remark\nscipy==99.0\n")
    left = set(missing(asked, there))
    assert "numpy" in left  # too old
    assert not {"pyarrow", "scipy"} & left


@pytest.mark.slow
def test_the_rehearsal_on_the_cpu(tmp_path: Path) -> None:
    command = [sys.executable, TOOL, "gpu", "--device", "cpu", "--minutes", "15", "--out", tmp_path]
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert {name: step["state"] for name, step in found["steps"].items()} == dict.fromkeys(
        STEPS, "done"
    ), done.stderr
    rows = {name: step["rows"] for name, step in found["steps"].items()}
    assert not [row for step in rows.values() for row in step if "error" in row]
    assert {row["outcome"] for row in rows["tests"]} == {"skipped"}
    assert {row["name"] for row in rows["numerics"]} >= {*numerics.CASES, *numerics.REHEARSED}
    assert len(rows["nvdec"]) == 4 + 7
    assert all(row["largest"] < 1 for row in rows["nvdec"])
    assert all(0 < row["of_products"] < 2 for row in rows["speed"])
    assert any("waiting" in row for row in rows["speed"])
    assert {row["way"] for row in rows["blocks"]} == {"plain", "compile"}
    assert done.returncode == 0
    text = (tmp_path / "gpu.md").read_text("utf-8")
    assert "no figure of it says anything of a GPU" in text
    assert "| block gc |" in text


def test_outcomes_of_steps_that_have_not_begun_are_written_too() -> None:
    assert all_lines([], {"facts": Outcome()})[-1] == "| facts | waiting | 0 | 0 findings |"
