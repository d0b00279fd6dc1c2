"""`benchmark.py blocks`: time and memory of each context block at the papers' sizes."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from torch import Tensor, nn

from benchmarks.measurement import (
    about_machine,
    add_folder,
    in_new_process,
    table,
    write_results,
)
from video_gc.analysis.measure import measure
from video_gc.atomic import write_text
from video_gc.blocks import build_block
from video_gc.deploy.device import pick_device
from video_gc.progress import say, track


class LiteralNonLocal(nn.Module):
    """The formula as written: all P×P weights, a softmax, a product."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta, self.phi, self.g = (nn.Conv3d(channels, inner, 1) for _ in range(3))
        self.z, self.norm = nn.Conv3d(inner, channels, 1), nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) → the same shape."""
        q, k, v = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))  # (N, d, P)
        weights = (q.transpose(1, 2) @ k * q.shape[1] ** -0.5).softmax(2)  # (N, P, P)
        mean = (weights @ v.transpose(1, 2)).transpose(1, 2).reshape(*q.shape[:2], *x.shape[2:])
        return x + self.norm(self.z(mean))


class LiteralGlobalContext(nn.Module):
    """The formula as written, with 1×1×1 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 4
        self.key = nn.Conv3d(channels, 1, 1, bias=False)
        self.transform = nn.Sequential(
            nn.Conv3d(channels, hidden, 1),
            nn.LayerNorm([hidden, 1, 1, 1]),
            nn.ReLU(),
            nn.Conv3d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) → the same shape."""
        weights = self.key(x).flatten(2).softmax(2)  # (N, 1, P)
        context = x.flatten(2) @ weights.transpose(1, 2)  # (N, C, 1)
        return x + self.transform(context[..., None, None])


class ReadAndWrite(nn.Module):
    """`x.sum()` and `x + 1`: the cost of reading a feature map, and of reading and writing it."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) → the same shape."""
        return x + (1 + 0 * x.sum())


def _compiled(kind: str, channels: int) -> nn.Module:
    return torch.compile(build_block(kind, channels), fullgraph=True)  # type: ignore[return-value]


def _pytorchvideo(channels: int) -> nn.Module:
    return create_nonlocal(dim_in=channels, dim_inner=channels // 2, instantiation="softmax")


BLOCKS: dict[str, Callable[[int], nn.Module]] = {
    "x.sum() and x + 1": lambda _channels: ReadAndWrite(),
    "gc": partial(build_block, "gc"),
    "gc, torch.compile": partial(_compiled, "gc"),
    "gc, literal": LiteralGlobalContext,
    "snl": partial(build_block, "snl"),
    "se": partial(build_block, "se"),
    "cc": partial(build_block, "cc"),
    "dnl": partial(build_block, "dnl"),
    "nl": partial(build_block, "nl"),
    "nl, pool 1×2×2": partial(build_block, "nl", pool=[1, 2, 2]),
    "nl, space": partial(build_block, "nl", span="space"),
    "nl, time": partial(build_block, "nl", span="time"),
    "nl, dot product": partial(build_block, "nl", pairwise="dot_product"),
    "nl, concatenation": partial(build_block, "nl", pairwise="concatenation"),
    "nl, gaussian": partial(build_block, "nl", pairwise="gaussian"),
    "nl, literal": LiteralNonLocal,
    "nl, pytorchvideo": _pytorchvideo,
}

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
        "--seconds", type=float, default=1.0, help="time for repeating a fast measurement (1)"
    )
    parser.add_argument("--no-growth", action="store_true", help="skip the plot against P")
    add_folder(parser)
    parser.add_argument("--device", help="cpu or cuda; default: cuda if available")


def run(options: argparse.Namespace) -> int:
    """Every block, size, layout and mode, each in its own process."""
    device = pick_device(options.device)
    growing = [] if options.no_growth else [b for b in GROWING if b in options.blocks]
    cases = [
        {"block": block, "shape": SIZES[size], "size": size, "layout": layout, "training": training}
        for size in options.sizes
        for block in options.blocks
        for layout in LAYOUTS
        for training in (False, True)
    ] + [
        {"block": block, "shape": shape, "size": "growth", "layout": LAYOUTS[0], "training": False}
        for block in growing
        for shape in GROWTH
    ]
    about = about_machine(device)
    for number, case in enumerate(track(cases, "Measuring", len(cases)), start=1):
        given = [case[name] for name in ("block", "shape", "layout", "training")]
        case |= in_new_process(block_cost, *given, str(device), options.seconds)
        kept = {"machine": about, "cases": cases[:number]}  # a stopped run keeps its results
        write_text(options.out / "blocks.json", json.dumps(kept, indent=1))
    intro = (
        "Forward in eval mode without gradients, and forward and backward in training mode, batch "
        "size 1, fp32; time is a median, memory the peak beyond the input and the weights."
    )
    lines = [line for size in options.sizes for line in _table(size, cases)]
    figure = None
    if growing:
        figure, slopes = plot_growth(cases, growing)
        lines += ["Slopes over the three largest P at T:H:W = 2:7:7, C = 256 (time; memory):", ""]
        lines += [
            f"- {b}: {s:.2f}; {slopes['peak_mib'][b]:.2f}" for b, s in slopes["seconds"].items()
        ]
    file = options.out / "blocks"
    write_results(file, about, intro, lines, {"cases": cases}, figure=figure)
    failed = sum("error" in case for case in cases)
    if failed:
        say(f"{failed} measurements failed; the reasons are in blocks.json", style="red")
    return int(failed > 0)


def block_cost(
    block: str, shape: Sequence[int], layout: str, training: bool, device: str, seconds: float
) -> dict[str, Any]:
    """Time and memory of one block on one feature map (C, T, H, W)."""
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
    return figure, slopes
