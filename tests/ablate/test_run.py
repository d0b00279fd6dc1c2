"""A job trains its cell once, says why it could not, and stops when it is told to."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ablate.stub import calls, job_of, order
from video_gc.ablate.cell import Cell
from video_gc.ablate.run import failure, run_job
from video_gc.ablate.status import cell_lock, has_results, read_status, state_of
from video_gc.locks import locked

TORCHRUN = """\
W1122 05:50:01.770000 7858 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 2
E1122 05:50:02.009000 7858 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: {}) local_rank: 0
Traceback (most recent call last):
train.py FAILED
  exitcode  : -15 (pid: 7956)  (SIGTERM)
============
"""


def test_a_cell_is_trained_and_tested_once(cells: list[Cell], tmp_path: Path) -> None:
    cell = cells[0]
    assert state_of(cell) == ("to do", None)
    assert run_job(job_of(tmp_path, cell)) == "finished"
    assert state_of(cell) == ("finished", None)
    assert run_job(job_of(tmp_path, cell)) == "finished"
    assert calls(tmp_path) == [f"train {cell.name}", f"test {cell.name}"]
    status = read_status(Path(cell.directory))
    assert status is not None
    assert status.status == "finished"
    assert status.seconds > 0
    assert status.command[-3:] == ["seed=0", f"name={cell.name}", f"runs={tmp_path}/runs/cells"]


@pytest.mark.slow
def test_a_run_that_was_trained_by_hand_counts(cells: list[Cell], tmp_path: Path) -> None:
    cell = cells[0]
    run_job(job_of(tmp_path, cell))
    for name in ("cell.json", "cell.log", ".cell.lock", "test/accuracy.json"):
        Path(cell.directory, name).unlink()
    (tmp_path / "calls").write_text("")
    assert state_of(cell)[0] == "stopped"
    assert run_job(job_of(tmp_path, cell)) == "finished"
    assert calls(tmp_path) == [f"test {cell.name}"]


def write_results(cell: Cell, **said: str) -> None:
    """What training and testing leave in the directory of a cell."""
    test = Path(cell.directory, "test")
    test.mkdir(parents=True)
    (test.parent / "config.yaml").write_text(json.dumps(cell.options))
    (test.parent / "finished.yaml").write_text("epochs: 1")
    about = {name: cell.options["test"][name] for name in ("clips", "crops", "fuse")}
    (test / "accuracy.json").write_text(json.dumps(about | {"subset": None} | said))


@pytest.mark.parametrize(("what", "value"), [("epochs", 99), ("seed", 0), ("test", {"clips": 9})])
def test_only_these_very_options_count(cells: list[Cell], what: str, value: object) -> None:
    cell = cells[0]
    write_results(cell)
    changed = value | {k: v for k, v in cell.options["test"].items() if k != "clips"} if isinstance(
        value, dict
    ) else value  # fmt: skip
    other = replace(cell, options=cell.options | {what: changed})
    assert has_results(other) == (what == "seed")  # which the name of the directory has


@pytest.mark.parametrize(
    ("options", "said", "counts"),
    [
        ({}, {"weights": "raw", "precision": "bf16", "checkpoint": "x/best.ckpt"}, True),
        ({}, {"weights": "ema"}, False),
        ({}, {"checkpoint": "x/last.ckpt"}, False),
        ({}, {"subset": "a subset of 9 of 12 videos"}, False),
        ({"ema": 0.9}, {"weights": "raw"}, False),
        ({"ema": 0.9}, {"weights": "ema"}, True),
        ({"precision": "fp32"}, {"precision": "bf16"}, False),
        ({"precision": "fp32"}, {"precision": "fp32"}, True),
        ({"precision": "fp32", "ema": 0.9}, {}, True),  # of a version that did not write it
    ],
)
def test_only_a_test_as_it_is_asked_counts(
    cells: list[Cell], options: dict[str, Any], said: dict[str, str], counts: bool
) -> None:
    test = cells[0].options["test"] | {"precision": options.get("precision", "auto")}
    changed = cells[0].options | {"test": test, "ema": options.get("ema")}
    cell = replace(cells[0], options=changed)
    write_results(cell, **said)
    assert has_results(cell) == counts


@pytest.mark.parametrize(
    ("what", "reason"),
    [("fail", "no such folder (data.root)"), ("kill", "train.py was ended by SIGKILL")],
)
def test_a_failed_cell_says_why_and_is_tried_again(
    cells: list[Cell], tmp_path: Path, what: str, reason: str
) -> None:
    cell = cells[0]
    order(tmp_path, cell, what)
    assert run_job(job_of(tmp_path, cell)) == "failed"
    state, said = state_of(cell)
    assert state == "failed"
    assert said is not None
    assert said.startswith(reason)
    assert calls(tmp_path) == [f"train {cell.name}"]  # no test without a training
    order(tmp_path, cell, "")
    assert run_job(job_of(tmp_path, cell)) == "finished"
    assert state_of(cell) == ("finished", None)


def test_a_cell_that_somebody_has_is_left_alone(cells: list[Cell], tmp_path: Path) -> None:
    directory = Path(cells[0].directory)
    program = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    directory.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory / ".cell.lock")], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert state_of(cells[0])[0] == "running"
        assert run_job(job_of(tmp_path, cells[0])) == "running elsewhere"
        holder.kill()
    assert run_job(job_of(tmp_path, cells[0])) == "finished"


def test_a_training_by_hand_is_left_alone(cells: list[Cell], tmp_path: Path) -> None:
    directory = Path(cells[0].directory)
    program = (
        "import sys, time; from video_gc.locks import locked; from pathlib import Path\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert run_job(job_of(tmp_path, cells[0])) == "running elsewhere"
        holder.kill()
    assert calls(tmp_path) == []


def test_two_processes_train_each_cell_once(cells: list[Cell], tmp_path: Path) -> None:
    for cell in cells:
        order(tmp_path, cell, "pause")
    both = [forked(lambda: {run_job(job_of(tmp_path, cell)) for cell in cells}) for _ in range(2)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in both] == [0, 0]
    assert sorted(calls(tmp_path)) == sorted(
        f"{what} {cell.name}" for cell in cells for what in ("train", "test")
    )
    assert all(state_of(cell)[0] == "finished" for cell in cells)


def forked(work: Callable[[], set[str]]) -> int:
    """Do it in a process of its own; its number. Ends with 42 where it was stopped."""
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    try:
        os._exit(0 if work() <= {"finished", "running elsewhere"} else 1)
    except KeyboardInterrupt:
        os._exit(42)
    except SystemExit as stop:
        os._exit(int(stop.code or 0))
    finally:
        os._exit(3)


def started(cell: Cell, folder: Path) -> int:
    """The process of a job whose training has begun and takes its time."""
    order(folder, cell, "slow")
    Path(cell.directory).mkdir(parents=True)
    pid = forked(lambda: {run_job(job_of(folder, cell))})
    wait_for(folder / "slow")
    return pid


def wait_for(file: Path) -> None:
    for _ in range(1200):  # a minute, on a busy machine
        if file.is_file():
            return
        time.sleep(0.05)
    raise AssertionError(f"{file} did not come")


def test_ctrl_c_lets_the_training_save(cells: list[Cell], tmp_path: Path) -> None:
    cell = cells[0]
    pid = started(cell, tmp_path)
    os.kill(pid, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
    assert Path(cell.directory, "saved").is_file()
    status = read_status(Path(cell.directory))
    assert status is not None
    assert status.reason == "stopped by SIGINT; rerun the command to resume"
    assert state_of(cell) == ("stopped", None)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process of its parent")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_job_that_is_killed_lets_the_training_save(
    cells: list[Cell], tmp_path: Path, number: int, status: int
) -> None:
    pid = started(cells[0], tmp_path)
    os.kill(pid, number)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    wait_for(Path(cells[0].directory, "saved"))
    assert state_of(cells[0]) == ("stopped", None)


def test_other_videos_are_not_taken_for_these(cells: list[Cell], tmp_path: Path) -> None:
    job = job_of(tmp_path, cells[0])
    (tmp_path / "videos").write_text("sizes:12")
    run_job(job)
    assert run_job(replace(job, fingerprints={"test": "sizes:12"})) == "finished"
    assert run_job(replace(job, fingerprints={"test": "sizes:13"})) == "failed"
    status = read_status(Path(cells[0].directory))
    assert status is not None
    assert "other test videos" in str(status.reason)
    assert "runs=OTHER" in str(status.reason)


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (2, "x\nerror: nowhere: no such folder\n", "nowhere: no such folder"),
        (1, "Traceback\nRuntimeError: boom", "train.py ended with exit status 1: RuntimeError: boom"),
        (-9, "error: old", "train.py was ended by SIGKILL (out of memory?)"),
        (137, "", "train.py was ended by SIGKILL (out of memory?)"),
        (3, "", "train.py ended with exit status 3"),
        (1, TORCHRUN.format(-9), "train.py was ended by SIGKILL (out of memory?)"),
        (1, "RuntimeError: boom\n" + TORCHRUN.format(1),
         "train.py ended with exit status 1: RuntimeError: boom"),
    ],
)  # fmt: skip
def test_reasons(status: int, said: str, reason: str) -> None:
    assert failure("train.py", status, said) == reason


def test_a_training_may_begin_beside_what_its_job_wrote(tmp_path: Path) -> None:
    from video_gc.train.resume.run_directory import last_checkpoint

    with cell_lock(tmp_path):
        (tmp_path / "cell.json").write_text("{}")
        (tmp_path / "cell.log").write_text("")
        with locked(tmp_path):
            assert last_checkpoint(tmp_path, {}, {}, resume=True) is None
    (tmp_path / "other").write_text("")
    with pytest.raises(FileExistsError, match="holds something other than a run"):
        last_checkpoint(tmp_path, {}, {}, resume=True)
