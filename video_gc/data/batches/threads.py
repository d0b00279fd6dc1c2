"""Jobs in threads, their results in order: for decoding on the GPU."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from queue import Empty, Full, Queue
from threading import Event
from typing import Any, TypeVar

import torch

from video_gc.data.batches.workers import SILENT

Item = TypeVar("Item")
WAIT = 0.05
"""Seconds after which a thread looks whether it is still wanted."""
DONE = object()


def in_threads(
    jobs: Iterable[Callable[[], Iterator[Item]]],
    threads: int,
    *,
    ahead: int,
    held: int = 8,
    device: torch.device | None = None,
) -> Iterator[Item]:
    """What each job yields, job after job in their order, while threads run those that follow.

    ahead: jobs that may be begun; held: what one job may yield before it has to wait. An exception
    comes where the job raised it. The threads end with the iteration. device: the GPU that they use
    where a job names none; a new thread would use the first.
    """
    stopped = Event()
    waiting = iter(jobs)
    begun: deque[Queue[Any]] = deque()
    use = None if device is None else partial(torch.cuda.set_device, device)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode", initializer=use)

    def begin() -> None:
        for job in islice(waiting, max(ahead, threads) - len(begun)):
            begun.append(Queue(held))
            pool.submit(_run, job, begun[-1], stopped)

    try:
        begin()
        while begun:
            results = begun[0]
            while (result := _get(results)) is not DONE:
                if isinstance(result, _Failure):
                    raise result.error
                yield result
            begun.popleft()
            begin()
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


class _Failure:
    """An exception on its way out of a thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _run(job: Callable[[], Iterator[Item]], results: Queue[Any], stopped: Event) -> None:
    items = job()
    try:
        for item in items:
            if not _put(item, results, stopped):
                return
        _put(DONE, results, stopped)
    except BaseException as error:  # whatever it is, the thread that waits must learn of it
        _put(_Failure(error), results, stopped)
    finally:
        items.close()  # type: ignore[attr-defined]


def _get(results: Queue[Any]) -> Any:
    try:
        return results.get(timeout=SILENT)
    except Empty:
        raise TimeoutError(
            f"no batch within {SILENT:g} s from the decoding threads: a decoder or the disk is "
            "stuck; rerun the command to resume, with data.decode_device=cpu where it comes again"
        ) from None


def _put(item: object, results: Queue[Any], stopped: Event) -> bool:
    """Hand over `item`; False where nobody wants it any more."""
    while not stopped.is_set():
        try:
            results.put(item, timeout=WAIT)
            return True
        except Full:
            continue
    return False
