"""The work of a day with a GPU: its order and limits, and a rehearsal on the CPU."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.gpu import STEPS, all_lines, run
from benchmarks.gpu_steps import bandwidth, numerics, nvdec, speed, suite
from benchmarks.gpu_steps.clips import SHORT, TALL, moving
from benchmarks.gpu_steps.schedule import Outcome, Row, Step, described, run_steps, summary
from benchmarks.gpu_steps.wheels import missing, needed, read_there

from tests.tools.gpu_calls import broken, endless, endless_tests, killed, local, two
from video_gc.data.batches.batch import Batch
from video_gc.data.dataset import VideoProblem
from video_gc.decode.write import write_video
from video_gc.subprocess_call import ChildProcess

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


def test_findings_are_json_and_tell_nothing_of_folders() -> None:
    found = run_steps(steps(local=(local, 60)), "cpu", 600, lambda _: None)
    (step,) = json.loads(json.dumps(described(found), allow_nan=False)).values()
    assert step["rows"][0]["errors"] == ["nan", 1.0]
    assert step["rows"][0]["left"] < 60
    assert step["rows"][1] == {
        "what": "clip.mp4: 1/2 of y is no", "why": "see https://a.b/c/d"
    }  # fmt: skip
    assert step["why"] == "thing.so: cannot open"


def test_an_error_beyond_its_bound_or_nan_is_wrong() -> None:
    right = [torch.ones(4), torch.ones(4)]
    assert numerics.judged([torch.ones(4) * 1.01, torch.ones(4)], right, (0.02, 0.02))["right"]
    for bad in (torch.ones(4) * 1.03, torch.tensor([1.0, 1, 1, torch.nan])):
        assert not numerics.judged([bad, torch.ones(4)], right, (0.02, 0.02))["right"]
        assert not numerics.judged([torch.ones(4), bad], right, (0.02, 0.02))["right"]
    found = [torch.ones(4), torch.ones(4), torch.tensor([1.0, torch.nan])]  # not the first gradient
    row = numerics.judged(found, [*right, torch.ones(2)], (0.02, 0.02))
    assert not row["right"]
    assert "nan" in numerics.lines([row | {"what": "", "name": "", "precision": "fp32"}])[-1]


def test_gradients_of_zeros_or_of_the_wrong_sign_are_wrong_within_any_bound() -> None:
    right = [torch.randn(20) for _ in range(4)]
    for factor, fine in ((0.5, True), (0.0, False), (-1.0, False)):
        found = [right[0], *(factor * gradient for gradient in right[1:])]
        assert numerics.judged(found, right, (1e-3, 3.0))["right"] is fine


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
    shift = TALL - SHORT  # as by a decoder that crops for the other file
    frames[1, :-shift] = frames[1, shift:]
    frames[3, shift:] = frames[3, :-shift]
    assert nvdec.compared(frames, path)["frames"] == 3
    assert not nvdec.compared(frames[:, :-2], path)["right"]
    assert np.abs(np.diff(moving(1, 64, 96).astype(int), axis=1)).max() < 60  # no jumps of its own


@pytest.mark.parametrize(
    ("capacity", "keeps", "takes", "expected"),
    [
        (20, True, True, (1, 1, True)),
        (20, True, False, (1, 0, True)),
        (0, False, True, (0, 0, True)),
        (0, True, True, (1, 1, False)),  # it does not heed its capacity
    ],
)
def test_a_decoder_was_taken_if_one_less_is_kept_while_the_second_file_is_open(
    capacity: int, keeps: bool, takes: bool, expected: tuple[int, int, bool], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = write_video(tmp_path / "clip.mp4", moving(4, 64, 96))
    with nvdec.open_video(path, "pyav") as reader:
        frames = torch.from_numpy(reader.read(range(4)))
    kept = 0

    class Decoder:
        def __init__(self, *_: object, **__: object) -> None:
            nonlocal kept
            kept -= takes and kept > 0

        def __getitem__(self, _: object) -> torch.Tensor:
            return frames

        def __del__(self) -> None:
            nonlocal kept
            kept += keeps

    fake: Any = ModuleType("torchcodec.decoders")
    fake.VideoDecoder, fake.set_nvdec_cache_capacity = Decoder, lambda _: None
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", fake)
    monkeypatch.setattr(nvdec, "hardware_decoders_kept", lambda _: kept)
    found = nvdec.second_file(path, path, "cuda", capacity)
    assert (found["kept"], found["taken"], found["right"]) == expected


def test_what_is_said_of_the_cache_of_hardware_decoders() -> None:
    pair = {"capacity": nvdec.KEPT, "kept": 1, "taken": 1, "right": True}
    assert "is over" in nvdec.verdict([pair, pair])
    assert "still there" in nvdec.verdict([pair, pair | {"right": False}])
    assert "No hardware decoder" in nvdec.verdict([pair, pair | {"taken": 0}])
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
            for precision in bandwidth.DTYPES
            for way, times in (("plain", plain), ("compile", compiled))
        ]

    assert "once is not due" in bandwidth.verdict(rows(2.0, 1.2))
    assert "1 is the second reading, 0.25 or more the rest" in bandwidth.verdict(rows(2.4, 2.25))
    assert "once is due" in bandwidth.verdict(rows(2.0, 1.4))
    assert "no word" in bandwidth.verdict(rows(2.0, 1.4)[:2])


def test_fp32_of_the_blocks_is_not_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = []

    def work(*_: object) -> Any:
        return lambda _: allowed.append(torch.backends.cudnn.allow_tf32)

    monkeypatch.setattr(bandwidth, "work", work)
    with speed.tf32(True):
        assert not [row for row in bandwidth.measure("cpu", 0) if "error" in row]
    assert allowed
    assert not any(allowed)


def batches(count: int, clips: torch.Tensor | None = None) -> Any:
    """With a problem each, and with two clips or none."""
    number = torch.zeros(2, dtype=torch.long)
    problems = [VideoProblem("clip.mp4", "damaged", "no key frame", 0)]
    return iter([Batch(clips, number, number, number > 0, number, number, problems)] * count)


class NoTrainer:
    """Counts its steps."""

    device, steps = torch.device("cpu"), 0

    def step(self, clips: torch.Tensor, labels: torch.Tensor) -> None:
        self.steps += 1


def test_slow_steps_before_the_measured_ones_end_at_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips, trainer = torch.zeros(2, 2, 4, 4, 3, dtype=torch.uint8), NoTrainer()
    found = speed.timed_steps(trainer, batches(9, clips), 4)
    assert (found["steps"], found["problems"], trainer.steps) == (5, 9, 9)
    assert found["first_problem"] == "no key frame"
    monkeypatch.setattr(speed, "MOST", -1.0)  # every step is late
    assert speed.timed_steps(trainer, batches(9, clips), 4)["steps"] == 1


def test_without_a_video_that_can_be_read_the_reason_is_told() -> None:
    with pytest.raises(RuntimeError, match="no training step was made: no key frame"):
        speed.timed_steps(NoTrainer(), batches(3), 1)


def test_processes_are_lines_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    said = ["12\n[Not Found]\n", ""]
    monkeypatch.setattr(subprocess, "check_output", lambda *_, **__: said.pop(0))
    cuda = torch.device("cuda")
    assert speed.processes_on(cuda) == {"12", "[Not Found]"}
    assert speed.processes_on(cuda) is None  # not even this one: the driver does not tell


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


STUB = """
import os, sys, time
from pathlib import Path
report, test = sys.argv[1].partition("=")[2], Path(sys.argv[2]).stem
if test == "test_hangs":
    time.sleep(1000)
if test == "test_crashes":
    os._exit(3)
Path(report).write_text(f'<testsuite><testcase classname="{test}" name="one"/></testsuite>')
sys.exit(5 if test == "test_ends_badly" else 0)
"""
"""In place of pytest."""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stub and without tests."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr(suite, "PYTEST", (sys.executable, "-S", tmp_path / "stub.py"))
    return tmp_path


def add_tests(clone: Path, *names: str) -> None:
    for name in names:
        (clone / "tests" / f"test_{name}.py").write_text(f"@{suite.MARK}\n")


def test_a_file_of_tests_that_crashes_or_ends_badly_loses_no_other(clone: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no test is marked gpu"):
        list(suite.measure("cuda", time.monotonic() + 600))
    add_tests(clone, "crashes", "ends_badly", "works")
    rows = list(suite.measure("cuda", time.monotonic() + 600))
    assert [(row["test"], row["outcome"], row.get("why")) for row in rows] == [
        ("tests/test_crashes.py", "error", "pytest ended with code 3"),
        ("test_ends_badly::one", "passed", None),
        ("tests/test_ends_badly.py", "error", "pytest ended with code 5"),
        ("test_works::one", "passed", None),
    ]
    assert [row["right"] for row in rows] == [False, True, False, True]
    assert "| tests/test_crashes.py | error | pytest ended with code 3 |" in suite.lines(rows)


def test_tests_that_hang_end_before_the_step(clone: Path) -> None:
    add_tests(clone, "hangs")
    (row,) = suite.measure("cuda", time.monotonic() + suite.SPARE)
    assert (row["right"], row["why"]) == (False, "pytest did not end in 0 s")


@pytest.mark.slow
def test_tests_end_when_nobody_listens_to_their_step(clone: Path) -> None:
    add_tests(clone, "hangs")
    child, pid = ChildProcess(), clone / "pid"
    child.begin(None, endless_tests, str(clone))
    while not (pid.is_file() and pid.read_text().endswith(".")):
        time.sleep(0.1)
    child.end(linger=60)  # as after Ctrl-C, with more patience
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()[:-1]), 0)


def test_wheels_for_a_machine_that_has_torch() -> None:
    asked = needed("3.12")
    assert {"av", "pytorchvideo", "fvcore", "iopath", "torchcodec", "pytest"} <= asked.keys()
    assert not {"torch", "torchvision", "triton"} & asked.keys()
    assert not any(name.startswith("nvidia") for name in asked)
    there = read_there("NumPy==1.20\npytest==8.0\npyarrow\n# a remark\nscipy==99.0\n")
    left = set(missing(asked, there))
    assert {"numpy", "pytest"} <= left  # too old
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_rehearsal_is_named() -> None:
    with pytest.raises(ValueError, match="0 GPUs; --device cpu rehearses the steps"):
        run(argparse.Namespace(device="cuda"))


def test_outcomes_of_steps_that_have_not_begun_are_written_too() -> None:
    assert all_lines([], {"facts": Outcome()})[-1] == "| facts | waiting | 0 | 0 findings |"
