"""`benchmark.py train`: training steps of networks of several sizes, in fp32 and bf16, on a CPU."""

import argparse
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.parts.measurement import (
    CPU,
    DTYPES,
    about_machine,
    add_folder,
    table,
    write_results,
)
from benchmarks.parts.training_step import Trainer
from video_gc.analysis.measure import interleave
from video_gc.cli import in_range
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig
from video_gc.models.counts import complexity
from video_gc.progress import track
from video_gc.train.recipe.precision import LEAST, without_context

CLASSES = 4
TURN = 0.2
"""Seconds during which the steps of a turn are repeated."""
HEADS = ("network", "clips", "multiply-adds a step, M", "without blocks, M", "fp32, ms", "bf16, ms",
         "fp32 / bf16")  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A network and the clips of a training step."""

    model: ModelConfig
    clips: int
    shape: tuple[int, int, int]
    """(T, H, W)"""


@dataclass
class Row:
    """A step and its times."""

    name: str
    clips: str
    multiply_adds: int
    """of the forward pass of all clips"""
    without_blocks: int
    """of these, those that decide what precision=auto takes"""
    seconds: dict[str, list[float]] = field(
        default_factory=lambda: {precision: [] for precision in DTYPES}
    )
    """precision → the median of each round"""

    def cells(self) -> list[str]:
        """A line of the table."""
        fp32, bf16 = (median(self.seconds[precision]) for precision in DTYPES)
        adds = (f"{count / 1e6:,.3g}" if count < 1e7 else f"{count / 1e6:,.0f}"
                for count in (self.multiply_adds, self.without_blocks))  # fmt: skip
        times = (f"{1e3 * seconds:.3g}" for seconds in (fp32, bf16))
        return [self.name, self.clips, *adds, *times, f"{fp32 / bf16:.2f}"]


def resnet(backbone: str, width: float) -> ModelConfig:
    """R50 with five GC blocks."""
    context = ContextConfig(kind="gc")
    return ModelConfig(backbone=backbone, width=width, num_classes=CLASSES, context=context)


def bag(width: float, kind: str = "none", **options: Any) -> ModelConfig:
    """The network of the demo, with blocks after all of res3 and res4."""
    context = ContextConfig(kind=kind, after=["res3.*", "res4.*"], options=options)
    return ModelConfig(
        backbone="bag", depth=14, width=width, num_classes=CLASSES, dropout=0.0, context=context
    )


DEMO = "bag R14 at 1/8 width, GC: the demo"
STEPS = {
    "bag R14 at 1/16 width": Step(bag(1 / 16), 4, (4, 24, 24)),
    "Slow-only R50 at 1/16 width, GC": Step(resnet("slow", 1 / 16), 2, (4, 32, 32)),
    "Slow-only R50 at 1/8 width, GC, short": Step(resnet("slow", 1 / 8), 4, (4, 32, 32)),
    "bag R14 at 1/8 width": Step(bag(1 / 8), 4, (4, 40, 40)),
    "Slow-only R50 at 1/8 width, GC": Step(resnet("slow", 1 / 8), 8, (4, 64, 64)),
    "SlowFast R50 at 1/8 width, GC": Step(resnet("slowfast", 1 / 8), 8, (16, 64, 64)),
    "I3D R50 at 1/8 width, GC": Step(resnet("i3d", 1 / 8), 8, (8, 64, 64)),
    DEMO: Step(bag(1 / 8, "gc", reduction=1), 16, (8, 40, 40)),
    "bag R14 at 1/8 width, NL": Step(bag(1 / 8, "nl"), 16, (8, 40, 40)),
    "I3D R50 at 1/4 width, GC": Step(resnet("i3d", 1 / 4), 8, (8, 64, 64)),
    "Slow-only R50 at half width, GC": Step(resnet("slow", 1 / 2), 2, (8, 112, 112)),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `train`."""
    parser.add_argument("--rounds", type=in_range(int, 1), default=7, help="rounds of each (7)")
    add_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Each network in both precisions, in turns."""
    torch.set_num_threads(1)
    about = about_machine()
    rows = [measure(name, step, options.rounds)
            for name, step in track(STEPS.items(), "Networks", len(STEPS))]  # fmt: skip
    intro = (
        "A training step: forward, backward and AdamW, channels-last, on random clips in memory; "
        "processor time of one thread, median of "
        f"{options.rounds} rounds in which both precisions take turns. Multiply-adds are those of "
        f"the forward pass. `precision=auto` is bf16 from {LEAST // 10**6} M of them without "
        "those of context blocks, on a CPU that multiplies bf16."
    )
    return write_results(
        options.out / "train", about, intro, table(HEADS, [row.cells() for row in rows]),
        {"format": "train-1", "rows": [asdict(row) for row in rows]},
    )  # fmt: skip


def measure(name: str, step: Step, rounds: int) -> Row:
    """Both precisions of one step in turns; the first step of each is not measured."""
    clips = torch.randn(step.clips, 3, *step.shape).contiguous(memory_format=torch.channels_last_3d)
    labels = torch.arange(step.clips) % CLASSES
    network = build_model(step.model).eval()
    frames, _, side = step.shape
    row = Row(
        name,
        f"{step.clips} of {frames}×{side}²",
        step.clips * complexity(network, step.shape).flops,
        step.clips * without_context(network, frames, side),
    )
    trainers = {precision: Trainer(deepcopy(network), CPU, precision) for precision in DTYPES}
    for trainer in trainers.values():
        trainer.step(clips, labels)
    for _, precision in interleave(list(trainers), range(rounds)):
        row.seconds[precision].append(turn(trainers[precision], clips, labels))
    return row


def turn(trainer: Trainer, clips: Tensor, labels: Tensor) -> float:
    """Seconds of the processor for a step, the median of some."""
    times: list[float] = []
    while sum(times) < TURN:
        started = time.process_time()
        trainer.step(clips, labels)
        times.append(time.process_time() - started)
    return median(times)
