"""`benchmark.py loader`: what the training loader delivers, with workers and with threads."""

import argparse
import json
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.decode import add_outputs
from benchmarks.machine import about_machine
from benchmarks.peers import pyav_from_start
from benchmarks.report import markdown_table, show_table, show_targets, target_lines
from benchmarks.samples import Sample
from benchmarks.targets import Target, loader_target
from benchmarks.videos import DENSE, SPARSE, Video, look_at, made_videos
from video_gc.atomic import atomic_path, write_text
from video_gc.data.batches.loader import ThreadLoader, training_loader
from video_gc.data.batches.order import EpochSampler
from video_gc.data.crops import random_resized_crop
from video_gc.data.dataset import TrainingClips
from video_gc.data.index import VideoIndex
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig, Part, training_clip
from video_gc.progress import progress_bar, say

ABOUT = """\
Time epochs of training clips (8×8, random-resized crop to 224) from the loader of training: worker
processes and threads, RGB and 4:2:0 planes, beside torch's DataLoader over a data set that decodes
with PyAV from the start and crops with torchvision. All take turns, an epoch each. Workers are
running before the clock does; worker processes of those that wait are idle."""
EXAMPLES = """\
examples:
  python tools/benchmark.py loader
  python tools/benchmark.py loader a.mp4 b.mp4 --workers 0 1 2 4 --clips 256"""
OURS, THREADS, NAIVE = "training_loader", "threads", "PyAV from the start"
HEADS = ["clips/s", "batches/s", "× one worker", "bytes per clip"]
FORMAT = "loader-1"


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
    """Training clips as they are commonly read, indexed by (epoch, row): (T, 3, H, W)."""

    def __init__(
        self, videos: list[Video], length: int, seed: int, clip: ClipConfig | None = None
    ) -> None:
        self.videos, self.length, self.seed = videos, length, seed
        self.clip = clip or ClipConfig(frames=8, stride=8, crop_area=[0.08, 1.0])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        video = self.videos[key[1] % len(self.videos)]
        random = np.random.default_rng((self.seed, *key))
        window = training_clip(self.clip, Part(0, video.frames, video.rate), random)
        box = random_resized_crop(video.size, (0.08, 1.0), (3 / 4, 4 / 3), random)
        sample = Sample(window[None], [box], self.clip.crop)
        clip: Tensor = pyav_from_start(video, sample).clips[0]
        return clip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `loader`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO",
                        help="files that the clips are of, in turn; default: the small ones of "
                        "`decode`")  # fmt: skip
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2], help="(0 1 2)")
    parser.add_argument("--batch-size", type=int, default=8, help="clips in a batch (8)")
    parser.add_argument("--clips", type=int, default=96, help="in an epoch (96)")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each (5)")
    parser.add_argument("--seed", type=int, default=0, help="of the random clips (0)")
    parser.add_argument("--quick", action="store_true", help="1 epoch of 32 clips")
    add_outputs(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write JSON, Markdown and a plot."""
    torch.set_num_threads(1)
    clips, rounds = (32, 1) if options.quick else (options.clips, options.rounds)
    if clips < options.batch_size:
        raise ValueError(f"--clips ({clips}) must be at least --batch-size ({options.batch_size})")
    if min(options.workers) < 0:
        raise ValueError(f"--workers ({min(options.workers)}) must be at least 0")
    paths = options.videos or made_videos(options.cache, (SPARSE, DENSE))
    videos = [look_at(path) for path in paths]
    about = about_machine()
    rows = measure(videos, clips, rounds, options.batch_size, options.workers, options.seed)
    targets = loader_targets(rows)
    heads, lines = _table(rows)
    show_table("Training clips, 8×8 at 224", heads, lines)
    show_targets(targets)
    text = "\n".join([
        f"Medians of {rounds} epochs of {clips} clips in turns, batches of {options.batch_size}; "
        f"videos: {', '.join(video.path.name for video in videos)}.",
        "", " · ".join(f"{name} {value}" for name, value in about.items()), "",
        *target_lines(targets), "", *markdown_table(heads, lines), "",
    ])  # fmt: skip
    results = {"format": FORMAT, "machine": about, "rows": [asdict(row) for row in rows],
               "targets": [asdict(target) for target in targets]}  # fmt: skip
    files = [
        write_text(options.out / "loader.json", json.dumps(results, indent=1)),
        write_text(options.out / "loader.md", text),
        plot_rows(rows, options.out / "loader.png"),
    ]
    if options.markdown:
        files.append(write_text(options.markdown, text))
    for file in files:
        say(f"  {file}")
    return 0


def measure(
    videos: list[Video], clips: int, rounds: int, batch: int, workers: list[int], seed: int
) -> list[Row]:
    """Every way, an epoch to warm up and `rounds` to time, in turns."""
    ways = _ways(videos, clips, batch, workers, seed)
    rows = [row for row, _, _ in ways]
    with progress_bar() as progress:
        task = progress.add_task("Epochs", total=(rounds + 1) * len(ways))
        for number in range(rounds + 1):
            for row, epoch, count in ways[number % len(ways) :] + ways[: number % len(ways)]:
                started = time.perf_counter()
                (last,) = deque(epoch(number), maxlen=1)
                seconds = time.perf_counter() - started
                if number:  # the first one starts the workers
                    row.clips_per_second.append(count / seconds)
                else:
                    tensor = getattr(last, "clips", last)
                    row.batch = len(tensor)
                    row.bytes_per_clip = tensor[0].nelement() * tensor.element_size()
                progress.advance(task)
    return rows


def loader_targets(rows: list[Row]) -> list[Target]:
    """Two workers of ours against one."""
    speed = {(row.name, row.form, row.workers): row.median for row in rows}
    return [
        loader_target(speed[OURS, form, 1], speed[OURS, form, 2], form)
        for form in ("rgb", "yuv")
        if (OURS, form, 1) in speed and (OURS, form, 2) in speed
    ]


def plot_rows(rows: list[Row], path: Path) -> Path:
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
    with atomic_path(path) as part:
        figure.savefig(part, dpi=120)
    return path


Way = tuple[Row, Callable[[int], Iterable[Any]], int]
"""Its row, epoch number → batches, and the clips of an epoch."""


def _ways(videos: list[Video], clips: int, batch: int, workers: list[int], seed: int) -> list[Way]:
    paths = [videos[row % len(videos)].path.absolute() for row in range(clips)]
    index = VideoIndex.build(paths, [0] * clips, ["any"])
    clip = ClipConfig(frames=8, stride=8, crop_area=[0.08, 1.0])
    whole = clips // batch * batch
    ways: list[Way] = []
    for form in ("rgb", "yuv"):
        dataset = TrainingClips(index, clip, seed=seed, flip=0.5, decoding=Decoding(transfer=form))
        for number in workers:
            loader: Any = training_loader(dataset, batch_size=batch, workers=number)
            ways.append((Row(OURS, form, number), partial(_epoch, loader), whole))
        for number in filter(None, workers):
            sampler = EpochSampler(clips, seed)
            loader = ThreadLoader(dataset, sampler, batch_size=batch, threads=number)
            ways.append((Row(THREADS, form, number), partial(_epoch, loader), whole))
    naive = NaiveClips(videos, clips, seed)
    for number in workers:
        loader = DataLoader(
            naive, batch, sampler=EpochSampler(clips, seed), drop_last=True,
            num_workers=number, persistent_workers=number > 0,
        )  # fmt: skip
        ways.append((Row(NAIVE, "rgb", number), partial(_epoch, loader), whole))
    return ways


def _epoch(loader: Any, number: int) -> Iterable[Any]:
    loader.sampler.set_epoch(number)
    return iter(loader)


def _table(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    one = {(row.name, row.form): row.median for row in rows if row.workers == 1}
    lines = []
    for row in rows:
        base = one.get((row.name, row.form))
        lines.append([
            row.name, row.form, str(row.workers), f"{row.median:.1f}",
            f"{row.median / row.batch:.2f}", f"{row.median / base:.2f}" if base else "",
            f"{row.bytes_per_clip:,}",
        ])  # fmt: skip
    return ["", "form", "workers", *HEADS], lines
