"""Whole networks on the clock: which network, rows of figures in turns, and the machine's limit."""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.apart import apart
from benchmarks.decode import add_outputs
from benchmarks.machine import about_machine
from benchmarks.report import finish, markdown_table, show_table, show_targets, target_lines
from benchmarks.targets import Target
from video_gc.analysis.cost import complexity
from video_gc.analysis.measure import MIB, peak_bytes
from video_gc.atomic import write_text
from video_gc.backbones import BACKBONES, build_backbone
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.progress import progress_bar

PLAIN = "plain loop"
"""pytorchvideo's own network, contiguous, in fp32: what a user would write first."""
CLASSES = 400
HEADS = ["clips/s", "× plain", "videos/s", "model, s/clip", "waiting for data", "of the limit",
         "peak, MiB"]  # fmt: skip


@dataclass(frozen=True)
class Sized:
    """The default of an option: as it is, and with --quick."""

    usual: Any
    quick: Any


@dataclass(frozen=True)
class Setting:
    """Which network, on which clips."""

    backbone: str
    width: float
    frames: int
    stride: int
    side: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        return self.frames, self.side, self.side

    @property
    def clip(self) -> ClipConfig:
        """The same clips for training and testing."""
        return ClipConfig(
            frames=self.frames, stride=self.stride, crop=self.side, crop_area=[0.08, 1.0],
            test_crop=self.side, test_short_side=self.side,
        )  # fmt: skip

    def config(self) -> ModelConfig:
        """Of the network with five GC."""
        return ModelConfig(
            backbone=self.backbone, width=self.width, num_classes=CLASSES,
            context=ContextConfig(kind="gc"),
        )  # fmt: skip

    def plain(self) -> nn.Module:
        """pytorchvideo's network, which has no context blocks."""
        torch.manual_seed(0)
        return build_backbone(self.backbone, num_classes=CLASSES, width=self.width)

    def ours(self) -> nn.Module:
        """With five GC, and norms that have seen clips, so that errors mean something."""
        torch.manual_seed(0)
        model = build_model(self.config())
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
                module.momentum = None
        with torch.no_grad():
            model.train()(torch.randn(2, 3, *self.shape))
        return model.eval()

    def flops(self) -> float:
        """Of one clip forward, a multiply-add as two."""
        return 2.0 * complexity(self.ours(), self.shape).flops


@dataclass
class Row:
    """One way to do the work; a figure a round."""

    name: str
    precision: str
    seconds: list[float] = field(default_factory=list)
    """of all the work of a round"""
    model: list[float] = field(default_factory=list)
    """of it in the network"""
    waiting: list[float] = field(default_factory=list)
    """of it until data came"""
    clips: int = 0
    """in a round"""
    videos: int = 0
    peak_mib: float | None = None
    error: str | None = None
    note: str = ""

    @property
    def rate(self) -> float:
        """Clips per second, median."""
        return self.clips / statistics.median(self.seconds)


@dataclass
class Spent:
    """What a round cost, in seconds; what is neither model nor waiting is the rest."""

    clips: int
    model: float
    waiting: float = 0.0
    videos: int = 0
    unclocked: float = 0.0
    """before the work began"""


Work = Callable[[], Spent]


def add_network_arguments(parser: argparse.ArgumentParser, *, side: int, rounds: int) -> None:
    """Options that train, test and predict share."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--backbone", choices=BACKBONES, default="slow", metavar="NAME",
                        help="of depth 50, with five GC (slow)")  # fmt: skip
    parser.add_argument("--width", type=float, default=Sized(1.0, 0.125),
                        help="factor on the channels (1)")  # fmt: skip
    parser.add_argument("--frames", type=int, default=Sized(8, 4), help="in a clip (8)")
    parser.add_argument("--stride", type=int, default=8, help="frames from one to the next (8)")
    parser.add_argument("--side", type=int, default=Sized(side, 64),
                        help=f"of a clip, in pixels ({side})")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=Sized(rounds, 1),
                        help=f"turns of each ({rounds})")  # fmt: skip
    parser.add_argument("--threads", type=int, help="of torch; default: the cores")
    parser.add_argument("--quick", action="store_true",
                        help="1 round of a small network and clip, where their sizes are not "
                        "given: does it work?")  # fmt: skip
    add_outputs(parser)


def setting_of(options: argparse.Namespace) -> Setting:
    """What `add_network_arguments` asked for. Raises ValueError for a number below 1.

    Puts a number in the place of each size that was not given.
    """
    for name, value in vars(options).items():
        if isinstance(value, Sized):
            setattr(options, name, value.quick if options.quick else value.usual)
    options.threads = options.threads or len(os.sched_getaffinity(0))
    for name in ("frames", "stride", "side", "rounds", "threads"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} ({getattr(options, name)}) must be at least 1")
    torch.set_num_threads(options.threads)
    return Setting(options.backbone, options.width, options.frames, options.stride, options.side)


def in_turns(rows: Sequence[Row], works: Mapping[str, Work], rounds: int, title: str) -> list[Row]:
    """A round of each to warm up, then `rounds` in turns, the order moving on by one."""
    names = [row.name for row in rows if not row.error]
    by_name = {row.name: row for row in rows}
    with progress_bar() as progress:
        task = progress.add_task(title, total=(rounds + 1) * len(names))
        for number in range(rounds + 1):
            at = number % max(len(names), 1)
            for name in names[at:] + names[:at]:
                started = time.perf_counter()
                spent = works[name]()
                seconds = time.perf_counter() - started - spent.unclocked
                row = by_name[name]
                if number:
                    row.seconds.append(seconds)
                    row.model.append(spent.model)
                    row.waiting.append(spent.waiting)
                row.clips, row.videos = spent.clips, spent.videos
                progress.advance(task)
    return list(rows)


def add_peaks(
    rows: Sequence[Row], call: Callable[..., dict[str, Any]], setting: Setting, **given: Any
) -> None:
    """The most memory of a process that does a round of one row alone.

    call: of a module; takes name, setting, threads and `given`, does the round, and returns
        `peak()`.
    """
    threads = torch.get_num_threads()
    for row in rows:
        if not row.error:
            done = apart(call, 5, name=row.name, setting=setting, threads=threads, **given)
            row.peak_mib = done.get("peak_mib")
            row.note = done.get("error", row.note)


def peak() -> dict[str, Any]:
    """The most that this process has held, in MiB."""
    return {"peak_mib": peak_bytes(torch.device("cpu")) / MIB}


def product_rates() -> dict[str, float]:
    """FLOPs per second of torch's matrix product on this machine, the best of some: the limit."""
    rates = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        best = 0.0
        for size in (1024, 2048):
            one, two = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
            for _ in range(6):
                started = time.perf_counter()
                one @ two
                best = max(best, 2 * size**3 / (time.perf_counter() - started))
        rates[name] = best
    return rates


def report(
    what: str,
    tables: Mapping[str, Sequence[Row]],
    flops: float,
    targets: Sequence[Target],
    options: argparse.Namespace,
    about: str,
) -> int:
    """Print, and write JSON and Markdown. flops: of one clip's work."""
    rates = product_rates()
    machine = about_machine()
    machine["threads"] = str(torch.get_num_threads())
    lines = [
        about, "", " · ".join(f"{name} {value}" for name, value in machine.items()), "",
        f"Limit: {flops / 1e9:.2f} GFLOP a clip; matrix products run at "
        + ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {name} ({rate / flops:.2f} clips/s)"
                    for name, rate in rates.items()) + ".",
        "", *target_lines(targets), "",
    ]  # fmt: skip
    for title, rows in tables.items():
        heads, cells = ["", *HEADS], [_cells(row, rows, flops, rates) for row in rows]
        show_table(title, heads, cells)
        lines += [f"**{title}**", "", *markdown_table(heads, cells), ""]
        lines += [f"- {row.name}: {row.note}" for row in rows if row.note] + [""]
    show_targets(targets)
    results = {
        "format": f"{what}-1", "machine": machine, "flops": flops, "rates": rates,
        "options": {name: str(value) for name, value in vars(options).items()},
        "tables": {title: [asdict(row) for row in rows] for title, rows in tables.items()},
        "targets": [asdict(target) for target in targets],
    }  # fmt: skip
    text = "\n".join(lines)
    files: list[Path] = [write_text(options.out / f"{what}.json", json.dumps(results, indent=1)),
                         write_text(options.out / f"{what}.md", text)]  # fmt: skip
    if options.markdown:
        files.append(write_text(options.markdown, text))
    return finish(files, 0)


def faster(rows: Sequence[Row], name: str, limit: float, what: str) -> list[Target]:
    """How many times as fast as the plain loop a row is."""
    rates = {row.name: row.rate for row in rows if row.seconds}
    if name not in rates or PLAIN not in rates:
        return []
    return [Target(f"{what}, times as fast as the plain loop", rates[name] / rates[PLAIN], limit,
                   at_least=True)]  # fmt: skip


def _cells(row: Row, rows: Sequence[Row], flops: float, rates: Mapping[str, float]) -> list[str]:
    if not row.seconds:
        return [row.name, row.error or "not measured", *[""] * (len(HEADS) - 1)]
    plain = next((r.rate for r in rows if r.name == PLAIN and r.seconds), None)
    total = statistics.median(row.seconds)
    return [
        row.name,
        f"{row.rate:.3g}",
        f"{row.rate / plain:.2f}" if plain else "",
        f"{row.videos / total:.3g}" if row.videos else "",
        f"{statistics.median(row.model) / row.clips:.3g}",
        f"{statistics.median(row.waiting) / total:.0%}" if any(row.waiting) else "",
        f"{row.rate * flops / rates[row.precision]:.0%}",
        f"{row.peak_mib:,.0f}" if row.peak_mib else "",
    ]
