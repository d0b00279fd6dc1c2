"""Nobody waits for the dead: a process ends when another one is not heard of any more.

A collective waits for as long as its timeout allows, and cannot tell a slow disk from a machine
that is gone. So each process says in the shared store that it lives, and why it ends.

Proved necessary by tests: signs of life, by a process that is stopped (test_faults.py, silent);
counting silence, by a cable that is pulled (test_hosts.py), where not even the store answers; the
reason in the store, by an error that the others would report as a lost connection. A process that
is killed or fails breaks the connections of the others, and torchrun and srun end who still waits.
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


@dataclass(frozen=True)
class Failure:
    """Why the processes end."""

    rank: int
    text: str
    lost: bool = False
    """follows from the end of a process that could not say why"""


class Watch:
    """Signs of life of all processes; `fail` says why this one ends, `close` that it does."""

    def __init__(self, store: Store, rank: int, hosts: list[str]) -> None:
        self.store, self.rank, self.hosts = store, rank, hosts
        self._closed, self._silence = threading.Event(), 0.0
        self.store.set(f"beat/{rank}", "0")
        # the first asks for everybody and tells; the others ask for the first alone
        self._asked = list(range(1, len(hosts))) if rank == 0 else [0]
        for thread in (self._beat, self._count_silence):
            threading.Thread(target=thread, daemon=True, name="watch").start()

    def close(self) -> None:
        """End the threads."""
        self._closed.set()

    def fail(self, error: BaseException) -> Failure:
        """Tell the others why this process ends, and write torchrun's error file.

        Returns the first failure of all: perhaps another process's, that this one follows from.
        """
        lost = isinstance(error, RuntimeError) and LOST.search(str(error)) is not None
        first = own = Failure(self.rank, KILLED if lost else words_of(error), lost)
        if lost:  # the words of the one that left may come a moment later
            time.sleep(2 * INTERVAL)
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
        while not self._closed.wait(INTERVAL):
            count += 1
            try:
                store.set(f"beat/{self.rank}", str(count))
                keys = [f"beat/{other}" for other in self._asked]
                beats = store.multi_get(keys) if store.check(keys) else []
            except RuntimeError:  # says the same as no answer: see `_count_silence`
                continue
            self._silence = 0.0
            for other, beat in zip(self._asked, beats, strict=False):
                silent[other] = 0.0 if last.get(other) != beat else silent[other] + INTERVAL
                last[other] = beat
                if silent[other] > PATIENCE:
                    gone = Failure(other, f"not heard of for {PATIENCE:g} s")
                    self._leave(self.describe(self._publish(gone)))

    def _count_silence(self) -> None:
        """Count seconds without the store: a machine that is gone answers nothing, not even no.

        In steps, so that a process that was itself suspended does not count that time.
        """
        while not self._closed.wait(INTERVAL):
            self._silence += INTERVAL
            if self._silence > PATIENCE:
                host = self.hosts[0]
                self._leave(f"process 0 ({host}) cannot be reached since {PATIENCE:g} s")

    def _leave(self, text: str) -> None:
        """End this process from its thread, for the main one waits in a collective."""
        if self._closed.is_set():
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
