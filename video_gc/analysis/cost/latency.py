"""Time networks in turns, so a busy moment of the machine affects all equally.

On a shared machine two processes of the same network may differ by a half, and so may two moments
of one process. So compared networks are measured in the same rounds.
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
"""Seconds; two rounds are enough if a call takes longer."""
TURN = 0.1
"""Seconds during which the calls of a turn are repeated."""
Network = tuple[ModelConfig, ClipConfig]
"""The network to build, with num_classes but no weights, which do not matter; and its clips."""
K = TypeVar("K")


@dataclass(frozen=True)
class Spread:
    """One figure over several rounds."""

    median: float
    lower: float
    """lower quartile of the rounds"""
    upper: float
    """upper quartile of the rounds"""
    rounds: int


@dataclass(frozen=True)
class Work:
    """What is measured."""

    network: nn.Module
    clips: Tensor
    call: Callable[[], object]
    """A forward pass without gradients; or forward, loss, backward and an optimiser step."""


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    many = values if len(values) > 1 else [*values, *values]
    lower, _, upper = quantiles(many, n=4, method="inclusive")
    return Spread(median(values), lower, upper, len(values))


def build_work(
    model: ModelConfig, clip: ClipConfig, *, batch: int, device: torch.device, train: bool
) -> Work:
    """The network of `model` on `batch` random clips, in fp32, channels last.

    model: with num_classes; its weights are not loaded, because they do not change the cost. clip:
    its `test_crop` is the size in a test, its `crop` in a training. train: include a step of the
    default optimiser; otherwise forward only, with norms unfolded.

    Raises ValueError for a network that cannot be built or rejects such a clip.
    """
    side = clip.crop if train else clip.test_crop
    layout = torch.channels_last_3d
    network = build_model(model).to(device).to(memory_format=layout).train(train)
    clips = torch.randn(batch, 3, clip.frames, side, side, device=device).to(memory_format=layout)
    if not train:
        return Work(network, clips, torch.inference_mode()(lambda: network(clips)))
    optimizer = build_optimizer(network, OptimConfig(lr=1e-6))  # weights hardly change
    labels = torch.arange(batch, device=device) % (model.num_classes or 1)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(clips), labels).backward()
        optimizer.step()

    return Work(network, clips, step)


def time_interleaved(
    make: Mapping[K, Callable[[], Work]], device: torch.device, rounds: Iterable[int]
) -> dict[K, list[float]]:
    """Seconds per call of each in each round, in the order of `interleave`.

    make: builds it; called again in every turn, so only one network is in memory at a time. The
        first call of a turn warms up, the median of the others counts.
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
        del work  # before building the next one
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
    """0, 1, 2 … for about `seconds` of each kind; at least `LEAST`, or two for very slow ones."""
    started = time.perf_counter()
    for number in range(MOST):
        spent = (time.perf_counter() - started) / kinds
        if number > 1 and spent > VERY_SLOW * number:
            return
        if number >= LEAST and spent > seconds:
            return
        yield number


class Clock:
    """Records moments; on a GPU, those when the device gets there, not when Python does."""

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
        """Seconds; on a GPU only after `wait`."""
        return start.elapsed_time(end) / 1e3 if self.gpu else end - start

    def seconds(self, call: Callable[[], object]) -> float:
        """Of one call."""
        started = self.mark()
        call()
        ended = self.mark()
        wait(self.device)
        return self.between(started, ended)
