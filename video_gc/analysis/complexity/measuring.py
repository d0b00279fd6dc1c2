"""Time and memory of the lines of the table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from video_gc.analysis.complexity.attribution import inside
from video_gc.analysis.complexity.kept import kept_for_backward
from video_gc.analysis.complexity.lines import CONTEXTS, NETWORK, REST, WITHOUT, Line
from video_gc.analysis.complexity.measured import measured_cost, training_step
from video_gc.analysis.complexity.parts import CONTEXT, STAGE, Part
from video_gc.analysis.complexity.rounds import rounds
from video_gc.analysis.complexity.timed import ALL, time_parts
from video_gc.analysis.complexity.turns import Difference, in_turns
from video_gc.analysis.measure import MIB, Cost
from video_gc.data.sampling import ClipConfig
from video_gc.models.build import ModelConfig, build_model
from video_gc.progress import progress_bar

MODES = {False: "test", True: "training"}


@dataclass
class Measured:
    """What was measured; by whether it is of training."""

    processes: dict[tuple[str, bool], Cost] = field(default_factory=dict)
    """of the kinds network and without"""
    seconds: dict[bool, dict[str, float]] = field(default_factory=dict)
    """of each part"""
    kept: dict[str, float] = field(default_factory=dict)
    """MiB that each part keeps for backward"""
    added: dict[bool, Difference] = field(default_factory=dict)
    """by the context blocks"""

    def of(self, line: Line) -> Line:
        """The line with its measures."""
        if line.kind in (NETWORK, WITHOUT):
            test, train = (self.processes[line.kind, train] for train in (False, True))
            return replace(
                line, test_seconds=test.seconds, train_seconds=train.seconds,
                kept_mib=self.kept.get(line.kind),
                test_peak_mib=test.peak_mib, train_peak_mib=train.peak_mib,
            )  # fmt: skip
        test_seconds, train_seconds = (self._seconds(line, train) for train in (False, True))
        return replace(
            line, test_seconds=test_seconds, train_seconds=train_seconds,
            kept_mib=self._sum(line, self.kept, NETWORK),
        )  # fmt: skip

    def _seconds(self, line: Line, train: bool) -> float:
        return self._sum(line, self.seconds[train], ALL)

    def _sum(self, line: Line, figures: Mapping[str, float], whole: str) -> float:
        """Of a part its own; of the context blocks together; of the rest what is left."""
        if line.kind == CONTEXTS:
            return sum(figures[key] for key in figures if key.startswith(f"{CONTEXT} "))
        if line.kind == REST:
            stages = sum(figures[key] for key in figures if key.startswith(f"{STAGE} "))
            return max(figures[whole] - stages, 0.0)
        return figures[line.key]


def measure_network(
    model: ModelConfig,
    network: nn.Module,
    parts: Sequence[Part],
    clip: ClipConfig,
    *,
    plain: ModelConfig | None,
    batch: int,
    device: torch.device,
    seconds: float,
) -> Measured:
    """Of `network`, which `model` describes; it is trained a few steps and moved to `device`.

    plain: the network without context blocks, where it has some. seconds: for each measurement.

    Raises ChildProcessError where a process that measures dies.
    """
    found = Measured()
    network.to(device).to(memory_format=torch.channels_last_3d)
    other = None if plain is None else build_model(plain).to(device)
    keyed = {f"{part.kind} {part.name}": part for part in parts}
    modules = {key: part.module for key, part in keyed.items()} | {NETWORK: network}

    def clips(train: bool) -> Tensor:
        side = clip.crop if train else clip.test_crop
        drawn = torch.randn(batch, 3, clip.frames, side, side, device=device)
        return drawn.to(memory_format=torch.channels_last_3d)

    def call(which: nn.Module, train: bool) -> Callable[[], object]:
        given = clips(train)
        which.train(train)
        if train:
            return training_step(which, given, model.num_classes or 1)
        return torch.inference_mode()(lambda: which(given))

    def process(kind: str, config: ModelConfig, train: bool) -> None:
        found.processes[kind, train] = measured_cost(
            config, clip, batch=batch, device=str(device), train=train, seconds=seconds
        )

    def part_times(train: bool) -> None:
        times = time_parts(call(network, train), modules, device, rounds(seconds))
        found.seconds[train] = times

    def turns(which: nn.Module, train: bool) -> None:
        calls = call(network, train), call(which, train)
        found.added[train] = in_turns(*calls, device, rounds(2 * seconds))

    def keep() -> None:
        own = kept_for_backward(network.train(), clips(train=True))
        found.kept |= {key: inside(own, part.path) / MIB for key, part in keyed.items()}
        found.kept[NETWORK] = own.total() / MIB

    steps: list[tuple[str, Callable[[], None]]] = []
    for train, mode in MODES.items():  # processes first: where memory is short, they say so
        steps.append((f"The network, {mode}", partial(process, NETWORK, model, train)))
        if plain is not None:
            steps.append((f"Without blocks, {mode}", partial(process, WITHOUT, plain, train)))
    for train, mode in MODES.items():
        steps.append((f"Its parts, {mode}", partial(part_times, train)))
        if other is not None:
            other = other.to(memory_format=torch.channels_last_3d)
            steps.append((f"With and without, {mode}", partial(turns, other, train)))
    steps.append(("What is kept for backward", keep))
    with progress_bar() as progress:
        task = progress.add_task("Measuring", total=len(steps))
        for title, work in steps:
            progress.update(task, description=title)
            work()
            progress.advance(task)
    return found
