"""`benchmark.py predict --choose`: the fastest way to run a trained network on this machine."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks.measurement import (
    CPU,
    about_machine,
    as_dicts,
    reason,
    run_interleaved,
    table,
    write_results,
)
from video_gc.analysis.clips import Clips, find_clips
from video_gc.deploy.fastest import ClipShape, Way, remember_fastest
from video_gc.deploy.inference_network import MICRO_BATCH, FastNetwork, fast_network
from video_gc.progress import counted, say
from video_gc.train.checkpoint import load_network

CLIPS = 400
"""Videos on which a way has to agree with fp32."""
SAME = 0.995
"""Least share of them with the same best class."""
PLAIN = Way("fp32", "eager", 1)
HEADS = ["", "clips a call", "clips/s", "× the first", "same class", "logits off"]


@dataclass
class Candidate:
    """A way, and what was measured of it."""

    way: Way
    seconds: list[float] = field(default_factory=list)
    """of `MICRO_BATCH` clips, in each round"""
    same: float = 0.0
    """share of clips with the same best class as fp32"""
    off: float = 0.0
    """relative difference of the logits"""
    error: str | None = None

    @property
    def rate(self) -> float:
        """Clips per second, median."""
        return MICRO_BATCH / median(self.seconds)


def choose_fastest(
    checkpoint: Path, videos: Sequence[Path], backends: Sequence[str], rounds: int, out: Path
) -> int:
    """Time each way on clips of the run's test videos, or of `videos`; remember the fastest of
    those that find the same class, for torch's own number of threads.

    Raises ValueError if no way does, and as `find_clips`.
    """
    about = about_machine() | {"threads": str(torch.get_num_threads())}
    model, contents = load_network(checkpoint)
    shape = contents.clip.frames, contents.clip.test_crop, contents.clip.test_crop
    index, _ = find_clips(checkpoint, contents, videos, count=CLIPS)
    clips = Clips(index, contents.clip, contents.normalisation, CPU)
    ways = product(("fp32", "bf16"), dict.fromkeys(["eager", *backends]), (1, MICRO_BATCH))
    candidates = measured([Candidate(Way(*way)) for way in ways], model, shape, clips, rounds)
    sound = [one for one in candidates if one.seconds and one.same >= SAME]
    if not sound:
        raise ValueError(f"{checkpoint}: no way finds the same class in {SAME:.1%} of clips")
    best = max(sound, key=lambda one: one.rate).way
    file = remember_fastest(best, model, shape, CPU)
    base = next((one.rate for one in sound if one.way == PLAIN), None)
    write_results(
        out / "choose", about,
        f"{checkpoint}, clips of {'×'.join(map(str, shape))}, "
        f"{counted(len(clips.sound), 'test video')}; "
        f"medians of {counted(rounds, 'interleaved round')}. The fastest way with the same class "
        f"as fp32 in {SAME:.1%} of the clips: **{named(best)}**.",
        table(HEADS, [cells(one, base) for one in candidates]),
        {"format": "choose-1", "chosen": asdict(best), "ways": as_dicts(candidates)},
    )  # fmt: skip
    say(f"predict, score, stream and serve use it for this network here: {file}")
    return 0


def measured(
    candidates: list[Candidate], model: nn.Module, shape: ClipShape, clips: Clips, rounds: int
) -> list[Candidate]:
    """`candidates` with their figures. The first is fp32, with which all are compared."""
    networks: dict[int, FastNetwork] = {}
    for number, one in enumerate(candidates):
        given = {"precision": one.way.precision, "backend": one.way.backend}
        try:
            network = fast_network(
                model, shape, device=CPU, micro_batch=one.way.micro_batch, **given
            )
            network(torch.zeros(1, 3, *shape))
        except Exception as error:  # a backend that fails here becomes a line of the results
            if not number:
                raise
            one.error = reason(error)
            continue
        networks[number] = network
    logits: dict[int, list[Tensor]] = {number: [] for number in networks}
    few = torch.empty(0)
    for batch, _ in clips.batches("Comparing classes"):
        few = torch.cat([few, batch])[:MICRO_BATCH] if len(few) else batch
        for number, network in networks.items():
            logits[number].append(logits_of(network, batch, candidates[number].way.micro_batch))
    right = torch.cat(logits[0])
    for number, parts in logits.items():
        made = torch.cat(parts)
        candidates[number].same = float((made.argmax(1) == right.argmax(1)).float().mean())
        candidates[number].off = float((made - right).norm() / right.norm())
    few = few[torch.arange(MICRO_BATCH) % len(few)]
    calls = {
        number: partial(_call, network, few, candidates[number].way.micro_batch)
        for number, network in networks.items()
    }
    for turn, number, _, seconds in run_interleaved(calls, range(rounds + 1), "Timing"):
        if turn:  # the first warms up
            candidates[number].seconds.append(seconds)
    return candidates


def _call(network: FastNetwork, clips: Tensor, size: int, _round: object) -> Tensor:
    return logits_of(network, clips, size)


def logits_of(network: FastNetwork, clips: Tensor, size: int) -> Tensor:
    """(n, 3, T, H, W) → (n, classes), `size` clips a call."""
    return torch.cat([network(part) for part in clips.split(size)])


def named(way: Way) -> str:
    """In words."""
    return f"{way.precision}, {way.backend}, {counted(way.micro_batch, 'clip')} a call"


def cells(one: Candidate, base: float | None) -> list[str]:
    """A line of the table."""
    name = f"{one.way.precision}, {one.way.backend}"
    if not one.seconds:
        return [name, str(one.way.micro_batch), one.error or "", "", "", ""]
    return [
        name,
        str(one.way.micro_batch),
        f"{one.rate:.3g}",
        f"{one.rate / base:.2f}" if base else "",
        f"{one.same:.1%}",
        f"{one.off:.1e}",
    ]
