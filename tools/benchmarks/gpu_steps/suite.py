"""The tests that are marked gpu."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from benchmarks.gpu_steps.schedule import Row
from benchmarks.parts.measurement import table

ROOT = Path(__file__).parents[3]
MARK = "pytest.mark.gpu"
SPARE = 5.0
"""Seconds to end pytest and to read what it wrote."""


def measure(device: str, seconds: float) -> Iterator[Row]:
    """Each test as {"test", "outcome", "why"}.

    Raises FileNotFoundError outside a clone, RuntimeError if pytest runs none or not to its end.
    """
    files = [path for path in sorted(ROOT.glob("tests/**/test_*.py"))
             if MARK in path.read_text("utf-8")]  # fmt: skip
    if not files:
        raise FileNotFoundError(f"{ROOT / 'tests'}: no test is marked gpu; run this in a clone")
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider",
                   f"--junitxml={report}", *map(str, files)]  # fmt: skip
        with subprocess.Popen(command, cwd=ROOT, stdout=2, start_new_session=True) as process:
            try:
                process.wait(seconds - SPARE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # its own children too
                raise RuntimeError(f"pytest did not end in {seconds - SPARE:.0f} s") from None
        if not report.is_file():
            raise RuntimeError(
                f"pytest ended with exit code {process.returncode}, without a report"
            )
        found = list(outcomes(report, may_skip=device == "cpu"))
    if not found:
        raise RuntimeError(f"pytest ran none of the tests in {len(files)} files")
    yield from found


def outcomes(report: Path, *, may_skip: bool) -> Iterator[Row]:
    """The tests in a JUnit file, which pytest writes. may_skip: a skipped one is right."""
    for case in ElementTree.parse(report).iter("testcase"):
        ends = [child for child in case if child.tag in ("failure", "error", "skipped")]
        outcome = ends[0].tag if ends else "passed"
        row = {"test": f"{case.get('classname')}::{case.get('name')}", "outcome": outcome,
               "right": outcome == "passed" or (may_skip and outcome == "skipped")}  # fmt: skip
        yield row | ({"why": ends[0].get("message", "")} if ends else {})


def lines(rows: Sequence[Row]) -> list[str]:
    """Markdown: how many, and those that did not pass."""
    counts = Counter(row["outcome"] for row in rows)
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    rest = [[row["test"], row["outcome"], " ".join(row["why"].split())[:200]]
            for row in rows if row["outcome"] != "passed"]  # fmt: skip
    return [f"{len(rows)} tests: {said}.", "", *(table(["test", "", "why"], rest) if rest else [])]
