"""The tests that are marked gpu."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from benchmarks.gpu_steps.schedule import Row
from benchmarks.parts.measurement import table
from video_gc.subprocess_call import heartbeat

ROOT = Path(__file__).parents[3]
MARK = "pytest.mark.gpu"
PYTEST = (sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider")
LONGEST = 60.0
"""Seconds for one file, so that a test that hangs leaves time for the other files."""
SPARE = 5.0
"""Seconds before the deadline, to end pytest and to read what it wrote."""
RAN = (0, 1)
"""Exit codes of pytest: all passed, some failed. Others: interrupted, broken, none collected."""


def measure(device: str, deadline: float) -> Iterator[Row]:
    """Each test as {"test", "outcome", "right", "why"}, file by file; one more for a file that
    pytest could not run to its end.

    Raises FileNotFoundError outside a clone.
    """
    files = [path for path in sorted(ROOT.glob("tests/**/test_*.py"))
             if MARK in path.read_text("utf-8")]  # fmt: skip
    if not files:
        raise FileNotFoundError(f"{ROOT / 'tests'}: no test is marked gpu; run this in a clone")
    for path in files:
        seconds = min(LONGEST, max(0.0, deadline - SPARE - time.monotonic()))
        with TemporaryDirectory() as folder:
            report = Path(folder, "report.xml")
            code = run_pytest([f"--junitxml={report}", str(path)], seconds)
            if report.is_file():
                yield from outcomes(report, may_skip=device == "cpu")
        if code not in RAN:
            ended = f"did not end in {seconds:.0f} s" if code is None else f"ended with code {code}"
            yield {"test": path.relative_to(ROOT).as_posix(), "outcome": "error", "right": False,
                   "why": f"pytest {ended}"}  # fmt: skip


def run_pytest(arguments: Sequence[str], seconds: float) -> int | None:
    """Its exit code; None if it took longer, and is ended with all that it started.

    That also happens when the process that called this one ends or stops listening, as after
    Ctrl-C: tests must not run beside the steps that are timed.
    """
    end = time.monotonic() + seconds
    # what it prints goes to the terminal
    process = subprocess.Popen([*PYTEST, *arguments], cwd=ROOT, stdout=2, start_new_session=True)
    try:
        while process.poll() is None and time.monotonic() < end:
            heartbeat()  # raises if nobody listens
            time.sleep(0.1)
        return process.returncode
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own children too
        process.wait()


def outcomes(report: Path, *, may_skip: bool) -> Iterator[Row]:
    """The tests in a JUnit file, which pytest writes. may_skip: a skipped one is right."""
    for case in ElementTree.parse(report).iter("testcase"):
        ends = [child for child in case if child.tag in ("failure", "error", "skipped")]
        outcome = ends[0].tag if ends else "passed"
        row = {"test": f"{case.get('classname')}::{case.get('name')}", "outcome": outcome,
               "right": outcome == "passed" or (may_skip and outcome == "skipped")}  # fmt: skip
        why = " ".join(ends[0].get("message", "").split())[:200] if ends else ""
        yield row | ({"why": why} if ends else {})


def lines(rows: Sequence[Row]) -> list[str]:
    """Markdown: how many, and those that did not pass."""
    counts = Counter(row["outcome"] for row in rows)
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    rest = [[row["test"], row["outcome"], row["why"]]
            for row in rows if row["outcome"] != "passed"]  # fmt: skip
    return [f"{len(rows)} tests: {said}.", "", *(table(["test", "", "why"], rest) if rest else [])]
