"""Measure time and memory beside the peers, in one run on this machine.

Writes a table (Markdown), JSON with machine and versions, and a plot.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from math import prod
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks import decode, loader
from matplotlib.figure import Figure
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from torch import Tensor, nn

from video_gc.analysis.measure import Cost, machine, measure, wait
from video_gc.atomic import atomic_path, write_text
from video_gc.blocks import build_block
from video_gc.cli import Parser, run_tool
from video_gc.engine.device import pick_device
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.progress import console, say, track

SIZES = {  # channels, T, H, W: the papers' feature maps for clips of 8 and 32 frames at 224²
    "res3-8": (512, 8, 28, 28),
    "res4-8": (1024, 8, 14, 14),
    "res3-32": (512, 32, 28, 28),
    "res4-32": (1024, 32, 14, 14),
}
GROWTH = [(256, 2 * k, 7 * k, 7 * k) for k in (1, 2, 3, 4, 5, 6)]
LAYOUTS = ("contiguous", "channels-last")
PRELOAD = [
    "matplotlib.figure",
    "pytorchvideo.layers.nonlocal_net",
    "video_gc.cli",
    "video_gc.models.build",
]
LIMIT = 900  # seconds for one measurement


class LiteralNonLocal(nn.Module):
    """The formula as it is written: all P×P weights, a softmax, a product."""

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
    """The formula as it is written, with 1×1×1 convolutions."""

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
    """`x.sum()` and `x + 1`: reading a feature map, and reading and writing it once."""

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
GROWING = ("gc", "cc", "nl, dot product", "nl, concatenation", "nl", "nl, literal")


def main() -> int:
    """Parse, measure, write."""
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples: python tools/benchmark.py blocks --sizes res4-8 --blocks gc nl\n"
        "          python tools/benchmark.py decode --quick",
    )
    names = "blocks | networks | decode | loader"
    what = parser.add_subparsers(dest="what", metavar=names, required=True)
    blocks = what.add_parser(
        "blocks", help="each context block at the papers' sizes, in both memory layouts"
    )
    blocks.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="all")
    blocks.add_argument(
        "--blocks",
        nargs="+",
        choices=BLOCKS,
        default=list(BLOCKS),
        metavar="BLOCK",
        help="all; one of " + "; ".join(BLOCKS),
    )
    blocks.add_argument(
        "--seconds", type=float, default=1.0, help="to repeat a quick measurement for (1)"
    )
    blocks.add_argument("--no-growth", action="store_true", help="leave the plot against P out")
    networks = what.add_parser(
        "networks", help="latency of Slow-only R50 with five blocks of each kind, in turns"
    )
    networks.add_argument("--rounds", type=int, default=20, help="turns of each network (20)")
    for each in (blocks, networks):
        each.add_argument(
            "--out",
            type=Path,
            default=Path("runs/benchmark"),
            help="folder of the results (runs/benchmark)",
        )
        each.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    decode.add_arguments(what.add_parser("decode", help="clips from files, beside the peers"))
    loader.add_arguments(what.add_parser("loader", help="clips per second of the training loader"))
    options = parser.parse_args()
    if options.what in ("decode", "loader"):
        status: int = (decode if options.what == "decode" else loader).run(options)
        return status
    device = pick_device(options.device)
    run = run_blocks if options.what == "blocks" else run_networks
    return run(options, device)


def run_blocks(options: argparse.Namespace, device: torch.device) -> int:
    """Every block, size, layout and mode, each in a process of its own."""
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
        case |= _in_its_own_process(case, device, options.seconds)
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
    return _finish(files, failed)


def _finish(files: Sequence[Path], failed: int) -> int:
    if failed:
        say(f"{failed} measurements failed; the reasons are in {files[0]}", style="red")
    for file in files:
        say(f"  {file}")
    return int(failed > 0)


def _in_its_own_process(
    case: dict[str, Any], device: torch.device, seconds: float
) -> dict[str, Any]:
    """A fresh process, forked from one that has imported everything and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    receive, send = context.Pipe(duplex=False)
    given = {name: value for name, value in case.items() if name != "size"}
    given |= {"device": str(device), "seconds": seconds}
    process = context.Process(target=_send_cost, args=(send, given))
    process.start()
    send.close()
    try:
        if not receive.poll(LIMIT):
            return {"error": f"took more than {LIMIT} s"}
        answer: dict[str, Any] = receive.recv()
        return answer
    except EOFError:
        return {"error": "the process died, for want of memory perhaps"}
    finally:
        if "compile" in case["block"]:
            process.join(5)  # its compilers end in their own time
        process.kill()
        process.join()


def _send_cost(send: Connection, case: dict[str, Any]) -> None:
    try:
        send.send(asdict(measure_block(**case)))
    except Exception as error:  # whatever a block raises is a line of the results
        send.send({"error": str(error).splitlines()[0]})


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


def run_networks(options: argparse.Namespace, device: torch.device) -> int:
    """Latency of one 8×224² clip, the networks in turns so that a slow moment hits all alike."""
    kinds = ("none", "gc", "snl", "se", "cc", "nl")
    clip = torch.randn(1, 3, 8, 224, 224, device=device)
    clip = clip.contiguous(memory_format=torch.channels_last_3d)
    models = {}
    for kind in kinds:
        torch.manual_seed(0)
        config = ModelConfig(backbone="slow", num_classes=400, context=ContextConfig(kind=kind))
        model = build_model(config).eval().to(device)
        models[kind] = model.to(memory_format=torch.channels_last_3d)
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    with torch.inference_mode():
        for number in track(range(options.rounds + 1), "Rounds", options.rounds + 1):
            for kind in kinds:
                started = time.perf_counter()
                models[kind](clip)
                wait(device)
                if number:  # the first one warms up
                    times[kind].append(time.perf_counter() - started)
    about = machine(device)
    lines = [
        f"Slow-only R50, one clip of 8×224², channels-last, {options.rounds} rounds in turns; the "
        "difference is the median of the differences within a round.",
        "",
        " · ".join(f"{name} {value}" for name, value in about.items()),
        "",
        "| five blocks of | median | against none |",
        "|---|---|---|",
    ]
    for kind in kinds:
        own = [(t - base) / base for t, base in zip(times[kind], times["none"], strict=True)]
        against = "" if kind == "none" else f"{100 * statistics.median(own):+.1f} %"
        lines.append(f"| {kind} | {1e3 * statistics.median(times[kind]):.0f} ms | {against} |")
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    folder = options.out
    content = json.dumps({"machine": about, "seconds": times}, indent=1)
    files = [
        write_text(folder / "networks.json", content),
        write_text(folder / "networks.md", "\n".join([*lines, ""])),
    ]
    return _finish(files, 0)


if __name__ == "__main__":
    run_tool(main)
