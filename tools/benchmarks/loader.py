"""`benchmark.py loader`: the speed of the training loader, with workers and with threads."""

import argparse
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.parts.decode_peers import pyav_from_start
from benchmarks.parts.measurement import (
    Target,
    about_machine,
    add_cache,
    add_folder,
    as_dicts,
    run_interleaved,
    table,
    write_results,
)
from benchmarks.parts.videos import AREA, ASPECT, DENSE, SPARSE, Sample, Video, look_at, made_videos
from video_gc.cli import in_range
from video_gc.data.batches.loader import ThreadLoader, training_loader
from video_gc.data.batches.sampler import EpochSampler
from video_gc.data.crops import random_resized_crop
from video_gc.data.dataset import TrainingClips
from video_gc.data.index import VideoIndex
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig, training_clip

ABOUT = """\
Time epochs of training clips (8×8, random-resized crop to 224) from the training loader (worker
processes and threads, RGB and 4:2:0 planes), and from torch's DataLoader over a data set that
decodes with PyAV from the start and crops with torchvision. All are interleaved, one epoch each.
Workers start before the clock; worker processes of waiting loaders are idle."""
EXAMPLES = """\
examples:
  video-gc benchmark loader
  video-gc benchmark loader a.mp4 b.mp4 --workers 0 1 2 4 --clips 256"""
OURS, THREADS, NAIVE = "training_loader", "threads", "PyAV from the start"
CLIP = ClipConfig(frames=8, stride=8, crop_area=[*AREA])
HEADS = ["", "form", "workers", "clips/s", "batches/s", "× one worker", "bytes per clip"]


@dataclass
class Row:
    """One way to load."""

    name: str
    form: str
    """rgb or yuv"""
    workers: int
    clips_per_second: list[float] = field(default_factory=list)
    """of each round"""
    batch: int = 0
    bytes_per_clip: int = 0

    @property
    def median(self) -> float:
        """Clips per second."""
        return statistics.median(self.clips_per_second)


class NaiveClips(Dataset[Tensor]):
    """Training clips as commonly read, indexed by (epoch, row): (T, 3, H, W)."""

    def __init__(self, videos: Sequence[Video], length: int, seed: int) -> None:
        self.videos, self.length, self.seed = videos, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        video = self.videos[key[1] % len(self.videos)]
        random = np.random.default_rng((self.seed, *key))
        window = training_clip(CLIP, video.part, random)
        box = random_resized_crop(video.size, AREA, ASPECT, random)
        sample = Sample(window[None], [box], CLIP.crop)
        clip: Tensor = pyav_from_start(video, sample).clips[0]
        return clip

    def loader(self, batch: int, workers: int) -> Any:
        """Torch's loader over it, in the same order as ours."""
        sampler = EpochSampler(self.length, self.seed)
        return DataLoader(
            self, batch, sampler=sampler, drop_last=True, num_workers=workers,
            persistent_workers=workers > 0,
        )  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `loader`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO",
                        help="files of the clips, in turn; default: the small ones of "
                        "`decode`")  # fmt: skip
    parser.add_argument("--workers", nargs="+", type=in_range(int, 0), default=[0, 1, 2],
                        help="numbers of workers (0 1 2)")  # fmt: skip
    many = in_range(int, 1)
    parser.add_argument("--batch-size", type=many, default=8, help="clips in a batch (8)")
    parser.add_argument("--clips", type=many, default=96, help="clips in an epoch (96)")
    parser.add_argument("--rounds", type=many, default=5, help="epochs of each loader (5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random clips (0)")
    parser.add_argument("--quick", action="store_true", help="1 epoch of 32 clips")
    add_cache(parser)
    add_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write JSON, Markdown and a plot."""
    torch.set_num_threads(1)
    clips, rounds = (32, 1) if options.quick else (options.clips, options.rounds)
    if clips < options.batch_size:
        raise ValueError(f"--clips ({clips}) must be at least --batch-size ({options.batch_size})")
    paths = options.videos or made_videos(options.cache, (SPARSE, DENSE))
    videos = [look_at(path) for path in paths]
    about = about_machine()
    rows = measure(videos, clips, rounds, options)
    intro = (
        f"Medians of {rounds} interleaved epochs of {clips} clips, batches: {options.batch_size}; "
        f"videos: {', '.join(video.path.name for video in videos)}."
    )
    return write_results(
        options.out / "loader", about, intro, table(HEADS, _cells(rows)),
        {"format": "loader-1", "rows": as_dicts(rows)}, loader_targets(rows), plot_rows(rows),
    )  # fmt: skip


def measure(
    videos: Sequence[Video], clips: int, rounds: int, options: argparse.Namespace
) -> list[Row]:
    """Every way, an epoch to warm up and `rounds` to time, interleaved."""
    batch, seed = options.batch_size, options.seed
    paths = [videos[row % len(videos)].path.absolute() for row in range(clips)]
    index = VideoIndex.build(paths, [0] * clips, ["any"])
    loaders: list[tuple[Row, Any]] = []
    for form in ("rgb", "yuv"):
        dataset = TrainingClips(index, CLIP, seed=seed, flip=0.5, decoding=Decoding(transfer=form))
        for number in options.workers:
            loader: Any = training_loader(dataset, batch_size=batch, workers=number)
            loaders.append((Row(OURS, form, number), loader))
        for number in filter(None, options.workers):
            sampler = EpochSampler(clips, seed)
            loader = ThreadLoader(dataset, sampler, batch_size=batch, threads=number)
            loaders.append((Row(THREADS, form, number), loader))
    for number in options.workers:
        naive = NaiveClips(videos, clips, seed)
        loaders.append((Row(NAIVE, "rgb", number), naive.loader(batch, number)))
    calls = {number: partial(_epoch, loader) for number, (_, loader) in enumerate(loaders)}
    rows = [row for row, _ in loaders]
    for epoch, number, (last,), seconds in run_interleaved(calls, range(rounds + 1), "Epochs"):
        row = rows[number]
        if epoch:  # the first one starts the workers
            row.clips_per_second.append(clips // batch * batch / seconds)
        else:
            tensor = getattr(last, "clips", last)
            row.batch = len(tensor)
            row.bytes_per_clip = tensor[0].nelement() * tensor.element_size()
    return rows


def loader_targets(rows: Sequence[Row]) -> list[Target]:
    """Two of our workers compared with one."""
    speed = {(row.name, row.form, row.workers): row.median for row in rows}
    return [
        Target(f"two workers against one, {form}", speed[two] / speed[one], 1.8, at_least=True)
        for form in ("rgb", "yuv")
        if (one := (OURS, form, 1)) in speed and (two := (OURS, form, 2)) in speed
    ]


def plot_rows(rows: Sequence[Row]) -> Figure:
    """Clips per second against workers."""
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, form in dict.fromkeys((row.name, row.form) for row in rows):
        mine = [row for row in rows if (row.name, row.form) == (name, form)]
        line = [row.workers for row in mine], [row.median for row in mine]
        axes.plot(*line, "o-", label=f"{name}, {form}")
    axes.set_xlabel("workers or threads")
    axes.set_ylabel("clips per second")
    axes.set_xticks(sorted({row.workers for row in rows}))
    axes.set_ylim(0)
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _epoch(loader: Any, number: int) -> deque[Any]:
    """The last batch of an epoch."""
    loader.sampler.set_epoch(number)
    batches: Iterable[Any] = iter(loader)
    return deque(batches, maxlen=1)


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    one = {(row.name, row.form): row.median for row in rows if row.workers == 1}
    return [
        [
            row.name, row.form, str(row.workers), f"{row.median:.1f}",
            f"{row.median / row.batch:.2f}",
            f"{row.median / base:.2f}" if (base := one.get((row.name, row.form))) else "",
            f"{row.bytes_per_clip:,}",
        ]
        for row in rows
    ]  # fmt: skip
