"""A measurement in a fresh process, so that its memory is its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

from video_gc.subprocess_call import ProcessDied, ProcessStuck, call_in_new_process

LIMIT = 900
"""Seconds for one measurement."""


def apart(call: Callable[..., dict[str, Any]], linger: float = 0, **given: Any) -> dict[str, Any]:
    """`call(**given)` in a fresh process; {"error": why} where it raises, dies or takes too long.

    call: a function of a module, for it is sent by name. linger: seconds for its own children.
    """
    try:
        return call_in_new_process(partial(call, **given), limit=LIMIT, linger=linger)
    except ProcessStuck:
        return {"error": f"took more than {LIMIT} s"}
    except ProcessDied as error:
        return {"error": f"the process died ({error}), for want of memory perhaps"}
    except Exception as error:  # whatever it raises is a line of the results
        return {"error": (str(error) or type(error).__name__).splitlines()[0]}
