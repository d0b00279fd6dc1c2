"""Shared parts of the benchmarks: interleaved calls, targets, the machine, the files."""

import argparse
import gc
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import torch
from matplotlib.figure import Figure
from rich.markdown import Markdown

from video_gc.analysis.measure import interleave, load, machine
from video_gc.analysis.terminal import fitting
from video_gc.atomic import atomic_path, write_text
from video_gc.decode.ffmpeg_env import COMMAND, library_path
from video_gc.pictures.figures import save_picture
from video_gc.progress import console, say, track
from video_gc.subprocess_call import call_in_new_process

CACHE = Path("data/benchmark")
CPU = torch.device("cpu")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last_3d}
RESTARTED = "VIDEO_GC_BENCHMARK_RESTARTED"
LIMIT, LINGER = 900, 5
"""Seconds for one measurement in its own process, and then for its compiler processes to end."""
K = TypeVar("K")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Target:
    """One figure and its limit."""

    what: str
    number: float
    limit: float
    at_least: bool = False
    """otherwise at most"""

    @property
    def met(self) -> bool:
        """As measured, unrounded."""
        return self.number >= self.limit if self.at_least else self.number <= self.limit

    def cells(self) -> list[str]:
        """A line of the table of targets."""
        limit = f"{'at least' if self.at_least else 'at most'} {self.limit:g}"
        return [self.what, limit, f"{self.number:.2f}", "yes" if self.met else "**no**"]


def run_interleaved(
    calls: Mapping[K, Callable[[Any], Result]], samples: Sequence[Any], title: str
) -> Iterator[tuple[int, K, Result, float]]:
    """Call each on each sample, in the order of `interleave`.

    Yields the number of the sample, the name of the call, its result, and its time in seconds.
    """
    each = interleave(list(calls), range(len(samples) if calls else 0))
    for number, name in track(each, title, len(samples) * len(calls)):
        gc.collect()
        started = time.perf_counter()
        result = calls[name](samples[number])
        yield number, name, result, time.perf_counter() - started
        del result


def in_new_process(call: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """`call(*arguments)` in a process with its own memory; {"error": why} if it fails.

    call: a function of a module, because it is sent by name.
    """
    try:
        return call_in_new_process(call, *arguments, limit=LIMIT, linger=LINGER)
    except Exception as error:  # any error becomes a line of the results
        return {"error": reason(error)}


def reason(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error) or type(error).__name__).splitlines()[0]


def about_machine(device: torch.device = CPU) -> dict[str, str]:
    """Machine and versions, also of the peers; warns if other processes are using it."""
    about = machine(device)
    for library in ("av", "decord", "torchcodec"):
        try:
            about[library] = version(library)
        except PackageNotFoundError:
            about[library] = "not installed"
    busy, cores = load(), len(os.sched_getaffinity(0))
    if busy > 0.5 * cores:
        say(f"The machine is busy (load {busy:.1f} on {cores} cores): trust ratios, not times.",
            style="yellow")  # fmt: skip
    return about | {"cores": str(cores), "load at the start": f"{busy:.1f}"}


def product_rates() -> dict[str, float]:
    """FLOPs per second of torch's matrix product on this machine, the best of several."""
    rates = {}
    for name, dtype in DTYPES.items():
        best = 0.0
        for size in (1024, 2048):
            one, two = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
            for _ in range(6):
                started = time.perf_counter()
                one @ two
                best = max(best, 2 * size**3 / (time.perf_counter() - started))
        rates[name] = best
    return rates


def load_ffmpeg() -> None:
    """Restart with FFmpeg's libraries, which torchcodec needs, unless they are on the path.

    The loader reads LD_LIBRARY_PATH once, when a process starts.
    """
    if find_spec("torchcodec") is None or RESTARTED in os.environ:
        return
    try:
        path = library_path()
    except FileNotFoundError:
        return  # the system may have an FFmpeg
    if path != os.environ.get("LD_LIBRARY_PATH"):
        say(f"Restarting with FFmpeg's libraries for torchcodec, as {COMMAND} sets them")
        os.environ |= {"LD_LIBRARY_PATH": path, RESTARTED: "1"}
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def add_cache(parser: argparse.ArgumentParser) -> None:
    """The folder of the benchmarks' videos."""
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help=f"folder of generated videos ({CACHE})"
    )


def add_folder(parser: argparse.ArgumentParser) -> None:
    """The folder of the results."""
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"),
                        help="folder of the results (runs/benchmark)")  # fmt: skip


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Markdown: head, rule, lines."""
    rows = [heads, ["---"] * len(heads), *lines]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]


def write_results(
    file: Path,
    about: Mapping[str, str],
    intro: str,
    lines: Sequence[str],
    results: Mapping[str, Any],
    targets: Sequence[Target] = (),
    figure: Figure | None = None,
) -> int:
    """Print the text, and write it, JSON and the figure as FILE.md, FILE.json and FILE.png.

    about: the machine. intro, lines: Markdown, before and after machine and targets. results: for
    JSON, beside machine and targets.
    Returns exit status 0.
    """
    content = results_content(about, intro, lines, results, targets)
    text = markdown(content)
    show(text)
    files = [
        write_text(file.with_suffix(".json"), json.dumps(content, indent=1)),
        write_text(file.with_suffix(".md"), text),
    ]
    if figure is not None:
        files.append(save_figure(figure, file.with_suffix(".png")))
    for written in files:
        say(f"  {written}")
    return 0


def results_content(
    about: Mapping[str, str],
    intro: str,
    lines: Sequence[str],
    results: Mapping[str, Any],
    targets: Sequence[Target] = (),
) -> dict[str, Any]:
    """What `write_results` writes as JSON, with the command that was typed."""
    command = shlex.join(["video-gc", "benchmark", *sys.argv[1:]])
    content = {"command": command, "date": date.today().isoformat(), "machine": about, **results}
    return content | {"targets": as_dicts(targets), "intro": intro, "lines": list(lines)}


def markdown(content: Mapping[str, Any]) -> str:
    """The text of results in JSON, as `write_results` writes them."""
    machine = " · ".join(f"{name} {value}" for name, value in content["machine"].items())
    shown = [content["intro"], "", f"`{content['command']}`, {content['date']}: {machine}", ""]
    if content["targets"]:
        targets = [Target(**target) for target in content["targets"]]
        heads = ["target", "limit", "measured", "met"]
        shown += [*table(heads, [target.cells() for target in targets]), ""]
    return "\n".join([*shown, *content["lines"], ""])


def show(text: str) -> None:
    """Print Markdown; a table too wide for the terminal becomes several, without cut cells."""
    for is_table, group in groupby(text.splitlines(), lambda line: line.startswith("|")):
        if not is_table:
            console.print(Markdown("\n".join(group)))
            continue
        heads, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in group)
        for part in fitting(heads, rows, console.width):
            console.print(part)


def save_figure(figure: Figure, path: Path) -> Path:
    """As PNG."""
    with atomic_path(path) as part:
        save_picture(figure, part, dpi=120)
    return path


def as_dicts(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Dataclasses for JSON."""
    return [asdict(row) for row in rows]
