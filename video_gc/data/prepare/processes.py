"""One function over many files in several processes, of which any may crash or hang.

concurrent.futures gives up the whole pool when one process dies, and cannot say which file killed
it. Here each process has a pipe and one job at a time, so that a loss is one file.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Beat = Callable[[], None]
"""What a job calls now and then to say that it still gets on."""

SLOWEST = 500_000
"""Bytes of a video that are decoded in a second at least."""
READY, ALIVE, DONE = "ready", "alive", "done"


@dataclass(frozen=True)
class Lost:
    """A job without a result."""

    cause: str


@dataclass
class Worker(Generic[Job]):
    """A process, the other end of its pipe, and what it is busy with."""

    process: Any
    connection: Connection
    job: Job
    heard: float = field(default_factory=time.monotonic)
    started: bool = False


def run_jobs(
    work: Callable[[Job, Beat], Result],
    jobs: Iterable[Job],
    *,
    workers: int,
    patience: Callable[[Job], float],
) -> Iterator[tuple[Job, Result | Lost]]:
    """Yield (job, work(job, beat)) as they finish, in any order.

    work: a function of a module, as processes are spawned; it calls beat() now and then.
    patience: job → seconds without a beat after which its process is killed.
    A job whose process crashes, hangs or raises yields Lost with the cause; the others go on.

    Raises ValueError for no workers, RuntimeError where processes cannot start. Ends every process
    when the caller stops early.
    """
    if workers < 1:
        raise ValueError(f"workers ({workers}) must be at least 1")
    waiting = iter(jobs)
    crew: list[Worker[Job]] = []
    try:
        for job in waiting:
            crew.append(_hire(work, job))
            if len(crew) == workers:
                break
        while crew:
            ready = wait([worker.connection for worker in crew], timeout=0.5)
            for worker in list(crew):
                answer = _listen(worker, worker.connection in ready, patience)
                if answer is None:
                    continue
                yield worker.job, answer
                crew.remove(worker)
                following = next(waiting, _NO_MORE)
                if following is not _NO_MORE and _goes_on(worker, following):
                    crew.append(worker)
                    continue
                _dismiss(worker)
                if following is not _NO_MORE:
                    crew.append(_hire(work, following))
    finally:
        for worker in crew:
            _dismiss(worker)


def patience(file: Path, time_limit: float) -> float:
    """Seconds that a process may take for `file` without a beat.

    A decoder has a time limit of its own for a frame; this is for one that cannot keep it. It grows
    with the file, as opening an AVI file may mean decoding it.
    """
    try:
        return 2 * time_limit + file.stat().st_size / SLOWEST
    except OSError:
        return 2 * time_limit


_NO_MORE: Any = object()


def _hire(work: Callable[[Job, Beat], Any], job: Job) -> Worker[Job]:
    # not forked: the progress bar is a thread, and a lock that it holds would be copied as held
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
    process.start()
    theirs.close()
    ours.send(job)
    return Worker(process, ours, job)


def _goes_on(worker: Worker[Job], job: Job) -> bool:
    """Give the next job to a process; False where it has died, perhaps just now."""
    if not worker.process.is_alive():
        return False
    worker.job, worker.heard = job, time.monotonic()
    try:
        worker.connection.send(job)
    except OSError:
        return False
    return True


def _dismiss(worker: Worker[Any]) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()


def _listen(worker: Worker[Any], ready: bool, patience: Callable[[Any], float]) -> Any:
    """The job's result, or Lost; None while there is neither."""
    if ready:
        try:
            kind, result = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            code = worker.process.exitcode
            if not worker.started:
                raise RuntimeError(f"a worker process could not start (exit code {code})") from None
            return Lost(f"decoder crashed ({_exit_name(code)})")
        worker.heard, worker.started = time.monotonic(), True
        return result if kind == DONE else None
    silence = time.monotonic() - worker.heard
    if silence > 1 and silence > (limit := patience(worker.job)):
        worker.process.kill()
        worker.process.join()
        return Lost(f"decoder stuck (nothing for {limit:.0f} s)")
    return None


def _exit_name(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _serve(work: Callable[[Any, Beat], Any], connection: Connection) -> None:
    """The life of a process: jobs come, results go, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    said = 0.0

    def beat() -> None:
        nonlocal said
        if time.monotonic() - said > 1:
            connection.send((ALIVE, None))
            said = time.monotonic()

    with suppress(EOFError, OSError):
        connection.send((READY, None))
        while True:
            job = connection.recv()
            try:
                result = work(job, beat)
            except Exception as error:  # one odd file must not end a run over thousands
                result = Lost(f"{type(error).__name__}: {error}")
            connection.send((DONE, result))
