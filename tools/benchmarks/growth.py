"""`benchmark.py growth`: time and memory against videos, their length, classes and processes."""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.parts.measurement import (
    CPU,
    about_machine,
    add_cache,
    add_folder,
    as_dicts,
    in_new_process,
    table,
    write_results,
)
from benchmarks.parts.videos import DENSE, made_videos, repeat
from video_gc.analysis.measure import MIB, peak_bytes
from video_gc.cli import in_range
from video_gc.data.annotations.lists import read_list
from video_gc.data.batches.loader import training_loader
from video_gc.data.dataset import TrainingClips
from video_gc.data.generated.motions import generate_motions
from video_gc.data.index import VideoIndex
from video_gc.data.sampling import ClipConfig
from video_gc.progress import say

ABOUT = """\
Measure time and peak memory of the index of a list, the training loader, video-gc test and
video-gc score against the number of videos, of classes and of processes, and against the length of
a video. Each measurement runs in a process of its own (or several), with a small network and
videos of 8 frames of 40×40 pixels, so what grows is not hidden behind the network."""
EXAMPLE = "example: video-gc benchmark growth --videos 1000 10000 --classes 10 100"
TOOLS = Path(__file__).parents[1]
CLIP = ClipConfig(frames=8, stride=1, crop=40, short_side=[40, 40])
LONG = ClipConfig(frames=8, stride=8)
CLIPS = 1000
"""Read by the loader of each index."""
MOST = 2 * 1024
"""Lines of a list that a training sees: one step of it makes the checkpoint."""
HEADS = ["", "", "s", "× per ×", "peak MiB"]
LAUNCHER = """\
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
_, status, used = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
taken = {"seconds": time.perf_counter() - began, "mib": used.ru_maxrss / 1024}
print(json.dumps(taken))
sys.exit(process.returncode != 0)
"""
"""A small process that runs a command: Linux counts the peak of who starts one as the command's."""


@dataclass
class Row:
    """One measurement."""

    part: str
    """index, loader, test, score or segments"""
    axis: str
    """what grows: videos, minutes, classes or processes"""
    size: float
    seconds: float
    mib: float
    """peak of resident memory of the largest process"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `growth`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = ABOUT, EXAMPLE
    many = in_range(int, 1)
    for name, numbers in (
        ("videos", [1_000, 10_000, 100_000]),
        ("classes", [10, 100, 1_000, 10_000]),
        ("processes", [1, 2, 4]),
        ("minutes", [1, 10, 100]),
    ):
        shown = " ".join(map(str, numbers))
        parser.add_argument(f"--{name}", nargs="+", type=many, default=numbers, help=f"({shown})")
    add_cache(parser)
    add_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write JSON, Markdown and a plot."""
    about, rows = about_machine(), list[Row]()
    with tempfile.TemporaryDirectory() as folder:
        for row in measurements(Path(folder), options):
            say(f"{row.part}, {row.size:g} {row.axis}: {row.seconds:.1f} s, {row.mib:.0f} MiB")
            rows.append(row)
    return write_results(
        options.out / "growth", about,
        "Small networks, videos of 8 frames of 40×40 pixels (minutes: 340×256). “× per ×” is the "
        "exponent of growth since the row above: 1 is linear.",
        table(HEADS, cells(rows)), {"format": "growth-1", "rows": as_dicts(rows)},
        figure=plot_rows(rows),
    )  # fmt: skip


def measurements(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """All rows, the quick ones first."""
    made = generate_motions(
        folder / "motions", "alike", clips_per_class={"train": 50, "val": 1, "test": 1}
    )
    videos = sorted((made / "train").rglob("*.mp4"))
    lists = {n: write_list(folder / f"{n}.txt", videos, n, 10) for n in sorted(options.videos)}
    for part, call in (("index", index_of), ("loader", clips_of)):
        for count, listed in lists.items():
            yield Row(part, "videos", count, **in_new_process(call, listed))
    (dense,) = made_videos(options.cache, (DENSE,))
    network = checkpoint(folder, videos, 10)
    for minutes in options.minutes:
        file = repeat(dense, options.cache / f"growth_{minutes}.mp4", 6 * minutes)
        yield Row("loader", "minutes", minutes, **in_new_process(long_clips, file))
        found = TOOLS / "predict.py", network, file, "--segments", "--out", folder / f"{minutes}"
        yield Row("segments", "minutes", minutes, **command(*found, "--device", "cpu"))
    middle = list(lists)[len(lists) // 2]
    for number in options.processes:
        yield Row("test", "processes", number, **tested(network, lists[middle], number))
    for number in options.classes:
        known = checkpoint(folder, videos, number)
        listed = write_list(folder / "classes.txt", videos, max(middle, number), number)
        yield Row("test", "classes", number, **tested(known, listed, 1))
    for count, listed in lists.items():
        yield Row("test", "videos", count, **tested(network, listed, 1))
        out = folder / f"scored_{count}"
        tool = TOOLS / "score.py", network, scored_list(listed), "--out", out, "--device", "cpu"
        yield Row("score", "videos", count, **command(*tool))


def write_list(file: Path, videos: Sequence[Path], count: int, classes: int) -> Path:
    """`path label` lines: the same videos again and again, under other names."""
    names = file.parent / "names"
    names.mkdir(exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        for number in range(count):
            name = names / f"{number:07d}.mp4"
            if not name.is_symlink():
                name.symlink_to(videos[number % len(videos)])
            stream.write(f"{name} {number % classes}\n")
    return file


def scored_list(listed: Path) -> Path:
    """The same without labels."""
    file = listed.with_suffix(".paths.txt")
    file.write_text("".join(f"{line.split()[0]}\n" for line in listed.open(encoding="utf-8")))
    return file


def checkpoint(folder: Path, videos: Sequence[Path], classes: int) -> Path:
    """Of one step of a training with so many classes."""
    listed = write_list(folder / "training.txt", videos, max(classes, MOST), classes)
    few = write_list(folder / "validation.txt", videos, 16, classes)
    name = f"classes_{classes}"
    options = f"data.train={listed}", f"data.val={few}", f"name={name}", f"runs={folder}"
    command(TOOLS / "train.py", "experiment=probe", "data=list", "data.workers=0", "steps=1",
            "clip.frames=8", "clip.stride=1", "clip.crop=40", "clip.short_side=[40,40]",
            "clip.test_crop=40", "clip.test_short_side=40", "test.clips=1", "test.crops=1",
            "context=gc", *options)  # fmt: skip
    return folder / name / "checkpoints" / "best.ckpt"


def tested(network: Path, listed: Path, processes: int) -> dict[str, float]:
    """tools/test.py as one or more processes."""
    given = TOOLS / "test.py", network, "--data", listed, "--device", "cpu", "--workers", "0"
    with tempfile.TemporaryDirectory() as out:
        if processes == 1:
            return command(*given, "--out", out)
        several = "--standalone", f"--nproc-per-node={processes}"
        return command("-m", "torch.distributed.run", *several, *given, "--out", out)


def command(*arguments: Any) -> dict[str, float]:
    """Seconds and peak memory of a Python command. Raises RuntimeError if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, sys.executable, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} failed:\n{done.stderr[-2000:]}")
    taken: dict[str, float] = json.loads(done.stdout)
    return taken


def index_of(listed: Path) -> dict[str, float]:
    """Read a list."""
    began = time.perf_counter()
    read_list(listed)
    return since(began)


def clips_of(listed: Path) -> dict[str, float]:
    """The first clips of an epoch, by one worker."""
    torch.set_num_threads(1)
    index = read_list(listed)
    dataset = TrainingClips(index, CLIP, seed=0, flip=0.0)
    loader = training_loader(dataset, batch_size=8, workers=1)
    batches = iter(loader)
    next(batches)  # the worker has started
    began = time.perf_counter()
    for _ in islice(batches, CLIPS // 8 - 1):
        pass
    return since(began)


def long_clips(file: Path) -> dict[str, float]:
    """The median training clip of one long video."""
    torch.set_num_threads(1)
    dataset = TrainingClips(VideoIndex.build([file], [0], ["any"]), LONG, seed=0, flip=0.0)
    taken = []
    for epoch in range(12):
        began = time.perf_counter()
        dataset[epoch, 0]
        taken.append(time.perf_counter() - began)
    return {**since(began), "seconds": statistics.median(taken)}


def since(began: float) -> dict[str, float]:
    """Seconds, and the peak of this process or its largest worker."""
    seconds = time.perf_counter() - began
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"seconds": seconds, "mib": max(peak_bytes(CPU) / MIB, workers)}


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """The lines of the table."""
    lines, smaller = [], dict[str, Row]()
    for row in sorted(rows, key=lambda row: (row.part, row.axis)):  # sizes stay in order
        growth, what = "", f"{row.part}, {row.axis}"
        if before := smaller.get(what):
            growth = f"{log(row.seconds / before.seconds) / log(row.size / before.size):.2f}"
        smaller[what] = row
        lines.append([what, f"{row.size:,g}", f"{row.seconds:.3g}", growth, f"{row.mib:.0f}"])
    return lines


def plot_rows(rows: Sequence[Row]) -> Figure:
    """Seconds and MiB against each axis."""
    axes_of = list(dict.fromkeys(row.axis for row in rows))
    figure = Figure(figsize=(3.2 * len(axes_of), 5.5), layout="constrained")
    grid = figure.subplots(2, len(axes_of), squeeze=False, sharex="col")
    for column, axis in enumerate(axes_of):
        for part in dict.fromkeys(row.part for row in rows if row.axis == axis):
            mine = [row for row in rows if (row.part, row.axis) == (part, axis)]
            sizes = [row.size for row in mine]
            grid[0, column].loglog(sizes, [row.seconds for row in mine], "o-", label=part)
            grid[1, column].loglog(sizes, [row.mib for row in mine], "o-")
        grid[0, column].legend(fontsize=8)
        grid[1, column].set_xlabel(axis)
        for one in grid[:, column]:
            one.xaxis.set_minor_locator(NullLocator())
            one.grid(True, alpha=0.3)
    grid[0, 0].set_ylabel("seconds")
    grid[1, 0].set_ylabel("peak MiB")
    return figure
