"""The edge of every tool: one clear line per error, and the exit status.

2: how the tool was called (a wrong option, a path that does not exist); 1: the data (a video, a
list). VIDEO_GC_TRACEBACK=1 shows where an error came from.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable

from video_gc.data.annotations import DataError
from video_gc.decode.reader import DecodeError
from video_gc.progress import say

TRACEBACK = "VIDEO_GC_TRACEBACK"


def quiet_libraries() -> None:
    """Silence what the libraries say to their own developers."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


def run_tool(main: Callable[[], int | None], *, leave: bool = True) -> None:
    """Call `main` and exit with its status, or with an error's line and status.

    leave: exit after success too.
    """
    quiet_libraries()
    try:
        status = main() or 0
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        status = report_error(error, 2)
    except (DataError, DecodeError, OSError) as error:
        status = report_error(error, 1)
    except KeyboardInterrupt:
        say("Interrupted; nothing that was finished is lost.")
        status = 130
    if leave or status:
        sys.exit(status)


def report_error(error: Exception, status: int = 1) -> int:
    """Print the error in one line and return `status`."""
    if os.environ.get(TRACEBACK):
        raise error
    say(f"error: {error}", style="red")
    return status
