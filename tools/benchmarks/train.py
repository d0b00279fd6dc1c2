"""`benchmark.py train`: steps of training, from files to new weights."""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.loader import NaiveClips
from benchmarks.predict import plain_input
from benchmarks.videos import DENSE, SPARSE, look_at, made_videos
from benchmarks.whole import (
    PLAIN,
    Row,
    Setting,
    Sized,
    Spent,
    Work,
    add_network_arguments,
    add_peaks,
    faster,
    in_turns,
    peak,
    report,
    setting_of,
)
from video_gc.data.batches.loader import training_loader
from video_gc.data.batches.order import EpochSampler
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
OURS = {"fp32": "video_gc, fp32", "bf16": "video_gc, bf16"}
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
    for name in ("batch_size", "steps"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1")
    paths = made_videos(options.cache, (SPARSE, DENSE))
    given = {"batch": options.batch_size, "steps": options.steps, "workers": options.workers}
    rows = [Row(PLAIN, "fp32"), *(Row(name, precision) for precision, name in OURS.items())]
    works = {row.name: training(row.name, setting, paths, **given) for row in rows}
    in_turns(rows, works, options.rounds, "Steps")
    del works
    add_peaks(rows, peak_of_training, setting, paths=paths, **given)
    targets = faster(rows, OURS["bf16"], 1.5, "a training step, bf16")
    about = (f"{options.backbone} R50 × {options.width:g} with five GC, steps of "
             f"{options.batch_size} clips of {setting.frames} frames at {setting.side}², "
             f"{options.workers} workers; medians of {options.rounds} rounds of {options.steps} "
             "steps in turns. A step counts as three forward passes.")  # fmt: skip
    return report("train", {"one process": rows}, 3 * setting.flops(), targets, options, about)


def training(
    name: str, setting: Setting, paths: Sequence[Path], *, batch: int, steps: int, workers: int
) -> Work:
    """A round of `steps` steps, of the plain loop or of ours."""
    if name == PLAIN:
        model, batches = setting.plain(), plain_batches(setting, paths, batch, workers)
    else:
        model = setting.ours().to(memory_format=torch.channels_last_3d)
        batches = our_batches(setting, paths, batch, workers)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    return partial(
        _steps, model.train(), batches, optimiser, steps, nullcontext if name != OURS["bf16"]
        else _bf16, AHEAD * workers,
    )  # fmt: skip


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
    sampler = EpochSampler(len(naive), 0)
    loader: Any = DataLoader(
        naive, batch, sampler=sampler, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0,
    )  # fmt: skip
    for epoch in count():
        sampler.set_epoch(epoch)
        for clips in loader:
            yield torch.cat([plain_input(clip) for clip in clips]), torch.zeros(batch).long()


def peak_of_training(
    name: str, setting: Setting, threads: int, paths: Sequence[Path], **given: int
) -> dict[str, Any]:
    """Memory of a process that does nothing else; its loader's workers not counted."""
    torch.set_num_threads(threads)
    training(name, setting, paths, **given)()
    return peak()


def _bf16() -> Any:
    return SoundBf16()


def _steps(
    model: nn.Module,
    batches: Batches,
    optimiser: torch.optim.Optimizer,
    steps: int,
    mode: Callable[[], Any],
    ahead: int = 0,
) -> Spent:
    """ahead: batches that wait since the turns of the others; as many steps are not clocked."""
    if ahead:
        began = time.perf_counter()
        _steps(model, batches, optimiser, ahead, mode)
        unclocked = time.perf_counter() - began
        return replace(_steps(model, batches, optimiser, steps, mode), unclocked=unclocked)
    waited = spent = 0.0
    clips = 0
    for _ in range(steps):
        began = time.perf_counter()
        inputs, labels = next(batches)
        ready = time.perf_counter()
        waited += ready - began
        optimiser.zero_grad()
        with mode():
            with torch.autocast("cpu", torch.bfloat16, enabled=mode is _bf16):
                loss = F.cross_entropy(model(inputs).float(), labels)
            loss.backward()
        optimiser.step()
        spent += time.perf_counter() - ready
        clips += len(inputs)
    return Spent(clips, spent, waited)
