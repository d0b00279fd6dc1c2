"""How processes find each other at each start, despite entries of earlier attempts in the store.

torchrun keeps its store over restarts, with the addresses of dead processes.
"""

import json
import socket
import time
from datetime import timedelta
from uuid import uuid4

from torch.distributed import Store

PAUSE = 0.05


def meet(store: Store, rank: int, size: int, *, timeout: timedelta) -> tuple[str, list[str]]:
    """A word that only the processes of this attempt share, and their hosts.

    The first process makes the word. The others answer the newest word that they see, and accept
    it when the first repeats their answer.

    Raises TimeoutError naming the processes that did not arrive.
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
            raise TimeoutError(f"of {size} processes these did not arrive: {late}")
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
    raise TimeoutError("process 0 did not answer, or waits for one that did not arrive")


def _hosts(answers: list[str]) -> list[str]:
    return [json.loads(answer)[1] for answer in answers]
