"""The far end of decode/isolated.py: `python -m video_gc.decode.server MODULE`.

Opens and reads videos with MODULE.open_here for another process, which asks on standard input and
is answered on standard output. A message is its length in 8 bytes, then a pickle of plain tuples.
An answer is one of ("done", value), ("frame", number, index, array) and
("error", kind, reason, frame).
"""

import os
import pickle
import signal
import struct
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import BinaryIO

import numpy as np

from video_gc.decode import reader as errors

LENGTH = struct.Struct("<Q")
SPARE = 5.0  # seconds that the other side has to end this process before it ends itself


def main() -> None:
    """Serve until standard input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other side
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process; see _end_after
    serve(sys.argv[1], requests, answers)


def serve(module: str, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more: (verb, time limit, arguments)."""
    readers: dict[int, errors.VideoReader] = {}

    def send(answer: object, limit: float) -> None:
        content = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
        answers.write(LENGTH.pack(len(content)))
        answers.write(content)
        answers.flush()
        _end_after(limit)

    while head := requests.read(LENGTH.size):
        verb, limit, arguments = pickle.loads(requests.read(LENGTH.unpack(head)[0]))
        _end_after(limit)
        try:
            for frame in _frames(readers, verb, arguments):
                send(frame, limit)
            send(("done", _value(module, readers, verb, arguments)), limit)
        except Exception as error:
            reason = error.reason if isinstance(error, errors.DecodeError) else str(error)
            send(("error", type(error).__name__, reason, getattr(error, "frame", None)), limit)
        _end_after(0)


def _frames(
    readers: dict[int, errors.VideoReader], verb: str, arguments: tuple
) -> Iterator[tuple[str, int, int, np.ndarray]]:
    if verb == "read":
        number, requests, form = arguments
        for request, index, frame in readers[number].stream(requests, form):
            yield "frame", request, index, frame


def _value(
    module: str, readers: dict[int, errors.VideoReader], verb: str, arguments: tuple
) -> object:
    number = arguments[0]
    if verb == "open":
        _, source, options = arguments
        reader = readers[number] = import_module(module).open_here(source, **options)
        return len(reader), reader.rate, reader.size, reader.codec, reader.colour
    if verb == "close":
        readers.pop(number).close()
        return None
    return readers[number].times if verb == "times" else readers[number].damaged


def _end_after(seconds: float) -> None:
    """Die then, whatever Python is doing: nobody else could end this one if it got lost."""
    signal.setitimer(signal.ITIMER_REAL, seconds + SPARE if seconds else 0)


if __name__ == "__main__":
    main()
