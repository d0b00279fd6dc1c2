"""Run jobs in threads and give their results in order: for decoding on the GPU."""

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
"""Seconds after which a waiting thread checks whether it should stop."""
DONE = object()


def in_threads(
    jobs: Iterable[Callable[[], Iterator[Item]]],
    threads: int,
    *,
    ahead: int,
    held: int = 8,
    device: torch.device | None = None,
) -> Iterator[Item]:
    """The results of each job, in the order of the jobs, while threads run the next jobs.

    ahead: most jobs started; held: most results of one job before its thread waits. An exception
    is raised in place of the result. The threads end with the iteration. device: the threads' GPU,
    unless a job names one; new threads would use the first GPU, as they do if it has no number.
    """
    stopped = Event()
    waiting = iter(jobs)
    begun: deque[Queue[Any]] = deque()
    numbered = device is not None and device.type == "cuda" and device.index is not None
    use = partial(torch.cuda.set_device, device) if numbered else None
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
    """An exception passed from a thread to the reader."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _run(job: Callable[[], Iterator[Item]], results: Queue[Any], stopped: Event) -> None:
    items = job()
    try:
        for item in items:
            if not _put(item, results, stopped):
                return
        _put(DONE, results, stopped)
    except BaseException as error:  # the waiting thread must learn of any error
        _put(_Failure(error), results, stopped)
    finally:
        items.close()  # type: ignore[attr-defined]


def _get(results: Queue[Any]) -> Any:
    try:
        return results.get(timeout=SILENT)
    except Empty:
        raise TimeoutError(
            f"no batch within {SILENT:g} s from the decoding threads: a decoder or the disk is "
            "stuck; rerun the command to resume, with data.decode_device=cpu if it happens again"
        ) from None


def _put(item: object, results: Queue[Any], stopped: Event) -> bool:
    """Put `item` into the queue; False if the reader has stopped."""
    while not stopped.is_set():
        try:
            results.put(item, timeout=WAIT)
            return True
        except Full:
            continue
    return False
