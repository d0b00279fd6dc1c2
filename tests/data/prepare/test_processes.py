"""Many jobs in processes that crash, hang and raise."""

import multiprocessing
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.data.prepare.crashing import gets_on, never_ends, square
from video_gc.data.prepare.processes import (
    ALIVE,
    DONE,
    READY,
    Lost,
    Worker,
    _dismiss,
    _hire,
    _listen,
    patience,
    run_jobs,
)


def long(_job: int) -> float:
    return 60


def test_a_process_that_dies_costs_its_own_job_only() -> None:
    found = dict(run_jobs(square, range(9), workers=2, patience=long))
    assert {job: r for job, r in found.items() if not isinstance(r, Lost)} == {
        job: job * job for job in (0, 1, 2, 6, 7, 8)
    }
    assert found[3] == Lost("decoder crashed (SIGKILL)")
    assert found[4] == Lost("decoder crashed (exit code 7)")
    assert found[5] == Lost("ZeroDivisionError: five")
    assert not multiprocessing.active_children()


def test_a_process_that_hangs_is_killed() -> None:
    # a limit for the job that hangs only: on a busy machine even a start takes seconds
    found = dict(
        run_jobs(never_ends, range(3), workers=1, patience=lambda job: 2 if job == 1 else 60)
    )
    assert found == {0: 0, 1: Lost("decoder stuck (nothing for 2 s)"), 2: 2}


def test_a_beat_begins_the_wait_anew() -> None:
    ours, theirs = multiprocessing.Pipe()
    long_ago = time.monotonic() - 1000
    worker = Worker(multiprocessing.Process(), ours, job=0, heard=long_ago)
    theirs.send((ALIVE, None))
    assert _listen(worker, True, lambda _: 500) is None
    assert worker.heard > long_ago + 900
    assert _listen(worker, False, lambda _: 500) is None


def test_a_process_that_gets_on_says_so_now_and_then() -> None:
    worker = _hire(gets_on, 0)
    said = []
    while not said or said[-1][0] != DONE:
        assert worker.connection.poll(60)
        said.append(worker.connection.recv())
    _dismiss(worker)
    assert said == [(READY, None), (ALIVE, None), (ALIVE, None), (DONE, "done")]


def test_stopping_early_ends_every_process() -> None:
    with closing(run_jobs(square, [0, 1, 2], workers=2, patience=long)) as jobs:
        next(jobs)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


def test_patience_grows_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.avi").write_bytes(bytes(1_000_000))
    assert patience(tmp_path / "a.avi", 60) == 122
    assert patience(tmp_path / "gone.avi", 60) == 120


def test_no_jobs_and_no_workers() -> None:
    assert list(run_jobs(square, [], workers=3, patience=long)) == []
    with pytest.raises(ValueError, match="workers \\(0\\) must be at least 1"):
        next(run_jobs(square, [1], workers=0, patience=long))
