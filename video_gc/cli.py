"""The edge of every tool: one clear line per error, and the exit status.

2: the command (a wrong option, a missing path or library); 1: the data (a video, a list) or the
machine. A training that a signal stopped exits with 128 + its number: 143 after SIGTERM, 138 after
SIGUSR1, 130 after Ctrl-C. VIDEO_GC_TRACEBACK=1 shows the traceback.
"""

import argparse
import atexit
import gc
import io
import logging
import math
import os
import re
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from video_gc.escape import nearest_name
from video_gc.progress import say

TRACEBACK = "VIDEO_GC_TRACEBACK"
HOME = re.compile(r"""((?:[\w./@+-]+=)?["']?)~(?=[/"']|$)""")  # data.root=~/videos
USAGE = (ValueError, ImportError, FileNotFoundError, FileExistsError, NotADirectoryError)
"""Errors in the command; ImportError: a decoder that is not installed."""

FULL = re.compile(r"[^.;\n]*(out of memory|can't allocate memory|not enough memory)[^.;\n]*", re.I)
"""What torch says of a full memory, of the machine or of a GPU."""
LESS_MEMORY = {
    "train": "; give accumulate=2 (the same steps, in two parts), precision=bf16, "
    "activation_checkpointing=true or a smaller batch_size",
    "test": "; give a smaller --micro-batch",
}
"""Command → what needs less."""


class Parser(argparse.ArgumentParser):
    """Reports an error in one line, as a ValueError, so parse inside `run_tool`.

    Options must be written in full: a later option could make an abbreviation ambiguous.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        tool = Path(sys.argv[0]).stem  # train, of tools/train.py
        usual: dict[str, Any] = {"allow_abbrev": False, "prog": f"video-gc {tool}"}
        super().__init__(*given, **usual | named)

    def add_subparsers(self, **named: Any) -> Any:
        """As argparse's; a subcommand reports unknown options itself."""
        return super().add_subparsers(**{"parser_class": _Command} | named)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; NAME=VALUE of an option is no path, unless there is such a file."""
        for word in sys.argv[1:] if args is None else args:
            name, equals, value = word.partition("=")
            option = "--" + name.rpartition(".")[2].replace("_", "-")
            if equals and option in self._option_string_actions and not os.path.lexists(word):
                self.error(f"{word}: options have dashes; write {option} {value}")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Argparse calls this for wrong arguments."""
        raise ValueError(f"{message}{self._meant(message)}; see {self.prog} --help")

    def _meant(self, message: str) -> str:
        """A hint for a misspelt option."""
        known, unknown = list(self._option_string_actions), message.partition("unrecognized ")[2]
        for typed in re.findall(r"(?<!\S)--?([a-zA-Z][\w-]*)", unknown):
            word = f"--{typed}"
            close = [option for option in known if option.startswith(word)]
            near = " or ".join(close) or nearest_name(word, known, cutoff=0.7)
            if near:
                return f" (did you mean {near}?)"
        return ""


class _Command(Parser):
    """A subcommand of a tool."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Report options that are unknown here."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown


def with_home(word: str) -> str:
    """A word of the command with ~ expanded, also after =, where shells do not expand it."""
    found = HOME.match(word)
    return found[1] + os.path.expanduser("~") + word[found.end() :] if found else word


def in_range(
    kind: type[int] | type[float], least: float, most: float = math.inf
) -> Callable[[str], float]:
    """A `type` of an argument: a number from `least` to `most`."""
    limits = f"at least {least:g}" if most == math.inf else f"in [{least:g}, {most:g}]"

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {limits}, not {text}")
        return value

    return read


def quiet_libraries() -> None:
    """Silence warnings of libraries for their own developers."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
    warnings.filterwarnings("ignore", module="lightning_fabric")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def run_tool(main: Callable[[], int | None], *, leave: bool = True) -> None:
    """Call `main` and exit with its status, or print an error in one line and exit with its status.

    leave: also exit after success.
    """
    quiet_libraries()
    register_end()
    sys.argv[1:] = map(with_home, sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):  # a stream without UTF-8 gets escapes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main() or 0
    except USAGE as error:
        status = report_error(error, 2)
    except KeyboardInterrupt as stopped:
        say(str(stopped) or "Interrupted; nothing that was finished is lost.")
        status = 130
    except Exception as error:
        # late: with these come numpy and pyarrow, which --help does not need
        from video_gc.data.index import DataError
        from video_gc.data.shards.store import StoreError
        from video_gc.decode.reader import DecodeError

        if not isinstance(error, (DataError, StoreError, DecodeError, OSError, FloatingPointError)):
            said = about_memory(error)
            if said is None:
                raise
            error = MemoryError(said + LESS_MEMORY.get(Path(sys.argv[0]).stem, ""))
        status = report_error(error, 1)
    if leave or status:
        sys.exit(status)


@cache
def register_end() -> None:
    """Let `end_quickly` be called once, and last: what is registered first."""
    atexit.register(end_quickly)


def end_quickly() -> None:
    """For the end of a process: spare it the interpreter's last collections.

    With torch loaded they take 1.2 s. Without them the bindings of triton, which torch imports,
    complain of leaks: after all that a tool says, so nothing else is lost with them.
    """
    gc.freeze()
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def about_memory(error: Exception) -> str | None:
    """The sentence of an error about a full memory; None for other errors."""
    if found := FULL.search(str(error)):
        return found[0].strip()
    return f"the memory is full ({error})" if isinstance(error, MemoryError) else None


def report_error(error: Exception, status: int = 1) -> int:
    """Print the error in one line and return `status`."""
    if os.environ.get(TRACEBACK):
        raise error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    say(f"error: {'; '.join(lines)}", style="red")
    return status
