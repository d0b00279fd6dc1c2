"""Calls of other processes, which crash, hang and raise."""

import os
from contextlib import closing

import pytest

from tests.calls import (
    countdown,
    dies_with_a_word,
    gets_on,
    odd_error,
    sleeps_at_1,
    square,
)
from video_gc.data.prepare.jobs import cause_of
from video_gc.subprocess_call import (
    ALIVE,
    READY,
    RETURNED,
    ChildProcess,
    ProcessDied,
    ProcessStuck,
    _Worker,
    call_each,
    call_in_new_process,
    heartbeat,
)


def long(_job: int) -> float:
    return 60


def runs(pid: int) -> bool:
    """Whether a child of this process is there, and nobody has waited for it."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def test_results_items_and_errors_come_back() -> None:
    child = ChildProcess()
    assert child.call(60, square, 7) == 49
    assert child.call(60, countdown, 3) == [3, 2, 1]
    with pytest.raises(ZeroDivisionError, match="five"):
        child.call(60, square, 5)
    with pytest.raises(RuntimeError, match="OddError: 1 and 2"):
        child.call(60, odd_error)
    assert child.call(60, square, 2) == 4  # errors end no process
    child.end()
    assert not runs(child.pid)


def test_a_new_process_says_how_it_died() -> None:
    assert call_in_new_process(os.getpid) != call_in_new_process(os.getpid) != os.getpid()
    with pytest.raises(ProcessDied, match="SIGABRT: some library: no memory"):
        call_in_new_process(dies_with_a_word)
    with pytest.raises(ProcessStuck, match="nothing for 2 s"):
        call_in_new_process(sleeps_at_1, 1, limit=2)


def test_a_process_that_dies_costs_its_own_job_only() -> None:
    found = dict(call_each(square, range(9), workers=2, patience=long))
    assert {job: r for job, r in found.items() if not isinstance(r, Exception)} == {
        job: job * job for job in (0, 1, 2, 6, 7, 8)
    }
    causes = {job: cause_of(r) for job, r in found.items() if isinstance(r, Exception)}
    assert causes[3] == "decoder crashed (SIGKILL)"
    assert causes[4] == "decoder crashed (exit code 7)"
    assert causes[5] == "ZeroDivisionError: five"


def test_a_process_that_hangs_is_killed() -> None:
    # a limit for the job that hangs only: on a busy machine even a start takes seconds
    found = dict(
        call_each(sleeps_at_1, range(3), workers=1, patience=lambda job: 2 if job == 1 else 60)
    )
    assert cause_of(found.pop(1)) == "decoder stuck (nothing for 2 s)"
    assert found == {0: 0, 2: 2}


def test_a_process_that_gets_on_says_so_now_and_then() -> None:
    heartbeat()  # does nothing here
    child = ChildProcess()
    child.begin(60, gets_on)
    said = [child.answer(60) for _ in range(3)]
    child.end()
    assert said == [(READY, None), (ALIVE, None), (RETURNED, "done")]


def test_a_heartbeat_begins_the_wait_anew() -> None:
    worker = _Worker(ChildProcess(), 0)
    worker.begin(square, lambda _: 500)
    worker.heard -= 1000
    assert worker.child.connection.poll(60)
    assert worker.listen(True) is None  # it has begun
    assert worker.child.connection.poll(60)
    assert worker.listen(False) is None
    assert worker.listen(True) == (0,)
    worker.child.end()


def test_stopping_early_ends_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[ChildProcess] = []
    monkeypatch.setattr(
        "video_gc.subprocess_call.ChildProcess",
        lambda: started.append(ChildProcess()) or started[-1],
    )
    with closing(call_each(square, [0, 1, 2], workers=2, patience=long)) as jobs:
        next(jobs)
        assert any(runs(child.pid) for child in started)
    assert len(started) == 2
    assert not any(runs(child.pid) for child in started)


def test_no_jobs_and_no_workers() -> None:
    assert list(call_each(square, [], workers=3, patience=long)) == []
    with pytest.raises(ValueError, match="workers \\(0\\) must be at least 1"):
        next(call_each(square, [1], workers=0, patience=long))
