"""A measurement in a fresh process, so that its memory is its own."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

PRELOAD = [
    "matplotlib.figure",
    "pytorchvideo.layers.nonlocal_net",
    "video_gc.cli",
    "video_gc.models.build",
]
LIMIT = 900
"""Seconds for one measurement."""


def apart(call: Callable[..., dict[str, Any]], linger: float = 0, **given: Any) -> dict[str, Any]:
    """`call(**given)` in a process forked from one that has imported everything and computed
    nothing; {"error": why} where it raises, dies or takes too long.

    call: a function of a module, for it is sent by name. linger: seconds for its own children.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(send, call, given))
    process.start()
    send.close()
    try:
        if not receive.poll(LIMIT):
            return {"error": f"took more than {LIMIT} s"}
        answer: dict[str, Any] = receive.recv()
        return answer
    except EOFError:
        return {"error": "the process died, for want of memory perhaps"}
    finally:
        process.join(linger)
        process.kill()
        process.join()


def _send(send: Connection, call: Callable[..., dict[str, Any]], given: dict[str, Any]) -> None:
    try:
        send.send(call(**given))
    except Exception as error:  # whatever it raises is a line of the results
        send.send({"error": (str(error) or type(error).__name__).splitlines()[0]})
