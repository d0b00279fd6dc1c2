"""`benchmark.py predict`: a trained network on clips in memory, and on videos."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from benchmarks.parts.choose import choose_fastest
from benchmarks.parts.decode_peers import pyav_from_start
from benchmarks.parts.measurement import CPU, reason
from benchmarks.parts.network_timing import (
    CLASSES,
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
from benchmarks.parts.videos import DENSE, Video, look_at, made_videos, views_of
from benchmarks.parts.ways import (
    INT8,
    Network,
    backends_here,
    network_of,
    precision_of,
    ways_of,
)
from video_gc.cli import in_range
from video_gc.data.sampling import window_clips
from video_gc.data.transforms import Normalisation
from video_gc.deploy.choices import BACKENDS, MOST_CLIPS, clips_in_call
from video_gc.deploy.inference_network import choose
from video_gc.predict.recognizer import Recognizer
from video_gc.progress import counted
from video_gc.train.checkpoint import KEY, CheckpointContents, described
from video_gc.train.checkpoint_paths import checkpoint_in

ABOUT = """\
Time a network on clips in memory (one, eight and as many as suit them per call, in every way that
this machine can run it) and on whole videos (video-gc predict), compared with pytorchvideo's
network in a plain loop: contiguous, eager, fp32, videos decoded from the start with PyAV. All are
interleaved."""
EXAMPLES = """\
examples:
  video-gc benchmark predict
  video-gc benchmark predict --choose runs/demo
  video-gc benchmark predict --ways eager openvino --batch 1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
    add_network_arguments(parser, side=224, rounds=7)
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("--batch", nargs="+", type=in_range(int, 1), default=Sized([], [1]),
                        help="clips per call (1, 8 and as many as suit the clip)")  # fmt: skip
    parser.add_argument("--ways", nargs="+", choices=BACKENDS[1:],
                        help="backends; default: eager, and openvino if installed; "
                        "compile takes a minute")  # fmt: skip
    parser.add_argument("--choose", type=Path, metavar="CHECKPOINT",
                        help="only find the fastest way to run this network, minutes; "
                        "predict, score, stream and serve then use it on this machine")  # fmt: skip
    parser.add_argument("--data", nargs="+", type=Path, default=[],
                        help="videos of --choose (the run's test videos)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    own = torch.get_num_threads()
    setting = setting_of(options)
    backends = options.ways or backends_here()
    if options.choose:
        torch.set_num_threads(own)  # as predictions have it
        checkpoint = checkpoint_in(options.choose)
        return choose_fastest(checkpoint, options.data, backends, options.rounds, options.out)
    names = [PLAIN, *ways_of(backends)]
    default, own_size = ", ".join(choose(CPU, "auto", "auto")), clips_in_call(setting.shape, "cpu")
    tables, targets = {}, []
    for batch in options.batch or sorted({1, own_size, MOST_CLIPS}):
        title = f"{counted(batch, 'clip')} a call"
        rows, works = on_clips(names, setting, batch)
        time_rows(rows, works, options.rounds, title)
        add_peaks(rows, clips_work, setting, batch)
        tables[title] = rows
        targets += faster(rows, default, 3.0, f"{title}, {default}")
        targets += faster(rows, INT8, 5.0, f"{title}, {INT8}")
    with TemporaryDirectory() as folder:
        video = look_at(made_videos(options.cache, [DENSE])[0])
        others = [INT8] if INT8 in names else []
        rows, works = on_videos(setting, video, Path(folder, "network.ckpt"), others)
        time_rows(rows, works, max(options.rounds // 2, 1), "videos")
        tables["videos"] = rows
        targets += faster(rows, rows[1].name, 3.0, f"whole videos, {rows[1].name}")
        targets += faster(rows, INT8, 5.0, f"whole videos, {INT8}")
    about = (f"{setting}, clips of {setting.frames} frames at {setting.side}², {CPU}; the default "
             f"is {default}, {counted(own_size, 'clip')} a call; medians of "
             f"{counted(options.rounds, 'interleaved round')}.")  # fmt: skip
    return report("predict", tables, setting.flops(), targets, options, about)


def on_clips(
    names: Sequence[str], setting: Setting, batch: int
) -> tuple[list[Row], dict[str, Work]]:
    """Each way on the same clips, and the distance of its logits from ours in fp32."""
    clips = torch.randn(batch, 3, *setting.shape)
    with torch.no_grad():
        right = setting.ours()(clips)
    rows = [Row(name, precision_of(name)) for name in names]
    works: dict[str, Work] = {}
    for row in rows:
        try:
            call = network_of(row.name, setting, batch)
            off = float((call(clips) - right).norm() / right.norm())
        except Exception as error:  # a backend that fails here becomes a line of the results
            row.error = reason(error)
            continue
        row.note = "" if row.name == PLAIN else f"logits {off:.1e} off (relative)"
        works[row.name] = partial(_timed, call, clips)
    return rows, works


def clips_work(row: Row, setting: Setting, batch: int) -> Work:
    """One call, to measure its memory."""
    network = network_of(row.name, setting, batch)
    return partial(_timed, network, torch.randn(batch, 3, *setting.shape))


def on_videos(
    setting: Setting, video: Video, file: Path, others: Sequence[str]
) -> tuple[list[Row], dict[str, Work]]:
    """The Recognizer as it is and in other ways, and a loop over the same windows.

    file: where to save its checkpoint.
    """
    names = [f"class {number}" for number in range(CLASSES)]
    contents = CheckpointContents(setting.config(), setting.clip, Normalisation(), names, {})
    weights = setting.ours().state_dict()
    state = {f"model.{name}": tensor for name, tensor in weights.items()}
    torch.save({KEY: described(contents, weights), "state_dict": state}, file)
    recognizer = Recognizer(file, device=CPU)
    size, own = recognizer.micro_batch, recognizer.network
    networks: dict[str, Network] = {f"{own.precision}, {own.backend}": own}
    networks |= {name: network_of(name, setting, size) for name in others}
    rows = [Row(PLAIN, "fp32"), *(Row(name, precision_of(name)) for name in networks)]
    return rows, {
        PLAIN: partial(plain_video, setting.plain().eval(), video, setting),
        **{name: partial(_recognize, recognizer, one, video) for name, one in networks.items()},
    }


def plain_video(model: nn.Module, video: Video, setting: Setting) -> Spent:
    """Decode from the start, scale and crop every wanted frame, window by window."""
    began, clocked = time.perf_counter(), Clocked(model)
    sample = views_of(video, setting.clip, window_clips(setting.clip, video.part), 1)
    clips = pyav_from_start(video, sample).clips
    waiting = time.perf_counter() - began
    for clip in clips:
        clocked(plain_input(clip)).softmax(1)
    return Spent(len(clips), clocked.seconds, waiting, 1)


def _timed(call: Callable[[Tensor], Tensor], clips: Tensor) -> Spent:
    clocked = Clocked(call)
    clocked(clips)
    return Spent(len(clips), clocked.seconds)


def _recognize(recognizer: Recognizer, network: Network, video: Video) -> Spent:
    clocked, began = Clocked(network), time.perf_counter()
    recognizer.network = replace(recognizer.network, run=clocked)
    windows = len(recognizer.predict(video.path).windows)
    waiting = time.perf_counter() - began - clocked.seconds
    return Spent(windows, clocked.seconds, waiting, 1)
