"""Clips a second of inference and of training, beside the rate of products and the waiting."""

import gc
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from benchmarks.gpu_steps.rates import product_rates, seconds_of, tf32
from benchmarks.gpu_steps.schedule import Row
from benchmarks.parts.measurement import reason, table
from benchmarks.parts.network_timing import CLASSES, Setting
from benchmarks.parts.training_step import Trainer
from benchmarks.parts.videos import encode
from video_gc.analysis.measure import MIB, peak_bytes, wait
from video_gc.cores import cores
from video_gc.data.batches.batch import Batch
from video_gc.data.batches.loader import training_loader
from video_gc.data.dataset import TrainingClips, VideoProblem
from video_gc.data.index import VideoIndex
from video_gc.data.prepare.feeding import FORWARDS
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.deploy.inference_network import fast_network

MOST = 20.0
"""Seconds of training steps from videos, if they are slow; and of those before them that are not
measured."""
WARM_THREADS = 2
"""Training steps that are not measured when threads decode: they start at once."""
SIZE = (340, 256)
"""Width and height of the videos; those of Kinetics' copies."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    setting: Setting
    calls: tuple[int, ...]
    """clips in a call of inference"""
    batch: int
    """clips in a training step"""
    warm: int
    """training steps from videos that are not measured: what the workers read ahead while they
    start is used up"""
    steps: int
    """those that are"""


def sizes_on(device: torch.device) -> Sizes:
    """Slow-only R50 with five GC blocks on 8×224² clips; on a CPU a small network."""
    if device.type == "cuda":
        return Sizes(Setting("slow", 1.0, 8, 8, 224), (1, 8, 64), 32, 32, 64)
    return Sizes(Setting("slow", 0.125, 4, 2, 32), (1, 4), 4, 2, 6)


def measure(device: str, _deadline: float) -> Iterator[Row]:
    """Training from videos first, which matters most; compiling last, for it takes longest."""
    where = torch.device(device, 0)  # threads that decode have to be told the number
    sizes = sizes_on(where)
    rates, flops = product_rates(where), sizes.setting.flops()
    rates.setdefault("tf32", rates["fp32"])
    on_gpu = ("cuda",) if where.type == "cuda" else ()

    def row(what: str, precision: str, clips: int, passes: int, call: Callable[[], Any]) -> Row:
        found: Row = {"what": what, "precision": precision, "clips": clips}
        gc.collect()  # what the last row left behind is not of this one
        held = 0
        try:
            if where.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(where)
                held = torch.cuda.memory_allocated(where)
            found |= call()
        except Exception as error:  # any error is a finding
            return found | {"error": reason(error)}
        found["clips_per_second"] = clips / found["seconds"]
        share = found["clips_per_second"] * passes * flops / rates[precision]
        return found | {"of_products": share, "peak_mib": (peak_bytes(where) - held) / MIB}

    for decode in ("cpu", *on_gpu):
        call = partial(from_videos, sizes, where, decode)
        by = "worker processes" if decode == "cpu" else "NVDEC, threads of this process"
        yield row(f"training, videos: {by}", "bf16", sizes.batch, FORWARDS, call)
    for precision in ("bf16", "tf32", "fp32"):
        call = partial(from_memory, sizes, where, precision)
        yield row("training, clips in memory", precision, sizes.batch, FORWARDS, call)
    for clips in sizes.calls:
        for precision in ("bf16", "tf32", "fp32"):
            call = partial(inference, sizes, where, precision, "eager", clips)
            yield row("inference, eager", precision, clips, 1, call)
    call = partial(inference, sizes, where, "bf16", "compile", sizes.calls[-1])
    yield row("inference, compile", "bf16", sizes.calls[-1], 1, call)


@cache
def network_of(setting: Setting) -> nn.Module:
    """The network, on the CPU; calibrating its norms takes seconds."""
    return setting.ours()


def inference(
    sizes: Sizes, device: torch.device, precision: str, backend: str, clips: int
) -> dict[str, float]:
    """Seconds of a call on clips that are on the device."""
    setting = sizes.setting
    network = fast_network(
        network_of(setting), setting.shape, device=device, backend=backend, micro_batch=clips,
        precision="bf16" if precision == "bf16" else "fp32",
    )  # fmt: skip
    given = torch.randn(clips, 3, *setting.shape, device=device)
    given = given.contiguous(memory_format=torch.channels_last_3d)
    with tf32(precision == "tf32"):
        return {"seconds": seconds_of(torch.no_grad()(partial(network.run, given)), device)}


def from_memory(sizes: Sizes, device: torch.device, precision: str) -> dict[str, float]:
    """Seconds of a step on clips that are on the device."""
    trainer = Trainer(deepcopy(network_of(sizes.setting)), device, precision)
    clips = torch.randn(sizes.batch, 3, *sizes.setting.shape, device=device)
    clips = clips.contiguous(memory_format=torch.channels_last_3d)
    labels = torch.arange(sizes.batch, device=device) % CLASSES
    with tf32(precision == "tf32"):
        return {"seconds": seconds_of(lambda: trainer.step(clips, labels), device)}


def from_videos(sizes: Sizes, device: torch.device, decode: str) -> dict[str, Any]:
    """Seconds of a step with its share of waiting for a batch, and who else got a CUDA context.

    decode: cpu for worker processes, cuda for threads of this process.
    """
    setting, workers = sizes.setting, max(1, cores() - 1)
    clip = ClipConfig(frames=setting.frames, stride=setting.stride, crop=setting.side,
                      short_side=[setting.side, setting.side * 5 // 4])  # fmt: skip
    trainer = Trainer(deepcopy(network_of(sizes.setting)), device, "bf16")
    before = processes_on(device)
    warm = sizes.warm if decode == "cpu" else min(sizes.warm, WARM_THREADS)
    with TemporaryDirectory() as folder:
        path = encode(Path(folder, "clip.mp4"), *SIZE, group=12, frames=90)
        rows = sizes.batch * (sizes.warm + sizes.steps)
        index = VideoIndex.build([path] * rows, [0] * rows, ["any"])
        data = TrainingClips(index, clip, seed=0, flip=0.5, decoding=Decoding(device=decode))
        loader = training_loader(
            data, batch_size=sizes.batch, workers=workers, pin_memory=device.type == "cuda",
            device=device,
        )  # fmt: skip
        found = timed_steps(trainer, iter(loader), warm)
        found |= {"workers": workers} | contexts(device, before)  # the workers are still there
    return found | {"right": found["problems"] == 0 and not found.get("new_processes")}


def timed_steps(trainer: Trainer, batches: Iterator[Batch], warm: int) -> dict[str, Any]:
    """Seconds of a step, waiting included, and the share of waiting; at most `MOST` seconds.

    warm: steps before those; at most `MOST` seconds of them too.
    Raises RuntimeError if there was no step, with the first problem of a video.
    """
    waited, steps, began, warming = 0.0, 0, time.perf_counter(), True
    problems: list[VideoProblem] = []
    for number in count():
        asked = time.perf_counter()
        late = asked - began > MOST
        if warming and (number == warm or late):
            waited, steps, began, warming = 0.0, 0, asked, False
        elif late:
            break
        batch = next(batches, None)
        if batch is None:
            break
        waited += time.perf_counter() - asked
        problems += batch.problems
        batch = batch.to(trainer.device)
        if batch.clips is None:  # no video of it could be read
            continue
        clips = prepare_clips(batch.clips, Normalisation(), batch.flips)
        trainer.step(clips, batch.labels)
        wait(trainer.device)  # so that waiting is told from computing
        steps += 1
    seconds, first = time.perf_counter() - began, [problem.reason for problem in problems[:1]]
    if not steps:
        raise RuntimeError(": ".join(["no training step was made", *first]))
    return {"seconds": seconds / steps, "waiting": waited / seconds, "steps": steps,
            "problems": len(problems), "first_problem": "".join(first)}  # fmt: skip


def processes_on(device: torch.device) -> set[str] | None:
    """Processes with a CUDA context, as the driver lists them; None if it does not list even this
    one, as in some containers."""
    if device.type != "cuda":
        return None
    command = ["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"]
    try:
        said = subprocess.check_output(command, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(said.splitlines()) or None


def contexts(device: torch.device, before: set[str] | None) -> dict[str, Any]:
    """The number of processes that got a CUDA context since `before`, None if unknown: none should.

    Also the memory beside torch's: a second context in this process would take some hundreds of
    MiB more.
    """
    if device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(device)
    beside = (total - free - torch.cuda.memory_reserved(device)) / MIB
    after = processes_on(device)
    new = None if before is None or after is None else len(after - before)
    return {"new_processes": new, "beside_torch_mib": beside}


def lines(rows: Sequence[Row]) -> list[str]:
    """Markdown."""
    heads = ["", "precision", "clips", "clips/s", "of the product rate", "waiting", "peak, MiB"]
    notes = [
        f"- {row['what']}: {row['workers']} at work, {row['problems']} problems"
        + (f" ({row['first_problem']})" if row["first_problem"] else "")
        + (f"; other processes that got a CUDA context: {_known(row['new_processes'])}, "
           f"{row['beside_torch_mib']:,.0f} MiB beside torch's" if "new_processes" in row else "")
        for row in rows if "workers" in row
    ]  # fmt: skip
    return [*table(heads, [_cells(row) for row in rows]), "", *notes]


def _known(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def _cells(row: Row) -> list[str]:
    begin = [row["what"], row["precision"], str(row["clips"])]
    if "error" in row:
        return [*begin, f"**{row['error']}**", "", "", ""]
    waiting = f"{row['waiting']:.0%}" if "waiting" in row else ""
    rate, share = f"{row['clips_per_second']:.3g}", f"{row['of_products']:.0%}"
    return [*begin, rate, share, waiting, f"{row['peak_mib']:,.0f}"]
