"""`benchmark.py train`: steps of training, from files to new weights."""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.loader import NaiveClips
from benchmarks.measurement import need_at_least_one
from benchmarks.network_timing import (
    PLAIN,
    Row,
    Setting,
    Sized,
    Spent,
    Work,
    add_network_arguments,
    add_peaks,
    faster,
    plain_input,
    report,
    setting_of,
    time_rows,
)
from benchmarks.videos import DENSE, SPARSE, look_at, made_videos
from video_gc.data.batches.loader import training_loader
from video_gc.data.dataset import TrainingClips
from video_gc.data.index import VideoIndex
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.train.recipe.bf16_on_cpu import SoundBf16

ABOUT = """\
Time steps of training (forward, backward, SGD with momentum) on clips from files: ours in fp32 and
in bf16, from the training loader, and pytorchvideo's network in a plain loop: contiguous, eager,
fp32, behind torch's DataLoader over a data set that decodes with PyAV from the start. All in turns,
on the CPU. Waiting is the time until the next batch is there; each turn begins with steps that are
not clocked, two for each worker, which use up what was decoded in the turns of the others."""
EXAMPLES = """\
examples:
  python tools/benchmark.py train
  python tools/benchmark.py train --batch-size 8 --workers 2
  python tools/benchmark.py train --backbone i3d --width 0.125 --frames 12 --side 64"""
AHEAD = 2
"""Batches that torch's DataLoader makes ahead of time, for each worker."""
Batches = Iterator[tuple[Tensor, Tensor]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `train`."""
    add_network_arguments(parser, side=224, rounds=5)
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("--batch-size", type=int, default=Sized(4, 2), help="clips in a step (4)")
    parser.add_argument("--steps", type=int, default=Sized(2, 1), help="in a round (2)")
    parser.add_argument("--workers", type=int, default=1, help="decoding processes (1)")


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    setting = setting_of(options)
    need_at_least_one(options, "batch_size", "steps")
    paths = made_videos(options.cache, (SPARSE, DENSE))
    given = (paths, options.batch_size, options.steps, options.workers)
    rows = [Row(PLAIN, "fp32"), *(Row(f"video_gc, {one}", one) for one in ("fp32", "bf16"))]
    works = {row.name: training(row, setting, *given) for row in rows}
    time_rows(rows, works, options.rounds, "Steps")
    del works
    add_peaks(rows, training, setting, *given)
    targets = faster(rows, rows[-1].name, 1.5, "a training step, bf16")
    about = (f"{setting}, steps of {options.batch_size} clips of {setting.frames} frames at "
             f"{setting.side}², {options.workers} workers; medians of {options.rounds} rounds of "
             f"{options.steps} steps in turns. A step counts as three forward "
             "passes.")  # fmt: skip
    return report("train", {"one process": rows}, 3 * setting.flops(), targets, options, about)


def training(
    row: Row, setting: Setting, paths: Sequence[Path], batch: int, steps: int, workers: int
) -> Work:
    """A round of `steps` steps, of the plain loop or of ours; its loader's workers are its own."""
    if row.name == PLAIN:
        model, batches = setting.plain(), plain_batches(setting, paths, batch, workers)
    else:
        model = setting.ours().to(memory_format=torch.channels_last_3d)
        batches = our_batches(setting, paths, batch, workers)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    mode = SoundBf16 if row.precision == "bf16" else nullcontext
    step = partial(_steps, model.train(), batches, optimiser, mode)
    return partial(_round, step, steps, AHEAD * workers)


def our_batches(setting: Setting, paths: Sequence[Path], batch: int, workers: int) -> Batches:
    """From the training loader, without end."""
    videos = [Path(paths[row % len(paths)]).absolute() for row in range(64 * batch)]
    index = VideoIndex.build(videos, [0] * len(videos), ["any"])
    clips = TrainingClips(index, setting.clip, seed=0, flip=0.5)
    loader: Any = training_loader(clips, batch_size=batch, workers=workers)
    for epoch in count():
        loader.sampler.set_epoch(epoch)
        for found in loader:
            ready = prepare_clips(found.clips, Normalisation(), found.flips)
            yield ready, torch.as_tensor(found.labels)


def plain_batches(setting: Setting, paths: Sequence[Path], batch: int, workers: int) -> Batches:
    """As it is commonly done, without end."""
    naive = NaiveClips([look_at(Path(path)) for path in paths], 64 * batch, 0, setting.clip)
    loader = naive.loader(batch, workers)
    for epoch in count():
        loader.sampler.set_epoch(epoch)
        for clips in loader:
            yield torch.cat([plain_input(clip) for clip in clips]), torch.zeros(batch).long()


def _round(step: Callable[[int], Spent], steps: int, ahead: int) -> Spent:
    """ahead: batches that wait since the turns of the others; as many steps are not clocked."""
    began = time.perf_counter()
    step(ahead)
    unclocked = time.perf_counter() - began
    return replace(step(steps), unclocked=unclocked)


def _steps(
    model: nn.Module,
    batches: Batches,
    optimiser: torch.optim.Optimizer,
    mode: Callable[[], AbstractContextManager[Any]],
    steps: int,
) -> Spent:
    waited = spent = 0.0
    clips = 0
    for _ in range(steps):
        began = time.perf_counter()
        inputs, labels = next(batches)
        ready = time.perf_counter()
        optimiser.zero_grad()
        with mode():
            with torch.autocast("cpu", torch.bfloat16, enabled=mode is SoundBf16):
                loss = F.cross_entropy(model(inputs).float(), labels)
            loss.backward()
        optimiser.step()
        waited += ready - began
        spent += time.perf_counter() - ready
        clips += len(inputs)
    return Spent(clips, spent, waited)
