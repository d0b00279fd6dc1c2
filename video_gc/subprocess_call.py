"""Call functions in other processes, because they may crash, hang or need separate memory.

A library that loops with the interpreter's lock held stops every thread of its process, watchdogs
included: only another process can end it. Loader workers are daemonic and cannot have
multiprocessing's children, and concurrent.futures loses its whole pool when one process dies. So
this uses subprocess with multiprocessing's pipes. A process ends with its pipe, or its parent.
"""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Generic, TypeVar

from video_gc.cores import need_processes

CHILD = "import sys; from video_gc.subprocess_call import serve; serve(int(sys.argv[1]))"
READY, ALIVE, ITEM, ENDED, RETURNED, RAISED = range(6)  # kinds of answers
SPARE = 5.0
"""Seconds that a parent has to kill a late process before that process ends itself."""
Job = TypeVar("Job")
Result = TypeVar("Result")


class ProcessDied(RuntimeError):  # noqa: N818
    """The process ended before it answered. The text tells how: SIGKILL, exit code 7."""

    started = True
    """whether it received a call"""


class ProcessStuck(RuntimeError):  # noqa: N818
    """The process did not answer in time, and was killed."""


class ChildProcess:
    """A Python process that calls functions for this one, one at a time.

    Functions are sent by name, so they belong to a module; arguments and results are pickled.
    output: destination of its standard output and standard error; default: none.
    Raises OSError on Windows.
    """

    def __init__(self, output: IO[bytes] | int = subprocess.DEVNULL) -> None:
        need_processes("use Linux or macOS")
        self.connection, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", CHILD, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            )  # fmt: skip
        self.pid, self.alive, self._started = self._process.pid, True, False

    def call(self, limit: float | None, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of `function(*arguments)` there; for a generator, the list of its items.

        limit: seconds for each answer: an item, a heartbeat or the result.
        Raises the function's error; ProcessStuck or ProcessDied, after which the process is gone.
        """
        items = []
        try:
            self.begin(limit, function, *arguments)
            kind, value = self.answer(limit)
            while kind not in (ENDED, RETURNED, RAISED):
                if kind == ITEM:
                    items.append(value)
                kind, value = self.answer(limit)
        except BaseException:  # also Ctrl-C: an unread answer would go to the next call
            self.end()
            raise
        if kind == RAISED:
            raise value
        return items if kind == ENDED else value

    def begin(self, limit: float | None, function: Callable[..., Any], *arguments: Any) -> None:
        """Request `function(*arguments)`; `answer` returns the result. Raises ProcessDied."""
        try:
            self.connection.send((limit, function, arguments))
        except OSError:
            raise self._death() from None

    def answer(self, limit: float | None) -> tuple[int, Any]:
        """The next message: its kind and its value. Raises ProcessStuck, ProcessDied."""
        if not self.connection.poll(limit):
            self.end()
            raise ProcessStuck(f"nothing for {limit:.0f} s")
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            raise self._death() from None
        self._started = True
        return kind, value

    def end(self, linger: float = 0) -> None:
        """End the process: kill it unless it ends within `linger` seconds."""
        if not self.alive:
            return
        self.alive = False
        self.connection.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(linger)
        self._process.kill()
        self._process.wait()

    def disown(self) -> None:
        """Abandon a process that belongs to this process's parent."""
        self.alive = False
        self._process.returncode = 0  # its parent waits for it
        self.connection.close()

    def _death(self) -> ProcessDied:
        self.end(linger=1)
        code = self._process.returncode
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        with suppress(ValueError):
            how = signal.Signals(-code).name
        error = ProcessDied(how)
        error.started = self._started
        return error


def call_in_new_process(
    function: Callable[..., Result], *arguments: Any, limit: float | None = None, linger: float = 0
) -> Result:
    """`function(*arguments)` in a new process, whose memory nothing else has used.

    limit: seconds. linger: seconds that it has to end its own children.
    Raises the function's error; ProcessStuck; ProcessDied with the last line that it printed.
    """
    with tempfile.TemporaryFile() as output:
        child = ChildProcess(output)
        try:
            return child.call(limit, function, *arguments)
        except ProcessDied as error:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines()
            error.args = (": ".join([str(error), *lines[-1:]]),)
            raise
        finally:
            child.end(linger)


def call_each(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    *,
    workers: int,
    patience: Callable[[Job], float],
) -> Iterator[tuple[Job, Result | Exception]]:
    """Yield (job, function(job)) as they finish, in any order, from several processes.

    If the function raises, or its process dies or is stuck, the exception takes the place of the
    result; other jobs continue. A job is taken from `jobs` when it starts.
    patience: job → seconds without a heartbeat after which its process is killed.

    Raises ValueError for no workers, ProcessDied where processes cannot start. Ends every process
    when the caller stops early.
    """
    if workers < 1:
        raise ValueError(f"workers ({workers}) must be at least 1")
    waiting = iter(jobs)
    crew: list[_Worker[Job]] = []
    try:
        for job in islice(waiting, workers):
            crew.append(_Worker(ChildProcess(), job))
            crew[-1].begin(function, patience)
        while crew:
            ready = wait([worker.child.connection for worker in crew], timeout=0.5)
            for worker in list(crew):
                found = worker.listen(worker.child.connection in ready)
                if found is None:
                    continue
                yield worker.job, found[0]
                for worker.job in islice(waiting, 1):
                    worker.begin(function, patience)
                    break
                else:
                    crew.remove(worker)
                    worker.child.end()
    finally:
        for worker in crew:
            worker.child.end()


@dataclass
class _Worker(Generic[Job]):
    """A process and its current job."""

    child: ChildProcess
    job: Job
    limit: float = 0
    heard: float = 0

    def begin(self, function: Callable[[Job], Any], patience: Callable[[Job], float]) -> None:
        self.limit, self.heard = patience(self.job), time.monotonic()
        try:
            self.child.begin(self.limit, function, self.job)
        except ProcessDied:  # perhaps of the last job
            self.child = ChildProcess()
            self.child.begin(self.limit, function, self.job)

    def listen(self, ready: bool) -> tuple[Any] | None:
        """The result or its exception; None while there is neither."""
        if not ready and time.monotonic() - self.heard <= self.limit:
            return None
        try:
            kind, value = self.child.answer(0)
        except ProcessStuck:
            return (ProcessStuck(f"nothing for {self.limit:.0f} s"),)
        except ProcessDied as error:
            if not error.started:
                raise
            return (error,)
        self.heard = time.monotonic()
        return (value,) if kind in (RETURNED, RAISED) else None


def heartbeat() -> None:
    """Send a heartbeat for the function that this process runs, if for a call; call it often."""
    if _caller is not None and time.monotonic() - _caller.said > 1:
        _caller.send(ALIVE)


class _Caller:
    """The calling process, seen from the called one."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.said = connection, 0.0
        self._limit: float | None = None

    def begun(self, limit: float | None) -> None:
        """A call starts; the caller waits that long for each answer."""
        self._limit, self.said = limit, time.monotonic()
        self._end_late(limit)

    def send(self, kind: int, value: object = None) -> None:
        self._end_late(None)  # the caller may read late; a dead one has closed the pipe
        self.connection.send((kind, value))
        self.said = time.monotonic()
        self._end_late(self._limit if kind in (ALIVE, ITEM) else None)

    def _end_late(self, limit: float | None) -> None:
        """Set the time to die, whatever Python does: a dead parent could not end this process."""
        signal.setitimer(signal.ITIMER_REAL, 0 if limit is None else limit + SPARE)


_caller: _Caller | None = None


def serve(pipe: int) -> None:
    """Run a called process: receive functions and send results until the pipe closes."""
    global _caller
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    caller = _caller = _Caller(Connection(pipe))
    with suppress(BrokenPipeError):
        caller.send(READY)
        while True:
            try:
                limit, function, arguments = caller.connection.recv()
            except (EOFError, OSError):
                return
            except Exception as error:  # the function cannot be imported
                caller.send(RAISED, _portable(error))
                continue
            caller.begun(limit)
            _answer(caller, function, arguments)


def _answer(caller: _Caller, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        result = function(*arguments)
        if not isinstance(result, Iterator):
            return caller.send(RETURNED, result)
        for item in result:
            caller.send(ITEM, item)
        caller.send(ENDED)
    except Exception as error:
        caller.send(RAISED, _portable(error))


def _portable(error: Exception) -> Exception:
    """The error, or its text if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
