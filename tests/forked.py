"""Work in a forked process, which may crash, hang or ask for too much memory."""

import multiprocessing
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LIMIT = 512 << 20
"""Bytes of address space beyond what the process has when it is limited."""


def limit_memory(times: int = 1) -> None:
    """From now on, this process gets no more than so many times LIMIT besides what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + times * LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def sent_by(work: Callable[..., None], *given: Any, silence: float = 600) -> Iterator[Any]:
    """What `work(*given, send)` sends from a process of its own, in which no module need be imported
    again. Fails where that ends by anything but a return, or sends nothing for `silence` seconds."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=work, args=(*given, send.send))
    child.start()
    send.close()
    try:
        while receive.poll(silence):
            yield receive.recv()
    except EOFError:
        child.join(silence)
    finally:
        child.kill()
        child.join()
    assert child.exitcode == 0
