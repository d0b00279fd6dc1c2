"""A decoder's server process and the pipes to it, with a time limit on every byte."""

import os
import pickle
import select
import subprocess
import sys
import threading
import time
from typing import Any

from video_gc.decode.server import LENGTH

BLOCK = 1 << 20  # bytes that are read or written at once


class ServerDied(Exception):  # noqa: N818  (both are taken care of where they come from)
    """The process ended in the middle of a request."""


class ServerStuck(Exception):  # noqa: N818
    """The process did not answer in time, and was killed."""


class ServerProcess:
    """`python -m video_gc.decode.server MODULE`, for one request at a time."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "video_gc.decode.server", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            bufsize=0,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        os.set_blocking(self._from, False)
        self._lock = threading.Lock()
        self._forgotten: list[int] = []
        self.alive = True

    def forget(self, number: int) -> None:
        """Have reader `number` closed before the next request."""
        self._forgotten.append(number)

    def ask(self, verb: str, arguments: tuple, limit: float) -> tuple[list[Any], tuple]:
        """Send a request: the frames (request, index, array) that it brought, and its last answer.

        limit: seconds for each answer. Raises ServerStuck, ServerDied; the process is gone then.
        """
        with self._lock:
            if not self.alive:
                raise ServerDied("it was killed for another video")
            try:
                while self._forgotten:
                    self._exchange("close", (self._forgotten.pop(),), limit)
                return self._exchange(verb, arguments, limit)
            except BaseException:  # also Ctrl-C: what was not read would answer the next request
                self.end()
                raise

    def end(self) -> None:
        """Kill the process; nothing is lost with it."""
        if self.alive:
            self.alive = False
            self._process.kill()
            self._process.wait()
            self._close_pipes()

    def disown(self) -> None:
        """Let go of a process that belongs to the parent of this one."""
        self.alive = False
        self._process.returncode = 0  # not ours to wait for
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def _exchange(self, verb: str, arguments: tuple, limit: float) -> tuple[list[Any], tuple]:
        content = pickle.dumps((verb, limit, arguments), protocol=pickle.HIGHEST_PROTOCOL)
        deadline = time.monotonic() + limit
        self._write(LENGTH.pack(len(content)), deadline)
        self._write(content, deadline)
        frames: list[tuple] = []
        while True:
            deadline = time.monotonic() + limit
            (length,) = LENGTH.unpack(self._read(LENGTH.size, deadline))
            answer = pickle.loads(self._read(length, deadline))
            if answer[0] != "frame":
                return frames, answer
            frames.append(answer[1:])

    def _write(self, content: bytes, deadline: float) -> None:
        rest = memoryview(content)
        while rest:
            self._wait(self._to, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._to, rest[:BLOCK]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise ServerDied(self._ending()) from None

    def _read(self, length: int, deadline: float) -> bytearray:
        content = bytearray(length)
        rest = memoryview(content)
        while rest:
            self._wait(self._from, select.POLLIN, deadline)
            count = os.readv(self._from, [rest[:BLOCK]])
            if not count:
                raise ServerDied(self._ending())
            rest = rest[count:]
        return content

    def _wait(self, pipe: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise ServerStuck

    def _ending(self) -> str:
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        return f"signal {-code}" if code < 0 else f"exit code {code}"
