"""Steps one after another in a limited time, each in its own process; what was found is kept."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from benchmarks.parts.measurement import LINGER, reason
from video_gc.progress import say
from video_gc.subprocess_call import ENDED, ITEM, RAISED, ChildProcess, ProcessDied, ProcessStuck

Row = dict[str, Any]
"""One finding, of plain values for JSON. `right`, if it is there, is false for a wrong one; `error`
tells why there is none."""
LEAST = 10.0
"""Seconds; with fewer left no step begins, since importing torch takes most of them."""
FOLDERS = re.compile(r"(?<![\w./])/(?:[^\s/:'\"]+/)+")
"""Those of an absolute path: they tell of this machine, and the results go into the pages."""
DONE, STOPPED, FAILED, LEFT_OUT, WAITING = "done", "stopped", "failed", "left out", "waiting"


@dataclass(frozen=True)
class Step:
    """One part of the work."""

    name: str
    about: str
    """what it finds, for the heading of its table"""
    seconds: float
    """the longest that it may take"""
    measure: Callable[[str, float], Iterator[Row]]
    """device, moment of time.monotonic() at which it is killed → findings, as they come; a function
    of a module"""
    lines: Callable[[Sequence[Row]], list[str]]
    """findings → Markdown"""


@dataclass
class Outcome:
    """What came of a step."""

    state: str = WAITING
    why: str = ""
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)

    @property
    def wrong(self) -> list[Row]:
        """Findings that are wrong, or that could not be made."""
        return [row for row in self.rows if "error" in row or not row.get("right", True)]


def run_steps(
    steps: Sequence[Step], device: str, seconds: float, keep: Callable[[dict[str, Outcome]], object]
) -> dict[str, Outcome]:
    """Every step in its turn until `seconds` are over; those that no longer fit are left out.

    keep: called with all outcomes after each finding, so that a stopped run loses nothing.
    """
    outcomes = {step.name: Outcome() for step in steps}
    began = time.monotonic()
    for step in steps:
        left, outcome = seconds - (time.monotonic() - began), outcomes[step.name]
        if left < LEAST:
            outcome.state, outcome.why = LEFT_OUT, f"{max(left, 0):.0f} s were left"
        else:
            say(f"{step.name}: {step.about} (at most {min(step.seconds, left):.0f} s)")
            _run(step, device, min(step.seconds, left), outcome, lambda: keep(outcomes))
            say(f"  {step.name} {outcome.state} after {outcome.seconds:.0f} s: {summary(outcome)}")
        keep(outcomes)
    return outcomes


def summary(outcome: Outcome) -> str:
    """The number of findings and of wrong ones, and why a step ended early."""
    wrong = f", {len(outcome.wrong)} wrong" if outcome.wrong else ""
    return f"{len(outcome.rows)} findings{wrong}" + (f"; {outcome.why}" if outcome.why else "")


def described(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """For JSON, which has no NaN: it is text there."""
    return {name: _numbers(asdict(outcome)) for name, outcome in outcomes.items()}


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def without_folders(text: str) -> str:
    """Of absolute paths, the last name alone."""
    return FOLDERS.sub("", text)


def _run(
    step: Step, device: str, seconds: float, outcome: Outcome, keep: Callable[[], object]
) -> None:
    """Run a step in a new process, and kill it when its time is over."""
    began = time.monotonic()
    child = ChildProcess(output=2)  # what it says goes to the terminal
    try:
        child.begin(seconds, step.measure, device, began + seconds)
        while True:
            left = seconds - (time.monotonic() - began)
            kind, value = child.answer(max(left, 0.0))
            if kind == RAISED:
                outcome.state, outcome.why = FAILED, without_folders(reason(value))
                return
            if kind == ENDED:
                outcome.state = DONE
                return
            if kind == ITEM:
                outcome.rows.append({
                    name: without_folders(item) if isinstance(item, str) else item
                    for name, item in value.items()
                })  # fmt: skip
                keep()
    except ProcessStuck:
        outcome.state, outcome.why = STOPPED, f"its {seconds:.0f} s were over"
    except ProcessDied as error:
        outcome.state, outcome.why = FAILED, without_folders(f"its process ended: {error}")
    finally:
        child.end(LINGER)
        outcome.seconds = round(time.monotonic() - began, 1)
