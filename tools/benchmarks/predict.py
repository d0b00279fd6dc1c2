"""`benchmark.py predict`: a trained network on clips in memory, and on videos."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.agreement import agreement
from benchmarks.peers import pyav_from_start
from benchmarks.samples import Sample
from benchmarks.videos import DENSE, Video, look_at, made_videos
from benchmarks.whole import (
    CLASSES,
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
from video_gc.data.crops import crop_boxes, scaled_size
from video_gc.data.sampling import Part, window_clips
from video_gc.data.transforms import Normalisation
from video_gc.deploy.inference_network import choose, fast_network
from video_gc.predict.recognizer import Recognizer
from video_gc.progress import say
from video_gc.train.checkpoint import KEY, CheckpointContents

ABOUT = """\
Time a trained network: on clips in memory, one and eight in a call, in every way that this machine
can run it, and on whole videos (tools/predict.py), beside pytorchvideo's network in a plain loop:
contiguous, eager, fp32, videos decoded from the start with PyAV. All in turns."""
EXAMPLES = """\
examples:
  python tools/benchmark.py predict
  python tools/benchmark.py predict --ways eager openvino --batch 1
  python tools/benchmark.py predict --agreement runs/demo/checkpoints/best.ckpt"""
WAYS = ("eager", "compile", "openvino")
CPU = torch.device("cpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
    add_network_arguments(parser, side=224, rounds=7)
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("--batch", nargs="+", type=int, default=Sized([1, 8], [1]),
                        help="clips a call (1 8)")  # fmt: skip
    parser.add_argument("--ways", nargs="+", choices=WAYS,
                        help="backends; default: eager, and openvino where it is installed; "
                        "compile takes a minute")  # fmt: skip
    parser.add_argument("--agreement", type=Path, metavar="CHECKPOINT",
                        help="count how often each way agrees with fp32 on the best class of 400 "
                        "clips of --held-out")  # fmt: skip
    parser.add_argument("--held-out", nargs="+", type=Path,
                        default=[Path("data/motions/test"), Path("data/motions/val")],
                        help="folders of videos (data/motions/test data/motions/val)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    setting = setting_of(options)
    ways = options.ways or ["eager", *(["openvino"] if find_spec("openvino") else [])]
    names = [PLAIN, *(f"{p}, {way}" for way in ways for p in ("fp32", "bf16"))]
    default = ", ".join(choose(CPU, "auto", "auto"))
    tables, targets, model = {}, [], setting.ours()
    for batch in options.batch:
        rows, works = on_clips(names, setting, batch, model)
        in_turns(rows, works, options.rounds, f"{batch} clips a call")
        add_peaks(rows, peak_on_clips, setting, batch=batch)
        tables[f"{batch} clips a call"] = rows
        targets += faster(rows, default, 3.0, f"{batch} clips a call, {default}")
    with TemporaryDirectory() as folder:
        video = look_at(made_videos(options.cache, [DENSE])[0])
        rows, works = on_videos(setting, model, video, Path(folder))
        in_turns(rows, works, max(options.rounds // 3, 1), "videos")
        tables["videos"] = rows
        targets += faster(rows, rows[-1].name, 3.0, "whole videos")
    if options.agreement:
        targets += agreement(options.agreement, options.held_out, ways)
    about = (f"{options.backbone} R50 × {options.width:g} with five GC, clips of {setting.frames} "
             f"frames at {setting.side}², {CPU}; the default is {default}; medians of "
             f"{options.rounds} rounds in turns.")  # fmt: skip
    say(f"The default here: {default}")
    return report("predict", tables, setting.flops(), targets, options, about)


def on_clips(
    names: Sequence[str], setting: Setting, batch: int, model: nn.Module
) -> tuple[list[Row], dict[str, Work]]:
    """Each way on the same clips, and how far its logits are from ours in fp32."""
    clips = torch.randn(batch, 3, *setting.shape)
    with torch.no_grad():
        right = model(clips)
    rows: list[Row] = []
    works: dict[str, Work] = {}
    for name in names:
        row = Row(name, "fp32" if name == PLAIN else name[:4])
        rows.append(row)
        try:
            call = _call(name, setting, batch, model)
            logits = call(clips)
        except Exception as error:  # a backend that does not work here is a line of the results
            row.error = (str(error) or type(error).__name__).splitlines()[0]
            continue
        if name != PLAIN:
            row.note = f"logits {float((logits - right).norm() / right.norm()):.1e} off (relative)"
        works[name] = partial(_timed, call, clips)
    return rows, works


def on_videos(
    setting: Setting, model: nn.Module, video: Video, folder: Path
) -> tuple[list[Row], dict[str, Work]]:
    """The Recognizer, and a loop over the same windows."""
    recognizer = Recognizer(_checkpoint(setting, model, folder / "network.ckpt"), device=CPU)
    ours = f"Recognizer ({recognizer.network.precision}, {recognizer.network.backend})"
    rows = [Row(PLAIN, "fp32"), Row(ours, recognizer.network.precision)]
    plain = setting.plain().eval()
    return rows, {
        PLAIN: partial(plain_video, plain, video, setting),
        ours: partial(_recognize, recognizer, video),
    }


def plain_video(model: nn.Module, video: Video, setting: Setting) -> Spent:
    """Decode from the start, scale and crop every frame wanted, one window after the other."""
    started = time.perf_counter()
    clip = setting.clip
    windows = window_clips(clip, Part(0, video.frames, video.rate))
    scaled = scaled_size(video.size, clip.test_short_side)
    sample = Sample(windows, crop_boxes(scaled, clip.test_crop, 1), clip.test_crop, scaled)
    clips = pyav_from_start(video, sample).clips
    waiting = time.perf_counter() - started
    for clip_ in clips:
        with torch.no_grad():
            model(plain_input(clip_)).softmax(1)
    return Spent(len(clips), time.perf_counter() - started - waiting, waiting, 1)


def plain_input(clip: Any) -> Tensor:
    """uint8 (T, 3, H, W) → normalised (1, 3, T, H, W)."""
    given = Normalisation()
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (given.mean, given.std))
    pictures = torch.as_tensor(np.asarray(clip)).movedim(1, 0).float() / 255
    return ((pictures - mean) / std)[None]


def peak_on_clips(name: str, setting: Setting, threads: int, batch: int) -> dict[str, Any]:
    """Memory of a process that does nothing else."""
    torch.set_num_threads(threads)
    call = _call(name, setting, batch, None if name == PLAIN else setting.ours())
    for _ in range(2):
        call(torch.randn(batch, 3, *setting.shape))
    return peak()


def _checkpoint(setting: Setting, model: nn.Module, file: Path) -> Path:
    names = [f"class {number}" for number in range(CLASSES)]
    contents = CheckpointContents(setting.config(), setting.clip, Normalisation(), names, {})
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({KEY: asdict(contents), "state_dict": state}, file)
    return file


def _call(name: str, setting: Setting, batch: int, model: nn.Module | None) -> Any:
    if name == PLAIN or model is None:
        return partial(_without_gradients, setting.plain().eval())
    precision, backend = name.split(", ")
    return fast_network(
        model, setting.shape, device=CPU, precision=precision, backend=backend, micro_batch=batch
    )


def _without_gradients(model: nn.Module, clips: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(clips)
        return logits


def _timed(call: Any, clips: Tensor) -> Spent:
    started = time.perf_counter()
    call(clips)
    return Spent(len(clips), time.perf_counter() - started)


def _recognize(recognizer: Recognizer, video: Video) -> Spent:
    spent = [0.0]
    network = recognizer.network

    def clocked(clips: Tensor) -> Tensor:
        began = time.perf_counter()
        logits = network(clips)
        spent[0] += time.perf_counter() - began
        return logits

    recognizer.network = replace(network, run=clocked)
    started = time.perf_counter()
    windows = len(recognizer.predict(video.path).windows)
    recognizer.network = network
    return Spent(windows, spent[0], time.perf_counter() - started - spent[0], 1)
