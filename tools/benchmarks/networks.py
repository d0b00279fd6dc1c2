"""`benchmark.py networks`: latency of Slow-only R50 with five blocks of each kind."""

import argparse
import json
import statistics
import time

import torch

from benchmarks.report import finish
from video_gc.analysis.measure import machine, wait
from video_gc.atomic import write_text
from video_gc.deploy.device import pick_device
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.progress import console, track


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `networks`."""
    parser.add_argument("--rounds", type=int, default=20, help="turns of each network (20)")


def run(options: argparse.Namespace) -> int:
    """Latency of one 8×224² clip, the networks in turns so that a slow moment hits all alike."""
    device = pick_device(options.device)
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
    return finish(files, 0)
