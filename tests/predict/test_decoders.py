"""The processes that decode: one that ends is replaced, and nobody waits longer than they said."""

import os
import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from video_gc.decode.reader import DecodeError
from video_gc.predict import decoders
from video_gc.predict.decoders import Decoders, NoDecoderError
from video_gc.subprocess_call import ChildProcess, ProcessStuck

pytestmark = pytest.mark.slow  # each process imports torch


def work(source: str) -> Iterator[str]:
    """In the place of `read_windows`."""
    if source == "hangs":
        time.sleep(600)
    if source == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    yield source


def no_memory() -> ChildProcess:
    """In the place of `_begun`."""
    raise OSError("no memory")


def test_a_process_that_ended_is_replaced_however_short_the_limit(tmp_path: Path) -> None:
    pool = Decoders(1)
    try:
        with pytest.raises(ProcessStuck):
            list(pool.run(lambda: 0.2, work, "hangs"))
        with pytest.raises(queue.Empty):  # the other one is starting, which takes longer
            list(pool.run(lambda: 0.01, work, "a"))
        assert list(pool.run(lambda: 0.5, work, "b", wait=60)) == ["b"]
        with pytest.raises(DecodeError, match=r"dies: the decoder's process died \(SIGKILL\)"):
            list(pool.run(lambda: 5, work, "dies", wait=60))
        child = pool.idle.get(timeout=60)
        assert isinstance(child, ChildProcess)
        os.kill(child.pid, signal.SIGKILL)  # while it is idle
        assert child.connection.poll(10)  # its end of the pipe is closed
        pool.idle.put(child)
        assert list(pool.run(lambda: 0.5, work, "c", wait=60)) == ["c"]
        assert pool.idle.qsize() == 1
    finally:
        pool.close()


def test_what_cannot_be_started_is_said_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Decoders(1)
    monkeypatch.setattr(decoders, "_begun", no_memory)
    with pytest.raises(DecodeError, match="died"):
        list(pool.run(lambda: 5, work, "dies"))
    for _ in range(2):
        with pytest.raises(NoDecoderError, match=r"can be started \(no memory\); free some"):
            list(pool.run(lambda: 60, work, "a"))
        assert pool.alive == 0
    monkeypatch.undo()  # there is memory again, and nobody asks
    end = time.monotonic() + 60
    while not pool.alive:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert list(pool.run(lambda: 60, work, "a")) == ["a"]
    monkeypatch.setattr(decoders, "_begun", no_memory)
    with pytest.raises(DecodeError, match="died"):
        list(pool.run(lambda: 5, work, "dies"))
    pool.close()  # while it is tried again


def test_the_others_work_for_what_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Decoders(2)
    monkeypatch.setattr(decoders, "_begun", no_memory)
    with pytest.raises(DecodeError, match="died"):
        list(pool.run(lambda: 5, work, "dies"))
    for _ in range(4):
        assert list(pool.run(lambda: 60, work, "a")) == ["a"]
    assert pool.alive == 1
    pool.close()
