"""A tool in a process of its own: a crash, a kill or Ctrl-C there ends that tool and nothing else.

Its process has a session of its own, so that the terminal's Ctrl-C reaches it once, through here.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def run_child(
    command: Sequence[str], log: Path, *, folder: str, env: Mapping[str, str]
) -> tuple[int, int]:
    """Run `command` with its output appended to `log`; signals to this process go to it.

    Returns its exit status (minus a signal's number where one killed it) and the signal that this
    process got meanwhile, 0 without one.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        stream.write(f"\n$ {' '.join(command)}\n".encode())
        stream.flush()
        with _forwarding() as (got, forward_to):  # before it starts: no signal ends this process
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=folder,
                env=env, start_new_session=True, preexec_fn=_end_with_parent,
            )  # fmt: skip
            forward_to(process)
            try:
                status = process.wait()
            except BaseException:  # a launcher's own handler ends this job: save, and end, too
                process.terminate()
                process.wait()
                raise
    return status, got[0] if got else 0


def _end_with_parent() -> None:
    """In the new process: SIGTERM (save and end) when this one is killed, where Linux can."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


@contextmanager
def _forwarding() -> Iterator[tuple[list[int], Callable[["subprocess.Popen[bytes]"], None]]]:
    """Pass signals on to a process; yields those that came, and what names the process.

    A signal that comes before there is a process is passed on when it is named.
    """
    got: list[int] = []
    sent: list[int] = []
    named: list[subprocess.Popen[bytes]] = []

    def send() -> None:
        while named and len(sent) < len(got):
            sent.append(got[len(sent)])
            if named[0].poll() is None:
                os.kill(named[0].pid, sent[-1])

    def pass_on(number: int, _frame: FrameType | None) -> None:
        got.append(number)
        send()

    def forward_to(process: "subprocess.Popen[bytes]") -> None:
        named.append(process)
        send()

    if threading.current_thread() is not threading.main_thread():
        yield got, forward_to
        return
    before = {number: signal.signal(number, pass_on) for number in FORWARDED}
    try:
        yield got, forward_to
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
