"""`benchmark.py networks`: latency of Slow-only R50 with five blocks of each kind."""

import argparse
import statistics
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.measurement import (
    add_folder,
    interleave,
    machine_line,
    need_at_least_one,
    table,
    write_results,
)
from video_gc.analysis.measure import machine, wait
from video_gc.deploy.device import pick_device
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig

KINDS = ("none", "gc", "snl", "se", "cc", "nl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `networks`."""
    parser.add_argument("--rounds", type=int, default=20, help="turns of each network (20)")
    add_folder(parser)
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")


def run(options: argparse.Namespace) -> int:
    """Latency of one 8×224² clip, the networks in turns."""
    need_at_least_one(options, "rounds")
    device, layout = pick_device(options.device), torch.channels_last_3d
    clip = torch.randn(1, 3, 8, 224, 224, device=device).contiguous(memory_format=layout)
    calls = {}
    for kind in KINDS:
        torch.manual_seed(0)
        config = ModelConfig(backbone="slow", num_classes=400, context=ContextConfig(kind=kind))
        model = build_model(config).eval().to(device).to(memory_format=layout)
        calls[kind] = partial(_forward, model)
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number, kind, _, seconds in interleave(calls, [clip] * (options.rounds + 1), "Rounds"):
        if number:  # the first one warms up
            times[kind].append(seconds)
    body = []
    for kind in KINDS:
        own = [t / base - 1 for t, base in zip(times[kind], times["none"], strict=True)]
        against = "" if kind == "none" else f"{100 * statistics.median(own):+.1f} %"
        body.append([kind, f"{1e3 * statistics.median(times[kind]):.0f} ms", against])
    about = machine(device)
    lines = [
        f"Slow-only R50, one clip of 8×224², channels-last, {options.rounds} rounds in turns; the "
        "difference is the median of the differences within a round.",
        *machine_line(about),
        *table(["five blocks of", "median", "against none"], body),
    ]
    return write_results(options, "networks", lines, {"machine": about, "seconds": times})


def _forward(model: nn.Module, clip: Tensor) -> None:
    with torch.inference_mode():
        model(clip)
        wait(clip.device)
