"""Processes find each other anew at each start, whatever an earlier attempt left in the store.

torchrun keeps its store over restarts, with the addresses of dead processes in it.
"""

import json
import socket
import time
from datetime import timedelta
from uuid import uuid4

from torch.distributed import Store

PAUSE = 0.05


def meet(store: Store, rank: int, size: int, *, timeout: timedelta) -> tuple[str, list[str]]:
    """A word that all processes of this attempt share and no earlier one had, and their hosts.

    The first makes the word; the others answer to the newest they see, and believe it when the
    first repeats their own answer.

    Raises TimeoutError naming the processes that did not come.
    """
    answer = json.dumps([uuid4().hex, socket.gethostname()])
    end = time.monotonic() + timeout.total_seconds()
    if rank:
        return _answer(store, rank, answer, end)
    word = uuid4().hex
    store.set("word", word)
    found = {0: answer}
    while len(found) < size:
        found |= {
            other: store.get(f"{word}/{other}").decode()
            for other in range(size)
            if other not in found and store.check([f"{word}/{other}"])
        }
        if time.monotonic() > end:
            late = ", ".join(str(other) for other in range(size) if other not in found)
            raise TimeoutError(f"of {size} processes these did not come: {late}")
        time.sleep(PAUSE)
    answers = [found[other] for other in range(size)]
    store.set(f"{word}/all", json.dumps(answers))
    return word, _hosts(answers)


def _answer(store: Store, rank: int, answer: str, end: float) -> tuple[str, list[str]]:
    word = ""
    while time.monotonic() < end:
        if store.check(["word"]) and (newest := store.get("word").decode()) != word:
            word = newest
            store.set(f"{word}/{rank}", answer)
        if word and store.check([f"{word}/all"]):
            answers = json.loads(store.get(f"{word}/all"))
            if answers[rank] == answer:
                return word, _hosts(answers)
        time.sleep(PAUSE)
    raise TimeoutError("process 0 did not answer, or waits for another one that did not come")


def _hosts(answers: list[str]) -> list[str]:
    return [json.loads(answer)[1] for answer in answers]
