"""Nobody waits for the dead: a process ends when another one failed, or is not heard of any more.

A collective waits for as long as its timeout allows, and cannot tell a slow disk from a machine
that is gone. So each process says in the shared store that it lives, and why it ends.
"""

import json
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from torch.distributed import Store

from video_gc.progress import console, say

INTERVAL = 1.0
"""Seconds from one sign of life to the next."""
PATIENCE = 30.0
"""Seconds of silence after which a process counts as dead."""
LOST = re.compile("connection|timed out|peer|remote", re.IGNORECASE)
"""In what gloo and NCCL say when another process is gone."""
KILLED = "the connection to another process broke; torchrun or srun says which one was killed"
GRACE = 20.0
"""Seconds for a process to end by itself, after it or another one said that it stops."""


@dataclass(frozen=True)
class Failure:
    """Why the processes end."""

    rank: int
    text: str
    stopped: bool = False
    """asked to, by Ctrl-C or a signal: the others may be on their way out, too"""
    lost: bool = False
    """follows from the end of a process that could not say why"""


class Watch:
    """Signs of life of all processes; `fail` says why this one ends, `close` that all is well."""

    def __init__(
        self,
        store: Store,
        rank: int,
        hosts: list[str],
        *,
        interval: float = INTERVAL,
        patience: float = PATIENCE,
    ) -> None:
        self.store, self.rank, self.hosts = store, rank, hosts
        self.interval, self.patience = interval, patience
        self._closed, self._leaving = threading.Event(), threading.Lock()
        self._silence, self._left = 0.0, float("inf")
        self.store.set(f"beat/{rank}", "0")
        # the first asks for everybody and tells; the others ask for the first alone
        self._others = [other for other in range(len(hosts)) if other != rank]
        self._asked = self._others if rank == 0 else [0]
        for thread in (self._beat, self._guard):
            threading.Thread(target=thread, daemon=True, name="ranks").start()

    def close(self) -> None:
        """End the threads."""
        self._closed.set()

    def fail(self, error: BaseException) -> Failure:
        """Tell the others why this process ends, and write torchrun's error file.

        Returns the first failure of all: perhaps another process's, that this one follows from.
        This process has seconds to end, whatever a collective or a GPU still waits for.
        """
        stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
        lost = isinstance(error, RuntimeError) and LOST.search(str(error)) is not None
        text = KILLED if lost else words_of(error)
        first = own = Failure(self.rank, text, stopped, lost)
        self._left = GRACE
        if lost:  # the words of the one that left may come a moment later
            time.sleep(2 * self.interval)
        with suppress(RuntimeError):  # the store may be gone with its machine
            first = self._publish(own)
        _write_error_file(self.describe(first))
        return first

    def describe(self, failure: Failure) -> str:
        """Who failed, where, and of what."""
        where = f"process {failure.rank} of {len(self.hosts)} ({self.hosts[failure.rank]})"
        return f"{where}: {failure.text}"

    def _publish(self, own: Failure) -> Failure:
        """The first failure that was told: this one, or another process's."""
        first = self.store.compare_set("failure", "", json.dumps(asdict(own)))
        return Failure(**json.loads(first))

    def _beat(self) -> None:
        store = self.store.clone()  # a client of its own: others may wait long for an answer
        count, silent = 0, dict.fromkeys(self._asked, 0.0)
        last: dict[int, bytes] = {}
        while not self._closed.wait(self.interval):
            count += 1
            try:
                store.set(f"beat/{self.rank}", str(count))
                if store.check(["failure"]):
                    self._follow(Failure(**json.loads(store.get("failure"))))
                keys = [f"beat/{other}" for other in self._asked]
                beats = store.multi_get(keys) if store.check(keys) else []
            except RuntimeError:  # says the same as no answer: see `_guard`
                continue
            self._silence = 0.0
            for other, beat in zip(self._asked, beats, strict=False):
                silent[other] = 0.0 if last.get(other) != beat else silent[other] + self.interval
                last[other] = beat
                if silent[other] > self.patience:
                    gone = Failure(other, f"not heard of for {self.patience:g} s")
                    self._publish(gone)
                    self._leave(self.describe(gone))

    def _follow(self, failure: Failure) -> None:
        if failure.rank == self.rank:
            return
        if failure.stopped:
            self._left = min(self._left, GRACE)
        else:
            self._leave(self.describe(failure))

    def _guard(self) -> None:
        """Count seconds without the store: a machine that is gone answers nothing, not even no.

        In steps, so that a process that was itself suspended does not count that time.
        """
        while not self._closed.wait(self.interval):
            self._silence += self.interval
            self._left -= self.interval
            if self._left < 0:
                os._exit(1)
            if self._silence > self.patience:
                host = self.hosts[0]
                self._leave(f"process 0 ({host}) cannot be reached since {self.patience:g} s")

    def _leave(self, text: str) -> None:
        """End this process from its thread, for the main one may wait in a collective."""
        on_its_way = self._left <= GRACE
        if on_its_way or self._closed.is_set() or not self._leaving.acquire(blocking=False):
            return
        console.quiet = False
        say(f"process {self.rank} ends: {text}", style="red")
        _write_error_file(text)
        os._exit(1)


def words_of(error: BaseException) -> str:
    """What a failure says of an error."""
    return f"{type(error).__name__}: {error}"


def _write_error_file(text: str) -> None:
    """What torchrun repeats at its end; the tracebacks that its own handler keeps are long."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        about = {"py_callstack": text, "timestamp": str(int(time.time()))}
        message = {"message": {"message": text, "extraInfo": about}}
        with suppress(OSError):
            Path(file).write_text(json.dumps(message), encoding="utf-8")
