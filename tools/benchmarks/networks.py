"""`benchmark.py networks`: latency of Slow-only R50 with five blocks of each kind."""

import argparse
from functools import partial
from statistics import median

from benchmarks.measurement import about_machine, add_folder, table, write_results
from video_gc.analysis.cost.latency import build_work, time_interleaved
from video_gc.cli import in_range
from video_gc.data.sampling import ClipConfig
from video_gc.deploy.device import pick_device
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig
from video_gc.progress import track

KINDS = ("none", "gc", "snl", "se", "cc", "nl", "dnl")
CLIP = ClipConfig(frames=8, test_crop=224, test_short_side=224)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `networks`."""
    parser.add_argument("--rounds", type=in_range(int, 1), default=20,
                        help="rounds of each network (20)")  # fmt: skip
    add_folder(parser)
    parser.add_argument("--device", help="cpu or cuda; default: cuda if available")


def run(options: argparse.Namespace) -> int:
    """Latency of one 8×224² clip, with the networks interleaved."""
    device = pick_device(options.device)
    make = {}
    for kind in KINDS:
        model = ModelConfig(backbone="slow", num_classes=400, context=ContextConfig(kind=kind))
        make[kind] = partial(build_work, model, CLIP, batch=1, device=device, train=False)
    about = about_machine(device)
    times = time_interleaved(make, device, track(range(options.rounds), "Rounds", options.rounds))
    body = []
    for kind, seconds in times.items():
        own = [t / base - 1 for t, base in zip(seconds, times["none"], strict=True)]
        against = "" if kind == "none" else f"{100 * median(own):+.1f} %"
        body.append([kind, f"{1e3 * median(seconds):.0f} ms", against])
    intro = (
        f"Slow-only R50, one clip of 8×224², channels-last, {options.rounds} interleaved rounds; "
        "the difference is the median of the differences within a round."
    )
    lines = table(["five blocks of", "median", "against none"], body)
    return write_results(options.out / "networks", about, intro, lines, {"seconds": times})
