"""`benchmark.py test`: every view of a video, decoded once, beside a loop that reopens the file."""

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers import pyav_from_start
from benchmarks.predict import plain_input
from benchmarks.samples import Sample
from benchmarks.videos import SPARSE, Video, look_at, made_videos
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
from video_gc.data.batches.view_batches import micro_batch_size
from video_gc.data.crops import crop_boxes, scaled_size
from video_gc.data.dataset import VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.sampling import Part, fixed_clips
from video_gc.data.transforms import Normalisation
from video_gc.deploy.inference_network import FastNetwork, fast_network
from video_gc.evaluate.views import score_videos

ABOUT = """\
Time the test of whole videos, 10 clips × 3 crops each: ours (every video decoded once, in
micro-batches, in the default precision and backend, and in fp32), and a plain loop: for each view
the file is opened and decoded from the start with PyAV, and pytorchvideo's network runs on it,
contiguous, eager, fp32. All in turns, on the CPU. Time outside the model counts as waiting."""
EXAMPLES = """\
examples:
  python tools/benchmark.py test
  python tools/benchmark.py test --clips 4 --crops 3 --videos 2
  python tools/benchmark.py test --backbone i3d --width 0.125 --frames 12 --stride 3 --side 64"""
SMALL = 0.5
"""Widths below it count as a small network, whose target is higher."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `test`."""
    add_network_arguments(parser, side=256, rounds=3)
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("--clips", type=int, default=Sized(10, 2),
                        help="spread over a video (10)")  # fmt: skip
    parser.add_argument("--crops", type=int, default=3, choices=(1, 3), help="of each (3)")
    parser.add_argument("--videos", type=int, default=1, help="in a round (1)")
    parser.add_argument("--micro-batch", type=int, default=8, help="views in a call (8)")
    parser.add_argument("--workers", type=int, default=1, help="decoding processes of ours (1)")


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    setting = setting_of(options)
    given = {
        "path": made_videos(options.cache, [SPARSE])[0], "clips": options.clips,
        "crops": options.crops, "videos": options.videos,
        "micro_batch": options.micro_batch, "workers": options.workers,
    }  # fmt: skip
    default = fast_network(setting.ours(), setting.shape, device=torch.device("cpu"))
    rows = [Row(PLAIN, "fp32"), Row("video_gc, fp32", "fp32")]
    if default.precision != "fp32":
        rows.append(Row(f"video_gc, {default.precision}", default.precision))
    works = {row.name: testing(row, setting, **given) for row in rows}
    in_turns(rows, works, options.rounds, "Videos")
    del works
    add_peaks(rows, peak_of_testing, setting, **given)
    small = options.width < SMALL
    targets = faster(rows, rows[-1].name, 5.0 if small else 3.0,
                     f"{options.clips} × {options.crops} views")  # fmt: skip
    about = (f"{options.backbone} R50 × {options.width:g} with five GC, {options.clips} × "
             f"{options.crops} views of {setting.frames} frames at {setting.side}² of "
             f"{options.videos} videos, {options.workers} workers; the default is {default.about}; "
             f"medians of {options.rounds} rounds in turns.")  # fmt: skip
    return report("test", {"videos": rows}, setting.flops(), targets, options, about)


def testing(
    row: Row,
    setting: Setting,
    *,
    path: Path,
    clips: int,
    crops: int,
    videos: int,
    micro_batch: int,
    workers: int,
) -> Work:
    """A round over `videos` videos, of the plain loop or of ours."""
    if row.name == PLAIN:
        model = setting.plain().eval()
        return partial(plain_test, model, [look_at(path)] * videos, setting, clips, crops)
    network = fast_network(
        setting.ours(), setting.shape, device=torch.device("cpu"), precision=row.precision,
        micro_batch=micro_batch_size(clips * crops, micro_batch),
    )  # fmt: skip
    index = VideoIndex.build([path.absolute()] * videos, [0] * videos, ["any", "other"])
    views = VideoViews(index, setting.clip, clips=clips, crops=crops)
    return partial(our_test, network, views, micro_batch, workers)


def plain_test(
    model: nn.Module, videos: Sequence[Video], setting: Setting, clips: int, crops: int
) -> Spent:
    """Every view opens the file."""
    clip, decoding, scoring = setting.clip, 0.0, 0.0
    for video in videos:
        windows = fixed_clips(clip, Part(0, video.frames, video.rate), clips)
        scaled = scaled_size(video.size, clip.test_short_side)
        scores = []
        for window in windows:
            for box in crop_boxes(scaled, clip.test_crop, crops):
                began = time.perf_counter()
                sample = Sample(window[None], [box], clip.test_crop, scaled)
                given = plain_input(pyav_from_start(video, sample).clips[0])
                decoded = time.perf_counter()
                with torch.no_grad():
                    scores.append(model(given).softmax(1))
                decoding += decoded - began
                scoring += time.perf_counter() - decoded
        torch.cat(scores).mean(0)
    return Spent(len(videos) * clips * crops, scoring, decoding, len(videos))


def our_test(network: FastNetwork, views: VideoViews, micro_batch: int, workers: int) -> Spent:
    """What tools/test.py does with a set of videos."""
    seconds, began = [0.0], time.perf_counter()

    def clocked(clips: Tensor) -> Tensor:
        """(n, 3, T, H, W) → (n, 2): the index of the benchmark has two classes."""
        called = time.perf_counter()
        logits = network(clips)[:, :2]
        seconds[0] += time.perf_counter() - called
        return logits

    for _ in score_videos(
        [clocked], views, Normalisation(), micro_batch=micro_batch, workers=workers,
        device=torch.device("cpu"),
    ):  # fmt: skip
        pass
    spent = time.perf_counter() - began
    count = len(views.index) * views.clips * views.crops
    return Spent(count, seconds[0], spent - seconds[0], len(views.index))


def peak_of_testing(name: str, setting: Setting, threads: int, **given: Any) -> dict[str, Any]:
    """Memory of a process that does nothing else; its loader's workers not counted."""
    torch.set_num_threads(threads)
    precision = "bf16" if name.endswith("bf16") else "fp32"
    testing(Row(name, precision), setting, **given)()
    return peak()
