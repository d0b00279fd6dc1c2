"""How long networks take: in turns, so that a slow moment of the machine hits all of them alike.

On a shared machine two processes of the same network may differ by a half, and so may two moments
of one process. What is compared is therefore measured in the same rounds.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.analysis.measure import interleave, wait
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig, build_model
from video_gc.train.recipe.optim import OptimConfig, build_optimizer

MODES = {"test": False, "train": True}
"""What is measured → whether it is a training step."""
LEAST, MOST = 4, 100
"""Rounds."""
VERY_SLOW = 12.0
"""Seconds; of what takes longer in a round, two are enough."""
TURN = 0.1
"""Seconds for which the calls of a turn are repeated."""
Network = tuple[ModelConfig, ClipConfig]
"""What is built, with num_classes and without weights, which cost the same; and what it sees."""
K = TypeVar("K")


@dataclass(frozen=True)
class Spread:
    """Of one figure in several rounds."""

    median: float
    lower: float
    """a quarter of the rounds lie below"""
    upper: float
    """a quarter of the rounds lie above"""
    rounds: int


@dataclass(frozen=True)
class Work:
    """What is measured."""

    network: nn.Module
    clips: Tensor
    call: Callable[[], object]
    """A forward pass without gradients; or forward, loss, backward and a step of the optimiser."""


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    many = values if len(values) > 1 else [*values, *values]
    lower, _, upper = quantiles(many, n=4, method="inclusive")
    return Spread(median(values), lower, upper, len(values))


def build_work(
    model: ModelConfig, clip: ClipConfig, *, batch: int, device: torch.device, train: bool
) -> Work:
    """The network of `model` on `batch` random clips, in fp32, channels last.

    model: with num_classes; its weights are not loaded, for they cost the same. clip: its
    `test_crop` is what a test sees, its `crop` a training. train: a step of the default optimiser;
    otherwise forward alone, norms not folded.

    Raises ValueError for a network that cannot be built or takes no such clip.
    """
    side = clip.crop if train else clip.test_crop
    layout = torch.channels_last_3d
    network = build_model(model).to(device).to(memory_format=layout).train(train)
    clips = torch.randn(batch, 3, clip.frames, side, side, device=device).to(memory_format=layout)
    if not train:
        return Work(network, clips, torch.inference_mode()(lambda: network(clips)))
    optimizer = build_optimizer(network, OptimConfig(lr=1e-6))  # weights that stay what they are
    labels = torch.arange(batch, device=device) % (model.num_classes or 1)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(clips), labels).backward()
        optimizer.step()

    return Work(network, clips, step)


def time_interleaved(
    make: Mapping[K, Callable[[], Work]], device: torch.device, rounds: Iterable[int]
) -> dict[K, list[float]]:
    """Seconds of a call of each in each round, in the order of `interleave`.

    make: what builds it; asked again in every turn, so that only one network is held at a time and
        none keeps a lucky place in memory. The first call of a turn warms up, the median of the
        others counts.
    """
    clock = Clock(device)
    found: dict[K, list[float]] = {name: [] for name in make}
    for _, name in interleave(list(make), rounds):
        work = make[name]()
        clock.seconds(work.call)
        times = [clock.seconds(work.call)]
        while sum(times) < TURN:
            times.append(clock.seconds(work.call))
        found[name].append(median(times))
        del work  # before the next one is built
    return found


def time_networks(
    networks: Mapping[K, Network],
    rounds: Iterable[int],
    *,
    batch: int = 1,
    device: torch.device,
    train: bool,
) -> dict[K, list[float]]:
    """Seconds of a forward pass, or of a training step, of each network: `build_work` in turns."""
    make = {
        key: partial(build_work, model, clip, batch=batch, device=device, train=train)
        for key, (model, clip) in networks.items()
    }
    return time_interleaved(make, device, rounds)


def rounds(seconds: float, kinds: int = 1) -> Iterator[int]:
    """0, 1, 2 … for about `seconds` of each kind; `LEAST` at least, or two of what is very slow."""
    started = time.perf_counter()
    for number in range(MOST):
        spent = (time.perf_counter() - started) / kinds
        if number > 1 and spent > VERY_SLOW * number:
            return
        if number >= LEAST and spent > seconds:
            return
        yield number


class Clock:
    """Marks moments; on a GPU they are when the device gets there, not when Python does."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.gpu = device, device.type == "cuda"

    def mark(self) -> Any:
        """The present moment."""
        if not self.gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def between(self, start: Any, end: Any) -> float:
        """Seconds; on a GPU after `wait`."""
        return start.elapsed_time(end) / 1e3 if self.gpu else end - start

    def seconds(self, call: Callable[[], object]) -> float:
        """Of one call."""
        started = self.mark()
        call()
        ended = self.mark()
        wait(self.device)
        return self.between(started, ended)
