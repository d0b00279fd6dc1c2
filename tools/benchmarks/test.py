"""`benchmark.py test`: views of a video from one decode, or from a loop that reopens the file."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.parts.decode_peers import pyav_from_start
from benchmarks.parts.measurement import CPU
from benchmarks.parts.network_timing import (
    PLAIN,
    Clocked,
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
from benchmarks.parts.videos import SPARSE, Video, look_at, made_videos, views_of
from benchmarks.parts.ways import INT8, Network, backends_here, network_of, precision_of, ways_of
from video_gc.cli import in_range
from video_gc.data.batches.loader import micro_batch_size
from video_gc.data.dataset import VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.sampling import fixed_clips
from video_gc.data.transforms import Normalisation
from video_gc.deploy.choices import clips_in_call
from video_gc.deploy.inference_network import choose
from video_gc.evaluate.views import score_videos

ABOUT = """\
Time the test of whole videos, 10 clips × 3 crops each: ours (every video decoded once, in
micro-batches, in the default precision and backend, and in fp32), and a plain loop: for each view
the file is opened and decoded from the start with PyAV, and pytorchvideo's network runs on it,
contiguous, eager, fp32. All interleaved, on the CPU. Time outside the model counts as waiting."""
EXAMPLES = """\
examples:
  video-gc benchmark test
  video-gc benchmark test --clips 4 --crops 3 --videos 2
  video-gc benchmark test --backbone i3d --width 0.125 --frames 12 --stride 3 --side 64"""
SMALL = 0.5
"""Widths below this count as a small network, with a higher target."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `test`."""
    add_network_arguments(parser, side=256, rounds=3)
    parser.description, parser.epilog = ABOUT, EXAMPLES
    many = in_range(int, 1)
    parser.add_argument("--clips", type=many, default=Sized(10, 2),
                        help="clips of a video (10)")  # fmt: skip
    parser.add_argument("--crops", type=int, default=3, choices=(1, 3), help="of each (3)")
    parser.add_argument("--videos", type=many, default=1, help="videos in a round (1)")
    parser.add_argument("--micro-batch", type=many,
                        help="views per call (8, or fewer if they are large)")  # fmt: skip
    parser.add_argument("--workers", type=in_range(int, 0), default=1,
                        help="our decoding processes (1)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    setting = setting_of(options)
    options.micro_batch = options.micro_batch or clips_in_call(setting.shape, "cpu")
    given = (made_videos(options.cache, [SPARSE])[0], options)
    default = ", ".join(choose(CPU, "auto", "auto"))
    ways = dict.fromkeys(["fp32, eager", default])
    ways |= dict.fromkeys(way for way in ways_of(backends_here()) if way == INT8)
    rows = [Row(PLAIN, "fp32"), *(Row(way, precision_of(way)) for way in ways)]
    works = {row.name: testing(row, setting, *given) for row in rows}
    time_rows(rows, works, options.rounds, "Videos")
    del works
    add_peaks(rows, testing, setting, *given)
    limit = 5.0 if options.width < SMALL else 3.0
    views = f"{options.clips} × {options.crops} views"
    targets = faster(rows, default, limit, f"{views}, {default}")
    targets += faster(rows, INT8, 5.0, f"{views}, {INT8}")
    about = (f"{setting}, {views} of {setting.frames} frames at {setting.side}² of "
             f"{options.videos} videos, {options.workers} workers, {options.micro_batch} views a "
             f"call; the default is {default}; medians of {options.rounds} interleaved rounds."
             )  # fmt: skip
    return report("test", {"videos": rows}, setting.flops(), targets, options, about)


def testing(row: Row, setting: Setting, path: Path, options: argparse.Namespace) -> Work:
    """A round over the videos, of the plain loop or of ours; our loader has its own workers."""
    clips, crops, videos = options.clips, options.crops, options.videos
    if row.name == PLAIN:
        model = setting.plain().eval()
        return partial(plain_test, model, [look_at(path)] * videos, setting, clips, crops)
    network = network_of(row.name, setting, micro_batch_size(clips * crops, options.micro_batch))
    index = VideoIndex.build([path.absolute()] * videos, [0] * videos, ["any", "other"])
    views = VideoViews(index, setting.clip, clips=clips, crops=crops)
    return partial(our_test, network, views, options.micro_batch, options.workers)


def plain_test(
    model: nn.Module, videos: Sequence[Video], setting: Setting, clips: int, crops: int
) -> Spent:
    """Every view opens the file."""
    began, clocked = time.perf_counter(), Clocked(model)
    for video in videos:
        windows = fixed_clips(setting.clip, video.part, clips)
        scores = []
        for window in windows:
            for crop in range(crops):
                views = views_of(video, setting.clip, window[None], crops)
                view = replace(views, boxes=[views.boxes[crop]])
                (clip,) = pyav_from_start(video, view).clips
                scores.append(clocked(plain_input(clip)).softmax(1))
        torch.cat(scores).mean(0)
    spent = time.perf_counter() - began
    count = len(videos) * clips * crops
    return Spent(count, clocked.seconds, spent - clocked.seconds, len(videos))


def our_test(network: Network, views: VideoViews, micro_batch: int, workers: int) -> Spent:
    """The work of tools/test.py on a set of videos."""
    began, clocked = time.perf_counter(), Clocked(network)

    def two_classes(clips: Tensor) -> Tensor:
        """(n, 3, T, H, W) → (n, 2): the index of the benchmark has two classes."""
        return clocked(clips)[:, :2]

    for _ in score_videos(
        [two_classes], views, Normalisation(), micro_batch=micro_batch, workers=workers, device=CPU
    ):
        pass
    spent = time.perf_counter() - began
    count = len(views.index) * views.clips * views.crops
    return Spent(count, clocked.seconds, spent - clocked.seconds, len(views.index))
