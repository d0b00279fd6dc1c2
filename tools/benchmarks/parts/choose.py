"""`benchmark.py predict --choose`: the fastest way to run a trained network on this machine."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmarks.parts.measurement import (
    CPU,
    about_machine,
    as_dicts,
    reason,
    run_interleaved,
    table,
    write_results,
)
from benchmarks.parts.ways import Network
from video_gc.analysis.clips import Clips, find_clips
from video_gc.analysis.export import export_checkpoint
from video_gc.data.index import DataError
from video_gc.deploy.choices import MOST_CLIPS, SAME_CLASS, clips_in_call
from video_gc.deploy.export import ExportOptions
from video_gc.deploy.fastest import INT8, ClipShape, Way, remember_fastest
from video_gc.deploy.inference_network import fast_network, run_int8
from video_gc.progress import counted, say
from video_gc.train.checkpoint import default_output, load_network

CLIPS = 600
"""Videos on which a way has to agree with fp32."""
LOST = 0.003
"""Most that top-1 may lose; the best class must be the same in `SAME_CLASS` of the clips."""
ENOUGH = 200
"""Videos without which int8 is not tried."""
HEADS = ["", "clips a call", "clips/s", "× the first", "same class", "top-1", "logits off"]


@dataclass(eq=False)  # itself a key
class Candidate:
    """A way, and what was measured of it."""

    precision: str
    backend: str
    micro_batch: int
    seconds: list[float] = field(default_factory=list)
    """of `MOST_CLIPS` clips, in each round"""
    same: float = 0.0
    """share of clips with the same best class as fp32"""
    right: float | None = None
    """top-1, of the clips whose class is known"""
    off: float = 0.0
    """relative difference of the logits"""
    error: str | None = None

    @property
    def rate(self) -> float:
        """Clips per second, median."""
        return MOST_CLIPS / median(self.seconds)

    def sound(self, first: "Candidate") -> bool:
        """Whether it agrees with fp32."""
        lost = 0.0 if self.right is None or first.right is None else first.right - self.right
        return bool(self.seconds) and self.same >= SAME_CLASS and lost <= LOST

    def __str__(self) -> str:
        return f"{self.precision}, {self.backend}, {counted(self.micro_batch, 'clip')} a call"


def choose_fastest(
    checkpoint: Path, videos: Sequence[Path], backends: Sequence[str], rounds: int, out: Path
) -> int:
    """Time each way on clips of the run's test videos, or of `videos`; remember the fastest of
    those that find the same classes, for torch's own number of threads.

    Raises as `find_clips`.
    """
    about = about_machine() | {"threads": str(torch.get_num_threads())}
    model, contents = load_network(checkpoint)
    shape = contents.clip.test_shape
    index, _ = find_clips(checkpoint, contents, videos, count=CLIPS)
    clips = Clips(index, contents.clip, contents.normalisation, CPU)
    kinds = [(precision, backend) for precision in ("fp32", "bf16")
             for backend in dict.fromkeys(["eager", *backends])]  # fmt: skip
    if "openvino" in backends:
        kinds.append((INT8, "openvino"))
    sizes = sorted({1, clips_in_call(shape, "cpu"), MOST_CLIPS})
    candidates = [Candidate(*kind, size) for kind in kinds for size in sizes]
    with TemporaryDirectory() as folder:
        int8 = Path(folder, "model_int8.xml")

        @cache
        def make(one: Candidate) -> Network:
            if one.precision == INT8:
                network = int8_network(one, shape, checkpoint, len(index), int8)
            else:
                network = fast_network(
                    model, shape, device=CPU, precision=one.precision, backend=one.backend,
                    micro_batch=one.micro_batch,
                )  # fmt: skip
            for size in {1, one.micro_batch}:  # some are built when they are called
                network(torch.zeros(size, 3, *shape))
            return network

        few = add_agreement(candidates, make, clips)
        add_times(candidates, make, few, rounds)
        first = candidates[0]
        best = max((one for one in candidates if one.sound(first)), key=lambda one: one.rate)
        way = Way(best.precision, best.backend, best.micro_batch,
                  int8 if best.precision == INT8 else None)  # fmt: skip
        file = remember_fastest(way, model, shape, CPU)
    write_results(
        out / "choose", about,
        f"{checkpoint}, clips of {'×'.join(map(str, shape))}, "
        f"{counted(len(clips.sound), 'test video')}; "
        f"medians of {counted(rounds, 'interleaved round')}. The fastest way with the same class "
        f"as fp32 in {SAME_CLASS:.0%} of the clips that loses at most {LOST:.1%} of top-1: "
        f"**{best}**.",
        table(HEADS, [cells(one, first) for one in candidates]),
        {"format": "choose-2", "chosen": asdict(way) | {"file": None},
         "ways": as_dicts(candidates)},
    )  # fmt: skip
    say(f"predict, score, stream and serve use it for this network here: {file}")
    device = " --device cpu" if torch.cuda.is_available() else ""
    say(f"its accuracy on all test videos: video-gc test {checkpoint} --fastest{device}")
    return 0


def int8_network(
    one: Candidate, shape: ClipShape, checkpoint: Path, videos: int, file: Path
) -> Network:
    """A candidate in int8, calibrated on 200 of the run's training videos.

    videos: on how many it will be compared. file: where the model is, or will be written.
    Raises ImportError and ValueError if that cannot be.
    """
    if videos < ENOUGH:
        raise ValueError(f"int8 is compared on {ENOUGH} videos at least, here are {videos}")
    if not default_output(checkpoint, "splits").is_dir():
        raise ValueError("int8 is calibrated on the training videos of a run; give the run")
    if not file.is_file():
        options = ExportOptions(format="openvino", int8=True, dynamic=True, accept_difference=True)
        export_checkpoint(checkpoint, options, count=MOST_CLIPS, out=file.parent)
    return run_int8(file, shape, one.micro_batch)


def add_agreement(
    candidates: Sequence[Candidate], make: Callable[[Candidate], Network], clips: Clips
) -> Tensor:
    """Add what each precision and backend finds in the clips, compared with the first, or why it
    cannot be run here. Returns `MOST_CLIPS` of the clips.

    Raises DataError if no video can be read.
    """
    networks: dict[tuple[str, str], Network] = {}
    for one in candidates:
        try:
            networks.setdefault((one.precision, one.backend), make(one))
        except Exception as error:  # a backend that fails here becomes a line of the results
            if one is candidates[0]:
                raise
            one.error = reason(error)
    logits: dict[tuple[str, str], list[Tensor]] = {kind: [] for kind in networks}
    few, rows = torch.empty(0), list[np.ndarray]()
    for batch, found in clips.batches("Comparing classes"):
        few = torch.cat([few, batch])[:MOST_CLIPS] if len(few) else batch
        rows.append(found)
        for kind, network in networks.items():
            logits[kind].append(torch.cat([network(clip) for clip in batch.split(1)]))
    if not rows:
        why = next(iter(clips.damaged.values())).reason
        raise DataError(f"none of {len(clips.index)} videos could be read: {why}")
    index, every = clips.index, np.concatenate(rows)
    labels = np.full(len(every), -1) if index.multi_label else np.asarray(index.labels)[every]
    known = labels >= 0
    right = torch.cat(logits[candidates[0].precision, candidates[0].backend])
    for one in candidates:
        if not one.error:
            made = torch.cat(logits[one.precision, one.backend])
            one.same = float((made.argmax(1) == right.argmax(1)).float().mean())
            one.off = float((made - right).norm() / right.norm())
            if known.any():
                one.right = float((made.argmax(1).numpy() == labels)[known].mean())
    return few[torch.arange(MOST_CLIPS) % len(few)]


def add_times(
    candidates: Sequence[Candidate],
    make: Callable[[Candidate], Network],
    clips: Tensor,
    rounds: int,
) -> None:
    """Add the times of the clips, in turns."""
    calls = {
        number: partial(_call, make(one), clips, one.micro_batch)
        for number, one in enumerate(candidates)
        if not one.error
    }
    for turn, number, _, seconds in run_interleaved(calls, range(rounds + 1), "Timing"):
        if turn:  # the first warms up
            candidates[number].seconds.append(seconds)


def _call(network: Network, clips: Tensor, size: int, _round: object) -> Tensor:
    return torch.cat([network(part) for part in clips.split(size)])


def cells(one: Candidate, first: Candidate) -> list[str]:
    """A line of the table."""
    name = f"{one.precision}, {one.backend}"
    if not one.seconds:
        return [name, str(one.micro_batch), one.error or "", *[""] * (len(HEADS) - 3)]
    return [
        name,
        str(one.micro_batch),
        f"{one.rate:.3g}",
        f"{one.rate / first.rate:.2f}",
        f"{one.same:.1%}",
        "" if one.right is None else f"{one.right:.1%}",
        f"{one.off:.1e}",
    ]
