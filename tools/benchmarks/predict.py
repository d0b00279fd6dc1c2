"""`benchmark.py predict`: a trained network on clips in memory, and on videos."""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from benchmarks.choose import choose_fastest
from benchmarks.decode_peers import pyav_from_start
from benchmarks.measurement import CPU, Target, reason
from benchmarks.network_timing import (
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
from benchmarks.videos import DENSE, Video, look_at, made_videos, views_of
from video_gc.cli import in_range
from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.batches.loader import view_loader
from video_gc.data.dataset import VideoViews
from video_gc.data.sampling import window_clips
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.deploy.inference_network import choose, fast_network
from video_gc.predict.recognizer import Recognizer
from video_gc.progress import say, track
from video_gc.train.checkpoint import KEY, CheckpointContents, described, load_network
from video_gc.train.checkpoint_paths import checkpoint_in

ABOUT = """\
Time a trained network on clips in memory (one and eight per call, in every way that this machine
can run it) and on whole videos (video-gc predict), compared with pytorchvideo's network in a plain
loop: contiguous, eager, fp32, videos decoded from the start with PyAV. All are interleaved."""
EXAMPLES = """\
examples:
  video-gc benchmark predict
  video-gc benchmark predict --choose runs/demo
  video-gc benchmark predict --ways eager openvino --batch 1
  video-gc benchmark predict --agreement runs/demo/checkpoints/best.ckpt"""
WAYS = ("eager", "compile", "openvino")
HELD_OUT_VIDEOS = Path("data/motions/alike/test")
HELD_OUT = 400
"""Number of clips on which the ways are compared with fp32."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
    add_network_arguments(parser, side=224, rounds=7)
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("--batch", nargs="+", type=in_range(int, 1), default=Sized([1, 8], [1]),
                        help="clips per call (1 8)")  # fmt: skip
    parser.add_argument("--ways", nargs="+", choices=WAYS,
                        help="backends; default: eager, and openvino if installed; "
                        "compile takes a minute")  # fmt: skip
    parser.add_argument("--choose", type=Path, metavar="CHECKPOINT",
                        help="only find the fastest way to run this network, a few minutes; "
                        "predict, score, stream and serve then use it on this machine")  # fmt: skip
    parser.add_argument("--agreement", type=Path, metavar="CHECKPOINT",
                        help="count how often each way agrees with fp32 on the best class of 400 "
                        "clips of --held-out")  # fmt: skip
    parser.add_argument("--held-out", nargs="+", type=Path,
                        default=[],
                        help="videos of --agreement, folders (data/motions/alike/test), and of "
                        "--choose (the run's test videos)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    own = torch.get_num_threads()
    setting = setting_of(options)
    ways = options.ways or ["eager", *(["openvino"] if find_spec("openvino") else [])]
    if options.choose:
        torch.set_num_threads(own)  # as predictions have it
        checkpoint = checkpoint_in(options.choose)
        return choose_fastest(checkpoint, options.held_out, ways, options.rounds, options.out)
    names = [PLAIN, *(f"{p}, {way}" for way in ways for p in ("fp32", "bf16"))]
    default = ", ".join(choose(CPU, "auto", "auto"))
    tables, targets = {}, []
    for batch in options.batch:
        title = f"{batch} clips a call"
        rows, works = on_clips(names, setting, batch)
        time_rows(rows, works, options.rounds, title)
        add_peaks(rows, clips_work, setting, batch)
        tables[title] = rows
        targets += faster(rows, default, 3.0, f"{title}, {default}")
    with TemporaryDirectory() as folder:
        video = look_at(made_videos(options.cache, [DENSE])[0])
        rows, works = on_videos(setting, video, Path(folder, "network.ckpt"))
        time_rows(rows, works, max(options.rounds // 3, 1), "videos")
        tables["videos"] = rows
        targets += faster(rows, rows[-1].name, 3.0, "whole videos")
    if options.agreement:
        held_out = options.held_out or [HELD_OUT_VIDEOS]
        targets += agreement(options.agreement, held_out, ways)
    about = (f"{setting}, clips of {setting.frames} frames at {setting.side}², {CPU}; the default "
             f"is {default}; medians of {options.rounds} interleaved rounds.")  # fmt: skip
    say(f"The default here: {default}")
    return report("predict", tables, setting.flops(), targets, options, about)


def on_clips(
    names: Sequence[str], setting: Setting, batch: int
) -> tuple[list[Row], dict[str, Work]]:
    """Each way on the same clips, and the distance of its logits from ours in fp32."""
    clips = torch.randn(batch, 3, *setting.shape)
    with torch.no_grad():
        right = setting.ours()(clips)
    rows = [Row(name, "fp32" if name == PLAIN else name[:4]) for name in names]
    works: dict[str, Work] = {}
    for row in rows:
        try:
            call = network_of(row, setting, batch)
            off = float((call(clips) - right).norm() / right.norm())
        except Exception as error:  # a backend that fails here becomes a line of the results
            row.error = reason(error)
            continue
        row.note = "" if row.name == PLAIN else f"logits {off:.1e} off (relative)"
        works[row.name] = partial(_timed, call, clips)
    return rows, works


def network_of(row: Row, setting: Setting, batch: int) -> Callable[[Tensor], Tensor]:
    """A way to run a network, with a name like `bf16, eager`, or the plain one."""
    if row.name == PLAIN:
        return Clocked(setting.plain().eval())
    precision, backend = row.name.split(", ")
    return fast_network(setting.ours(), setting.shape, device=CPU, precision=precision,
                        backend=backend, micro_batch=batch)  # fmt: skip


def clips_work(row: Row, setting: Setting, batch: int) -> Work:
    """One call, to measure its memory."""
    return partial(_timed, network_of(row, setting, batch), torch.randn(batch, 3, *setting.shape))


def on_videos(setting: Setting, video: Video, file: Path) -> tuple[list[Row], dict[str, Work]]:
    """The Recognizer, and a loop over the same windows. file: where to save its checkpoint."""
    names = [f"class {number}" for number in range(CLASSES)]
    contents = CheckpointContents(setting.config(), setting.clip, Normalisation(), names, {})
    weights = setting.ours().state_dict()
    state = {f"model.{name}": tensor for name, tensor in weights.items()}
    torch.save({KEY: described(contents, weights), "state_dict": state}, file)
    recognizer = Recognizer(file, device=CPU)
    ours = f"Recognizer ({recognizer.network.precision}, {recognizer.network.backend})"
    return [Row(PLAIN, "fp32"), Row(ours, recognizer.network.precision)], {
        PLAIN: partial(plain_video, setting.plain().eval(), video, setting),
        ours: partial(_recognize, recognizer, video),
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


def agreement(checkpoint: Path, folders: Sequence[Path], ways: Sequence[str]) -> list[Target]:
    """Share of clips with the same best class in bf16 as in fp32, for each backend.

    One centre clip per video; the network was not trained on them.
    """
    model, contents = load_network(checkpoint)
    clips = torch.cat([*_held_out(contents, folders)])[:HELD_OUT]

    def logits(network: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([Clocked(network)(part) for part in clips.split(8)])

    right, targets = logits(model), []
    frames, height, width = clips.shape[2:]
    for way in ways:
        found = logits(fast_network(model, (frames, height, width), device=CPU, precision="bf16",
                                    backend=way))  # fmt: skip
        share = float((found.argmax(1) == right.argmax(1)).float().mean())
        error = float((found - right).norm() / right.norm())
        what = f"{len(clips)} clips, bf16, {way}: the same best class as fp32"
        targets.append(Target(f"{what} (logits {error:.1e} off)", share, 0.995, at_least=True))
    return targets


def _held_out(contents: CheckpointContents, folders: Sequence[Path]) -> Iterator[Tensor]:
    """Batches (n, 3, T, H, W)."""
    for folder in folders:
        index = read_class_folders(folder, contents.names)
        views = VideoViews(index, contents.clip, clips=1, crops=1)
        loader = view_loader(views, micro_batch=8, workers=0)
        for batch in track(loader, f"Reading {folder}", -(-len(index) // 8)):
            if batch.clips is not None:
                yield prepare_clips(batch.clips, contents.normalisation, batch.flips)


def _timed(call: Callable[[Tensor], Tensor], clips: Tensor) -> Spent:
    clocked = Clocked(call)
    clocked(clips)
    return Spent(len(clips), clocked.seconds)


def _recognize(recognizer: Recognizer, video: Video) -> Spent:
    network, began = recognizer.network, time.perf_counter()
    clocked = Clocked(network)
    recognizer.network = replace(network, run=clocked)
    windows = len(recognizer.predict(video.path).windows)
    recognizer.network = network
    waiting = time.perf_counter() - began - clocked.seconds
    return Spent(windows, clocked.seconds, waiting, 1)
