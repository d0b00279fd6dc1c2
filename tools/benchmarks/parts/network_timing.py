"""Shared parts of test and predict: the network, rows of figures, the machine's limit."""

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.parts.measurement import (
    CPU,
    Target,
    about_machine,
    add_cache,
    add_folder,
    as_dicts,
    in_new_process,
    product_rates,
    run_interleaved,
    table,
    write_results,
)
from video_gc.analysis.measure import MIB, peak_bytes
from video_gc.backbones import BACKBONES, build_backbone
from video_gc.cli import in_range
from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.models.counts import complexity

PLAIN = "plain loop"
"""pytorchvideo's own network, contiguous, in fp32: a user's first attempt."""
CLASSES = 400
HEADS = ["", "clips/s", "× plain", "videos/s", "model, s/clip", "waiting for data", "of the limit",
         "peak, MiB"]  # fmt: skip


@dataclass(frozen=True)
class Sized:
    """The default of an option: normally, and with --quick."""

    usual: Any
    quick: Any


@dataclass(frozen=True)
class Setting:
    """The network and its clips."""

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
        """Of the test."""
        return ClipConfig(
            frames=self.frames, stride=self.stride, test_crop=self.side, test_short_side=self.side
        )

    def config(self) -> ModelConfig:
        """Config of the network with five GC."""
        return ModelConfig(
            backbone=self.backbone, width=self.width, num_classes=CLASSES,
            context=ContextConfig(kind="gc"),
        )  # fmt: skip

    def plain(self) -> nn.Module:
        """pytorchvideo's network, which has no context blocks."""
        torch.manual_seed(0)
        return build_backbone(self.backbone, num_classes=CLASSES, width=self.width)

    def ours(self) -> nn.Module:
        """With five GC, and with norms calibrated on clips, so that errors are meaningful."""
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
        """FLOPs of one clip forward, a multiply-add as two."""
        return 2.0 * complexity(self.ours(), self.shape).flops

    def __str__(self) -> str:
        return f"{self.backbone} R50 × {self.width:g} with five GC"


@dataclass
class Row:
    """One way to do the work, with a figure per round."""

    name: str
    precision: str
    seconds: list[float] = field(default_factory=list)
    """all work of a round"""
    model: list[float] = field(default_factory=list)
    """its part in the network"""
    waiting: list[float] = field(default_factory=list)
    """its part spent waiting for data"""
    clips: int = 0
    """in a round"""
    videos: int = 0
    peak_mib: float | None = None
    error: str | None = None
    note: str = ""

    @property
    def rate(self) -> float:
        """Clips per second, median."""
        return self.clips / median(self.seconds)


@dataclass
class Spent:
    """The time of a round in seconds; the rest is neither model nor waiting."""

    clips: int
    model: float
    waiting: float = 0.0
    videos: int = 0


Work = Callable[[], Spent]


class Clocked:
    """A network that adds up the times of its calls."""

    def __init__(self, network: Callable[[Tensor], Tensor]) -> None:
        self.network, self.seconds = network, 0.0

    def __call__(self, clips: Tensor) -> Tensor:
        """(N, 3, T, H, W) → logits, without gradients."""
        began = time.perf_counter()
        with torch.no_grad():
            logits = self.network(clips)
        self.seconds += time.perf_counter() - began
        return logits


def add_network_arguments(parser: argparse.ArgumentParser, *, side: int, rounds: int) -> None:
    """Options of test and predict."""
    many = in_range(int, 1)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--backbone", choices=BACKBONES, default="slow", metavar="NAME",
                        help="backbone of depth 50, with five GC (slow)")  # fmt: skip
    parser.add_argument("--width", type=float, default=Sized(1.0, 0.125),
                        help="factor for the channels (1)")  # fmt: skip
    parser.add_argument("--frames", type=many, default=Sized(8, 4), help="frames in a clip (8)")
    parser.add_argument("--stride", type=many, default=8, help="distance of its frames (8)")
    parser.add_argument("--side", type=many, default=Sized(side, 64),
                        help=f"height and width of a clip, in pixels ({side})")  # fmt: skip
    parser.add_argument("--rounds", type=many, default=Sized(rounds, 1),
                        help=f"rounds of each ({rounds})")  # fmt: skip
    parser.add_argument("--threads", type=many, help="threads of torch; default: the cores")
    parser.add_argument("--quick", action="store_true",
                        help="a quick test: 1 round of a small network and clip, unless their "
                        "sizes are given")  # fmt: skip
    add_cache(parser)
    add_folder(parser)


def setting_of(options: argparse.Namespace) -> Setting:
    """The setting from `add_network_arguments`.

    Replaces the sizes that were not given by numbers.
    """
    for name, value in vars(options).items():
        if isinstance(value, Sized):
            setattr(options, name, value.quick if options.quick else value.usual)
    options.threads = options.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(options.threads)
    return Setting(options.backbone, options.width, options.frames, options.stride, options.side)


def time_rows(rows: Sequence[Row], works: Mapping[str, Work], rounds: int, title: str) -> None:
    """A round of each to warm up, then `rounds`, interleaved."""
    by_name = {row.name: row for row in rows if not row.error}
    calls = {name: _without_sample(works[name]) for name in by_name}
    for number, name, spent, seconds in run_interleaved(calls, range(rounds + 1), title):
        row = by_name[name]
        if number:
            row.seconds.append(seconds)
            row.model.append(spent.model)
            row.waiting.append(spent.waiting)
        row.clips, row.videos = spent.clips, spent.videos


def add_peaks(
    rows: Sequence[Row], make: Callable[..., Work], setting: Setting, *given: Any
) -> None:
    """Peak memory of a process that does a round of one row alone.

    make: of a module; `make(row, setting, *given)` returns the work.
    """
    for row in rows:
        if not row.error:
            threads = torch.get_num_threads()
            done = in_new_process(_peak, threads, make, row, setting, *given)
            row.peak_mib = done.get("peak_mib")
            row.note = done.get("error", row.note)


def plain_input(clip: Any) -> Tensor:
    """uint8 (T, 3, H, W) → normalised (1, 3, T, H, W), contiguous."""
    frames = torch.as_tensor(np.asarray(clip)).permute(0, 2, 3, 1)[None]
    return prepare_clips(frames, Normalisation()).contiguous()


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
    machine = about_machine() | {"threads": str(torch.get_num_threads())}
    limits = (f"{rate / 1e9:.0f} GFLOP/s in {name} ({rate / flops:.2f} clips/s)"
              for name, rate in rates.items())  # fmt: skip
    intro = (
        f"{about}\n\nLimit: {flops / 1e9:.2f} GFLOP a clip; matrix products run at "
        f"{', '.join(limits)}."
    )
    lines = []
    for title, rows in tables.items():
        cells = [_cells(row, rows, flops, rates) for row in rows]
        lines += ["", f"**{title}**", "", *table(HEADS, cells), ""]
        lines += [f"- {row.name}: {row.note}" for row in rows if row.note]
    results = {
        "format": f"{what}-1", "flops": flops, "rates": rates,
        "options": {name: str(value) for name, value in vars(options).items()},
        "tables": {title: as_dicts(rows) for title, rows in tables.items()},
    }  # fmt: skip
    return write_results(options.out / what, machine, intro, lines, results, targets)


def faster(rows: Sequence[Row], name: str, limit: float, what: str) -> list[Target]:
    """Speed of a row relative to the plain loop."""
    rates = {row.name: row.rate for row in rows if row.seconds}
    if name not in rates or PLAIN not in rates:
        return []
    return [Target(f"{what}, times as fast as the plain loop", rates[name] / rates[PLAIN], limit,
                   at_least=True)]  # fmt: skip


def _without_sample(work: Work) -> Callable[[int], Spent]:
    return lambda _number: work()


def _peak(threads: int, make: Callable[..., Work], *given: Any) -> dict[str, Any]:
    """Peak memory of this process after a round, in MiB."""
    torch.set_num_threads(threads)
    make(*given)()
    return {"peak_mib": peak_bytes(CPU) / MIB}


def _cells(row: Row, rows: Sequence[Row], flops: float, rates: Mapping[str, float]) -> list[str]:
    if not row.seconds:
        return [row.name, row.error or "not measured", *[""] * (len(HEADS) - 2)]
    plain = next((r.rate for r in rows if r.name == PLAIN and r.seconds), None)
    total = median(row.seconds)
    return [
        row.name,
        f"{row.rate:.3g}",
        f"{row.rate / plain:.2f}" if plain else "",
        f"{row.videos / total:.3g}" if row.videos else "",
        f"{median(row.model) / row.clips:.3g}",
        f"{median(row.waiting) / total:.0%}" if any(row.waiting) else "",
        f"{row.rate * flops / rates[row.precision]:.0%}" if row.precision in rates else "",
        f"{row.peak_mib:,.0f}" if row.peak_mib else "",
    ]
