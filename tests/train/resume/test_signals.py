"""Signals end a training at a step that is saved; SLURM is asked to start it again."""

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import slow
from tests.train.resume.killing import at_call, options, run_forked, send
from video_gc.train import loop
from video_gc.train.resume.signals import requeue
from video_gc.train.step import Objective

STEPS = "checkpoint.every_steps=null"


def newest(run: Path) -> str:
    return (run / "checkpoints/last.ckpt").resolve().stem


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to which a false scontrol writes how it was called."""
    (tmp_path / "bin").mkdir()
    tool, calls = tmp_path / "bin" / "scontrol", tmp_path / "calls"
    tool.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1" = show ] && cat {tmp_path}/job\nexit 0\n'
    )
    tool.chmod(0o755)
    (tmp_path / "job").write_text("JobId=77 JobState=RUNNING Reason=None")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return calls


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, 143),
        slow(signal.SIGUSR1, 138),
        slow(signal.SIGINT, 130),
    ],
)
def test_the_step_is_finished_and_saved(
    number: int,
    status: int,
    seven_each: Path,
    tmp_path: Path,
    scontrol: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    # to the whole group, workers too, as a terminal and SLURM do
    grouped = lambda: os.killpg(0, number)  # noqa: E731
    patch = (Objective, "training_step", lambda plain: at_call(3, grouped, plain))
    given = options(seven_each, tmp_path, STEPS)
    assert run_forked(given, patch) == status
    assert newest(tmp_path / "run") == "step-00000003"
    said = capfd.readouterr().err
    assert "a training step in progress is finished and saved first" in said
    assert "Stopped; rerun the command to resume from step 3" in said
    assert "Traceback" not in said
    assert "Hydra" not in said
    requeued = scontrol.is_file() and "requeue 77" in scontrol.read_text()
    assert requeued == (number != signal.SIGINT)


@pytest.mark.slow
def test_a_signal_at_the_end_of_an_epoch_or_in_validation(seven_each: Path, tmp_path: Path) -> None:
    given = options(seven_each, tmp_path, STEPS)
    term = send(signal.SIGTERM)
    last = (Objective, "training_step", lambda plain: at_call(5, term, plain))
    assert run_forked(given, last) == 143
    assert newest(tmp_path / "run") == "step-00000005"
    count = (Objective, "training_step", lambda plain: at_call(1, pytest.fail, plain))
    val = (loop, "validation_step", lambda plain: at_call(1, term, plain))
    assert run_forked(given, count, val) == 143  # validated first: no step was computed
    assert newest(tmp_path / "run") == "step-00000005"


@pytest.mark.parametrize("first", [True, slow(False)])
def test_a_signal_before_the_first_step(
    first: bool,
    seven_each: Path,
    tmp_path: Path,
    scontrol: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It comes while the network is built, in a new run or a resumed one."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    given = options(seven_each, tmp_path, STEPS)
    term = send(signal.SIGTERM)
    step = (Objective, "training_step", lambda plain: at_call(3, term, plain))
    assert first or run_forked(given, step) == 143
    count = (Objective, "training_step", lambda plain: at_call(1, pytest.fail, plain))
    build = (loop, "build_network", lambda plain: at_call(1, term, plain))
    scontrol.unlink(missing_ok=True)
    assert run_forked(given, count, build) == 143
    assert "requeue 77" in scontrol.read_text()
    assert "SIGTERM: stops\n" in capfd.readouterr().err
    interrupt = (loop, "build_network", lambda plain: at_call(1, send(signal.SIGINT), plain))
    assert run_forked(given, count, interrupt) == 130


def test_a_second_ctrl_c_stops_at_once(seven_each: Path, tmp_path: Path) -> None:
    def twice() -> None:
        send(signal.SIGINT)()
        send(signal.SIGINT)()

    patch = (Objective, "training_step", lambda plain: at_call(3, twice, plain))
    given = options(seven_each, tmp_path, "checkpoint.every_steps=1")
    assert run_forked(given, patch) == 130
    assert newest(tmp_path / "run") == "step-00000002"


def test_requeue(scontrol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    assert not requeue(signal.SIGTERM)
    assert not scontrol.exists()
    monkeypatch.setenv("SLURM_JOB_ID", "81")
    assert not requeue(signal.SIGINT)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "80")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert requeue(signal.SIGUSR1)
    assert scontrol.read_text() == "requeue 80_3\n"
    (tmp_path / "job").write_text("JobId=80 JobState=CANCELLED")
    assert not requeue(signal.SIGTERM)  # scancel
    assert "show job 80_3" in scontrol.read_text()
    assert scontrol.read_text().count("requeue") == 1
    (tmp_path / "bin" / "scontrol").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert not requeue(signal.SIGUSR1)
