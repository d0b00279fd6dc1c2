"""`benchmark.py networks`: what context blocks add to the time of Slow-only R50."""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import nn

from benchmarks.parts.measurement import (
    DTYPES,
    Target,
    about_machine,
    add_folder,
    table,
    write_results,
)
from video_gc.analysis.cost.latency import Clock, build_work
from video_gc.analysis.measure import interleave
from video_gc.cli import in_range
from video_gc.data.sampling import ClipConfig
from video_gc.deploy.device import pick_device
from video_gc.deploy.inference_network import has_bf16
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig
from video_gc.models.counts import count_modules
from video_gc.progress import track

CONTEXTS = {
    "none": ContextConfig(),
    "gc": ContextConfig(kind="gc"),
    "gc, all 13": ContextConfig(kind="gc", after=["all"]),
    "snl": ContextConfig(kind="snl"),
    "se": ContextConfig(kind="se"),
    "cc": ContextConfig(kind="cc"),
    "nl, dot product": ContextConfig(kind="nl", options={"pairwise": "dot_product"}),
    "nl": ContextConfig(kind="nl"),
    "dnl": ContextConfig(kind="dnl"),
}
"""Row → its blocks, five unless the name says otherwise; the first is that without blocks."""
CLIP = ClipConfig(frames=8, test_crop=224, test_short_side=224)
HEADS = ("blocks", "rounds", "median", "multiply-adds", "against none [95 %]", "in the blocks")
HEAVY, SELDOM = 0.1, 5
"""Blocks with more than this part of the network's multiply-adds are measured in one round of so
many: they differ by far more than the noise."""


@dataclass
class Row:
    """A network and its times."""

    added: float
    """multiply-adds of the context blocks, as a part of those of the network without"""
    seconds: list[float] = field(default_factory=list)
    difference: list[float] = field(default_factory=list)
    """to the network without blocks in the same round, as a part of its time"""
    inside: list[float] = field(default_factory=list)
    """time in the context blocks, as a part of the rest of the same call"""

    def cells(self, name: str) -> list[str]:
        """A line of the table."""
        cells = [name, str(len(self.seconds)), f"{1e3 * median(self.seconds):.0f} ms"]
        if not self.difference:
            return [*cells, "", "", ""]
        against = f"{100 * median(self.difference):+.2f} %"
        if len(self.difference) > 1:
            low, high = (100 * end for end in interval(self.difference))
            against += f" [{low:+.2f}, {high:+.2f}]"
        return [*cells, f"{100 * self.added:.2f} %", against, f"{100 * median(self.inside):.2f} %"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `networks`."""
    parser.add_argument(
        "--rounds",
        type=in_range(int, 2),
        default=60,
        help=f"rounds of each network; with NL or CC one in {SELDOM} (60)",
    )
    add_folder(parser)
    parser.add_argument("--device", help="cpu or cuda; default: cuda if available")


def run(options: argparse.Namespace) -> int:
    """One clip of 8×224² through each network, in turns."""
    device = pick_device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    about = about_machine(device)
    networks = {
        name: ModelConfig(backbone="slow", num_classes=400, context=context)
        for name, context in CONTEXTS.items()
    }
    measured: dict[str, dict[str, Row]] = {}
    lines: list[str] = []
    for precision, dtype in DTYPES.items():
        if precision == "bf16" and not has_bf16(device):
            continue
        rows = measured[precision] = measure(networks, CLIP, device, options.rounds, dtype)
        cells = [row.cells(name) for name, row in rows.items()]
        lines += [*([""] if lines else []), f"**{precision}**", "", *table(HEADS, cells)]
    clock = "processor time of one thread" if device.type == "cpu" else "time on the GPU"
    intro = (
        f"Slow-only R50, one clip of {CLIP.frames}×{CLIP.test_crop}², channels-last, norms not "
        f"folded; {clock}, in turns. Five blocks of each kind unless a row says otherwise. "
        "“Against none” is the median of the differences within a round, with a 95 % interval "
        "(bootstrap over rounds). “In the blocks” is the time spent within the context blocks of a "
        "call, as a part of the rest: less noise, without what they push out of the caches."
    )
    results = {
        precision: {name: vars(row) for name, row in rows.items()}
        for precision, rows in measured.items()
    }
    return write_results(options.out / "networks", about, intro, lines, results,
                         targets(measured["fp32"]))  # fmt: skip


def measure(
    networks: Mapping[str, ModelConfig], clip: ClipConfig, device: torch.device, rounds: int,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Row]:  # fmt: skip
    """Each network in turns; the first is that without blocks, and takes part in every round."""
    calls: dict[str, Callable[[], tuple[float, float]]] = {}
    rows: dict[str, Row] = {}
    flops = 0
    for name, config in networks.items():
        work = build_work(config, clip, batch=1, device=device, train=False)
        counted = count_modules(work.network, work.clips).flops.total()
        flops = flops or counted
        rows[name] = Row(counted / flops - 1)
        blocks = [block for where, block in work.network.named_modules()
                  if where.endswith(".context")]  # fmt: skip
        call = partial(work.network.to(dtype), work.clips.to(dtype))
        calls[name] = _timed(torch.inference_mode()(call), blocks, device)
        calls[name]()  # the first call is slow
    base = next(iter(rows))
    heavy = {name for name, row in rows.items() if row.added > HEAVY}
    for number in track(range(rounds), "Rounds", rounds):
        names = [name for name in rows if name not in heavy or number % SELDOM == 0]
        seconds = {}
        for _, name in interleave(names, [number]):
            seconds[name], inside = calls[name]()
            rows[name].inside.append(inside / (seconds[name] - inside))
        for name, spent in seconds.items():
            rows[name].seconds.append(spent)
            if name != base:
                rows[name].difference.append(spent / seconds[base] - 1)
    return rows


def _timed(
    call: Callable[[], object], blocks: Iterable[nn.Module], device: torch.device
) -> Callable[[], tuple[float, float]]:
    """Seconds of a call, and those within `blocks`; on a CPU of the processor."""
    clock = Clock(device)
    mark = time.thread_time if device.type == "cpu" else clock.mark  # one thread computes
    marks: list[Any] = []
    for block in blocks:
        block.register_forward_pre_hook(lambda _block, _given: marks.append(mark()))
        block.register_forward_hook(lambda _block, _given, _out: marks.append(mark()))

    def timed() -> tuple[float, float]:
        marks.clear()
        started = mark()
        call()
        ended = mark()
        if device.type != "cpu":
            torch.cuda.synchronize(device)
        parts = zip(marks[::2], marks[1::2], strict=True)
        return clock.between(started, ended), sum(clock.between(a, b) for a, b in parts)

    return timed


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Of their median, 95 %; of two at least."""
    found = bootstrap((np.array(differences),), np.median, method="percentile", rng=0)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def targets(rows: Mapping[str, Row]) -> list[Target]:
    """The limits of the overhead, in per cent, and of CC's as a multiple of its products' share."""
    five, every, cc = (rows[name] for name in ("gc", "gc, all 13", "cc"))
    return [
        Target("five GC blocks, % of the time", 100 * median(five.difference), 0.5),
        Target("13 GC blocks, % of the time", 100 * median(every.difference), 2.0),
        Target("five CC blocks: added time / added multiply-adds",
               median(cc.difference) / cc.added, 1.5),
    ]  # fmt: skip
