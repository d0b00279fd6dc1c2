"""`benchmark.py blocks`: time and memory of each context block, also against P."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from math import prod
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.parts.block_kinds import BLOCKS
from benchmarks.parts.block_targets import targets
from benchmarks.parts.measurement import (
    LAYOUTS,
    about_machine,
    add_folder,
    in_new_process,
    table,
    write_results,
)
from video_gc.analysis.measure import MIB, measure
from video_gc.atomic import write_text
from video_gc.deploy.device import pick_device
from video_gc.progress import say, track

SIZES = {  # channels, T, H, W: the papers' feature maps for clips of 8 and 32 frames at 224²
    "res3-8": (512, 8, 28, 28),
    "res4-8": (1024, 8, 14, 14),
    "res3-32": (512, 32, 28, 28),
    "res4-32": (1024, 32, 14, 14),
}
GROWTH = [(256, 8 * k, 7 * k, 7 * k) for k in (1, 2, 3, 4, 6, 8)]
GROWING = (
    "gc", "snl", "se", "cc", "nl, dot product", "nl, concatenation", "nl, time", "nl, space",
    "nl", "dnl", "nl, literal",
)  # fmt: skip
MARKERS = "os^v"
"""Of the lines, in turn: matplotlib has ten colours."""
LITERAL = "nl, literal"
"""Is measured only as far as its memory reaches."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `blocks`."""
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="all")
    parser.add_argument(
        "--blocks",
        nargs="+",
        choices=BLOCKS,
        default=list(BLOCKS),
        metavar="BLOCK",
        help="all; one of " + "; ".join(BLOCKS),
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="time for repeating a fast measurement (1)"
    )
    parser.add_argument("--no-growth", action="store_true", help="skip the plot against P")
    add_folder(parser)
    parser.add_argument("--device", help="cpu or cuda; default: cuda if available")


def run(options: argparse.Namespace) -> int:
    """Every block, size, layout and mode, each in its own process."""
    device = pick_device(options.device)
    growing = [] if options.no_growth else [b for b in GROWING if b in options.blocks]
    first = next(iter(LAYOUTS))
    cases = [
        {"block": block, "shape": SIZES[size], "size": size, "layout": layout, "training": training}
        for size in options.sizes
        for block in options.blocks
        for layout in LAYOUTS
        for training in (False, True)
    ] + [
        {"block": block, "shape": shape, "size": "growth", "layout": first, "training": False}
        for block in growing
        for shape in GROWTH
        if block != LITERAL or _literal_bytes(shape) < _memory(device)
    ]
    about = about_machine(device)
    for number, case in enumerate(track(cases, "Measuring", len(cases)), start=1):
        given = [case[name] for name in ("block", "shape", "layout", "training")]
        case |= in_new_process(block_cost, *given, str(device), options.seconds)
        kept = {"machine": about, "cases": cases[:number]}  # a stopped run keeps its results
        write_text(options.out / "blocks.json", json.dumps(kept, indent=1))
    intro = (
        "Forward in eval mode without gradients, and forward and backward in training mode, batch "
        "size 1, fp32; time is the median of repeated calls (the second call if one takes more "
        "than 3 s, the first if more than 12 s), memory the peak beyond the input and the weights."
    )
    lines = [line for size in options.sizes for line in _table(size, cases)]
    figure = None
    if growing:
        figure, slopes = plot_growth(cases, growing)
        lines += growth_table(cases, slopes)
    file = options.out / "blocks"
    met = targets(cases) if device.type == "cpu" else []
    write_results(file, about, intro, lines, {"cases": cases}, met, figure)
    failed = sum("error" in case for case in cases)
    if failed:
        say(f"{failed} measurements failed; the reasons are in blocks.json", style="red")
    return int(failed > 0)


def _literal_bytes(shape: Sequence[int]) -> int:
    """Of the scores and the weights of `LITERAL`, P×P each, in fp32."""
    return 2 * 4 * prod(shape[1:]) ** 2


def _memory(device: torch.device) -> int:
    """Bytes of the device, of which some are taken."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def block_cost(
    block: str, shape: Sequence[int], layout: str, training: bool, device: str, seconds: float
) -> dict[str, Any]:
    """Time and memory of one block on one feature map (C, T, H, W)."""
    torch.manual_seed(0)
    where = torch.device(device)
    module = BLOCKS[block](shape[0]).to(where).train(training)

    def features(*size: int) -> Tensor:
        x = torch.randn(1, *size, device=where).contiguous(memory_format=LAYOUTS[layout])
        return x.requires_grad_(training)

    def call(x: Tensor) -> object:
        with torch.set_grad_enabled(training):
            out = module(x)
        return out.sum().backward() if training else out

    x = features(*shape)
    call(x if "compile" in block else features(shape[0], 2, 2, 2))  # load libraries, compile
    return asdict(measure(lambda: call(x), where, seconds))


def _table(size: str, cases: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: a line per block; forward and training, in both layouts."""
    channels, *positions = SIZES[size]
    shown = [(training, layout) for training in (False, True) for layout in LAYOUTS]
    heads = [f"{'training' if training else 'forward'}, {layout}" for training, layout in shown]
    cells = {
        (case["block"], case["training"], case["layout"]): "failed" if "error" in case
        else f"{1e3 * case['seconds']:,.3g} ms, {case['peak_mib']:,.0f} MiB"
        for case in cases if case["size"] == size
    }  # fmt: skip
    blocks = dict.fromkeys(block for block, _, _ in cells)
    return [
        f"**{size}**: C = {channels}, {'×'.join(map(str, positions))}, P = {prod(positions):,}", "",
        *table(["block", *heads], [[b, *(cells[b, *one] for one in shown)] for b in blocks]), "",
    ]  # fmt: skip


def plot_growth(
    cases: Sequence[dict[str, Any]], blocks: Sequence[str]
) -> tuple[Figure, dict[str, dict[str, float]]]:
    """Time and memory against P at T:H:W = 8:7:7; the slopes over the three largest P of each."""
    slopes: dict[str, dict[str, float]] = {"seconds": {}, "peak_mib": {}}
    figure = Figure(figsize=(12, 6), layout="constrained")
    for axes, key, label in zip(
        figure.subplots(1, 2),
        ("seconds", "peak_mib"),
        ("forward, s", "peak memory, MiB"),
        strict=True,
    ):
        for number, block in enumerate(blocks):
            mine = [c for c in cases if (c["size"], c["block"]) == ("growth", block) and key in c]
            counts = np.array([prod(case["shape"][1:]) for case in mine])
            values = np.maximum([case[key] for case in mine], 1e-6)
            if len(mine) > 2:
                slope = np.polyfit(np.log(counts[-3:]), np.log(values[-3:]), 1)[0]
                slopes[key][block] = round(float(slope), 2)
                style = f"{MARKERS[number % len(MARKERS)]}-"
                axes.loglog(counts, values, style, label=f"{block}: P^{slope:.2f}")
        axes.set_xlabel("positions P (T:H:W = 8:7:7, C = 256)")
        axes.set_ylabel(label)
        axes.grid(True, which="both", alpha=0.3)
        axes.legend(fontsize=8)
    return figure, slopes


def growth_table(cases: Sequence[dict[str, Any]], slopes: dict[str, dict[str, float]]) -> list[str]:
    """Markdown: the largest P of each block, its cost there, and the slopes."""
    rows = []
    for block, slope in slopes["seconds"].items():
        done = [c for c in cases if (c["size"], c["block"]) == ("growth", block) and "seconds" in c]
        rows.append([
            block, f"{prod(done[-1]['shape'][1:]):,}", f"{done[-1]['seconds']:,.3g} s",
            f"{done[-1]['peak_mib']:,.0f} MiB", f"{slope:.2f}",
            f"{slopes['peak_mib'][block]:.2f}",
        ])  # fmt: skip
    shapes = ", ".join("×".join(map(str, shape[1:])) for shape in GROWTH)
    heads = ["block", "largest P", "time there", "memory there", "slope of time", "of memory"]
    lines = [f"**Growth**: C = {GROWTH[0][0]}, {shapes}; forward, contiguous. Slopes: of the "
             "logarithms, over the three largest P.", "", *table(heads, rows)]  # fmt: skip
    reached = sum((c["size"], c["block"]) == ("growth", LITERAL) for c in cases)
    if 0 < reached < len(GROWTH):
        count, needed = prod(GROWTH[reached][1:]), _literal_bytes(GROWTH[reached]) / MIB / 1024
        lines += ["", f"`{LITERAL}` ends there: at P = {count:,} its scores and weights, P×P each, "
                  f"take {needed:.0f} GiB."]  # fmt: skip
    return lines
