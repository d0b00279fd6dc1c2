"""End a process when another one has been silent for too long.

A collective waits until its timeout and cannot tell a slow disk from a lost machine. So each
process writes a heartbeat into the shared store, and its reason when it ends.

Tests prove each part necessary: heartbeats, with a stopped process (test_faults.py, silent);
counting silence, with a cut network (test_hosts.py), when not even the store answers; the reason,
with an error that the others would report as a lost connection. A process that fails or is killed
breaks the connections of the others; torchrun and srun end those that still wait.
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
"""Seconds between two heartbeats."""
PATIENCE = 30.0
"""Seconds of silence after which a process counts as dead."""
LOST = re.compile("connection|timed out|peer|remote", re.IGNORECASE)
"""Words in the errors of gloo and NCCL when another process is gone."""
KILLED = "the connection to another process broke; torchrun or srun says which one was killed"


@dataclass(frozen=True)
class Failure:
    """Why the processes end."""

    rank: int
    text: str
    lost: bool = False
    """caused by the end of another process, which gave no reason"""


class Watch:
    """Heartbeats of all processes; `fail` tells why this one ends, `close` that it ends."""

    def __init__(self, store: Store, rank: int, hosts: list[str]) -> None:
        self.store, self.rank, self.hosts = store, rank, hosts
        self._closed, self._silence = threading.Event(), 0.0
        self.store.set(f"beat/{rank}", "0")
        # the first watches all and reports; the others watch only the first
        self._asked = list(range(1, len(hosts))) if rank == 0 else [0]
        for thread in (self._beat, self._count_silence):
            threading.Thread(target=thread, daemon=True, name="watch").start()

    def close(self) -> None:
        """End the threads."""
        self._closed.set()

    def fail(self, error: BaseException) -> Failure:
        """Tell the others why this process ends, and write torchrun's error file.

        Returns the first failure of all, perhaps another process's that caused this one.
        """
        lost = isinstance(error, RuntimeError) and LOST.search(str(error)) is not None
        first = own = Failure(self.rank, KILLED if lost else words_of(error), lost)
        if lost:  # the reason of the process that left may come a moment later
            time.sleep(2 * INTERVAL)
        with suppress(RuntimeError):  # the store may be gone with its machine
            first = self._publish(own)
        _write_error_file(self.describe(first))
        return first

    def describe(self, failure: Failure) -> str:
        """The process that failed, its machine and the reason."""
        where = f"process {failure.rank} of {len(self.hosts)} ({self.hosts[failure.rank]})"
        return f"{where}: {failure.text}"

    def _publish(self, own: Failure) -> Failure:
        """The first reported failure: this one, or another process's."""
        first = self.store.compare_set("failure", "", json.dumps(asdict(own)))
        return Failure(**json.loads(first))

    def _beat(self) -> None:
        store = self.store.clone()  # a separate client: others may wait long for an answer
        count, silent = 0, dict.fromkeys(self._asked, 0.0)
        last: dict[int, bytes] = {}
        while not self._closed.wait(INTERVAL):
            count += 1
            try:
                store.set(f"beat/{self.rank}", str(count))
                keys = [f"beat/{other}" for other in self._asked]
                beats = store.multi_get(keys) if store.check(keys) else []
            except RuntimeError:  # the same as no answer: see `_count_silence`
                continue
            self._silence = 0.0
            for other, beat in zip(self._asked, beats, strict=False):
                silent[other] = 0.0 if last.get(other) != beat else silent[other] + INTERVAL
                last[other] = beat
                if silent[other] > PATIENCE:
                    gone = Failure(other, f"not heard from for {PATIENCE:g} s")
                    self._leave(self.describe(self._publish(gone)))

    def _count_silence(self) -> None:
        """Count the seconds without an answer of the store; a lost machine sends not even an error.

        It counts in steps, so that a process that was suspended does not count that time.
        """
        while not self._closed.wait(INTERVAL):
            self._silence += INTERVAL
            if self._silence > PATIENCE:
                host = self.hosts[0]
                self._leave(f"process 0 ({host}) could not be reached for {PATIENCE:g} s")

    def _leave(self, text: str) -> None:
        """End this process from this thread, because the main thread waits in a collective."""
        if self._closed.is_set():
            return
        console.quiet = False
        say(f"process {self.rank} ends: {text}", style="red")
        _write_error_file(text)
        os._exit(1)


def words_of(error: BaseException) -> str:
    """The text of an error in a failure."""
    return f"{type(error).__name__}: {error}"


def _write_error_file(text: str) -> None:
    """Write the text that torchrun repeats at its end; its own handler keeps long tracebacks."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        about = {"py_callstack": text, "timestamp": str(int(time.time()))}
        message = {"message": {"message": text, "extraInfo": about}}
        with suppress(OSError):
            Path(file).write_text(json.dumps(message), encoding="utf-8")
