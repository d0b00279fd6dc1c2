"""`benchmark.py blocks`: time and memory of each context block at the papers' sizes."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.apart import apart
from benchmarks.formulas import BLOCKS
from benchmarks.report import finish
from video_gc.analysis.measure import Cost, machine, measure
from video_gc.atomic import atomic_path, write_text
from video_gc.deploy.device import pick_device
from video_gc.progress import console, track

SIZES = {  # channels, T, H, W: the papers' feature maps for clips of 8 and 32 frames at 224²
    "res3-8": (512, 8, 28, 28),
    "res4-8": (1024, 8, 14, 14),
    "res3-32": (512, 32, 28, 28),
    "res4-32": (1024, 32, 14, 14),
}
GROWTH = [(256, 2 * k, 7 * k, 7 * k) for k in (1, 2, 3, 4, 5, 6)]
LAYOUTS = ("contiguous", "channels-last")
GROWING = ("gc", "cc", "nl, dot product", "nl, concatenation", "nl", "nl, literal")


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
        "--seconds", type=float, default=1.0, help="to repeat a quick measurement for (1)"
    )
    parser.add_argument("--no-growth", action="store_true", help="leave the plot against P out")


def run(options: argparse.Namespace) -> int:
    """Every block, size, layout and mode, each in a process of its own."""
    device = pick_device(options.device)
    cases = [
        {"block": block, "shape": SIZES[size], "size": size, "layout": layout, "training": training}
        for size in options.sizes
        for block in options.blocks
        for layout in LAYOUTS
        for training in (False, True)
    ]
    growing = [block for block in GROWING if block in options.blocks]
    if not options.no_growth:
        cases += [
            {
                "block": block,
                "shape": shape,
                "size": "growth",
                "layout": LAYOUTS[0],
                "training": False,
            }
            for block in growing
            for shape in GROWTH
        ]
    about = machine(device)
    results = options.out / "blocks.json"
    for number, case in enumerate(track(cases, "Measuring", len(cases)), start=1):
        given = {name: value for name, value in case.items() if name != "size"}
        given |= {"device": str(device), "seconds": options.seconds}
        # compilers end in their own time
        case |= apart(block_cost, 5 if "compile" in case["block"] else 0, **given)
        write_text(results, json.dumps({"machine": about, "cases": cases[:number]}, indent=1))
    failed = sum("error" in case for case in cases)
    lines = [
        "Forward in eval mode without gradients, and forward and backward in training mode, batch "
        "size 1, fp32; time is a median, memory the peak beyond the input and the weights.",
        "",
        " · ".join(f"{name} {value}" for name, value in about.items()),
        "",
        *(line for size in options.sizes for line in _table(size, cases)),
    ]
    folder = options.out
    files = [results]
    if not options.no_growth and growing:
        files.append(folder / "blocks.png")
        slopes = plot_growth(cases, growing, files[-1])
        lines += ["Slopes over the three largest P at T:H:W = 2:7:7, C = 256 (time; memory):", ""]
        lines += [
            f"- {b}: {s:.2f}; {slopes['peak_mib'][b]:.2f}" for b, s in slopes["seconds"].items()
        ]
        lines.append("")
    files.append(write_text(folder / "blocks.md", "\n".join(lines)))
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    return finish(files, failed)


def block_cost(**case: Any) -> dict[str, Any]:
    """`measure_block`, as a dictionary."""
    return asdict(measure_block(**case))


def measure_block(
    block: str, shape: Sequence[int], layout: str, training: bool, device: str, seconds: float
) -> Cost:
    """One block on one feature map (C, T, H, W)."""
    torch.manual_seed(0)
    where = torch.device(device)
    module = BLOCKS[block](shape[0]).to(where).train(training)
    memory = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last_3d}

    def features(*size: int) -> Tensor:
        x = torch.randn(1, *size, device=where).contiguous(memory_format=memory[layout])
        return x.requires_grad_(training)

    def call(x: Tensor) -> object:
        with torch.set_grad_enabled(training):
            out = module(x)
        return out.sum().backward() if training else out

    x = features(*shape)
    call(x if "compile" in block else features(shape[0], 2, 2, 2))  # libraries, and compilation
    return measure(lambda: call(x), where, seconds)


def _table(size: str, cases: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: a line a block; forward and training, in both layouts."""
    mine = [case for case in cases if case["size"] == size]
    channels, *positions = SIZES[size]
    shown = [(training, layout) for training in (False, True) for layout in LAYOUTS]
    heads = [f"{'training' if training else 'forward'}, {layout}" for training, layout in shown]
    title = f"**{size}**: C = {channels}, {'×'.join(map(str, positions))}, P = {prod(positions):,}"
    lines = [title, "", f"| block | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for block in dict.fromkeys(case["block"] for case in mine):
        cells = []
        for training, layout in shown:
            case = next(
                c for c in mine
                if (c["block"], c["training"], c["layout"]) == (block, training, layout)
            )  # fmt: skip
            cells.append(
                "failed" if "error" in case
                else f"{1e3 * case['seconds']:,.3g} ms, {case['peak_mib']:,.0f} MiB"
            )  # fmt: skip
        lines.append(f"| {block} | {' | '.join(cells)} |")
    return [*lines, ""]


def plot_growth(
    cases: Sequence[dict[str, Any]], blocks: Sequence[str], path: Path
) -> dict[str, dict[str, float]]:
    """Time and memory against P at T:H:W = 2:7:7; the slopes over the three largest P of each."""
    slopes: dict[str, dict[str, float]] = {"seconds": {}, "peak_mib": {}}
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, key, label in zip(
        figure.subplots(1, 2),
        ("seconds", "peak_mib"),
        ("forward, s", "peak memory, MiB"),
        strict=True,
    ):
        for block in blocks:
            mine = [c for c in cases if (c["size"], c["block"]) == ("growth", block) and key in c]
            counts = np.array([prod(case["shape"][1:]) for case in mine])
            values = np.maximum([case[key] for case in mine], 1e-6)
            if len(mine) > 2:
                slope = np.polyfit(np.log(counts[-3:]), np.log(values[-3:]), 1)[0]
                slopes[key][block] = round(float(slope), 2)
                axes.loglog(counts, values, "o-", label=f"{block}: P^{slope:.2f}")
        axes.set_xlabel("positions P (T:H:W = 2:7:7, C = 256)")
        axes.set_ylabel(label)
        axes.grid(True, which="both", alpha=0.3)
        axes.legend(fontsize=8)
    with atomic_path(path) as part:
        figure.savefig(part, dpi=120)
    return slopes
