"""What a network costs, line by line: in total, of each part, and without its context blocks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch

from video_gc.analysis.cost.counts import COUNTED, inside
from video_gc.analysis.cost.latency import Spread, build_work, in_turns, rounds, spread
from video_gc.analysis.cost.memory import peak_memory
from video_gc.analysis.cost.parts import (
    CONTEXT,
    CONTEXTS,
    NETWORK,
    REST,
    STAGE,
    WITHOUT,
    Line,
    Part,
    counted_lines,
    network_parts,
)
from video_gc.analysis.cost.profile import ALL, kept_for_backward, time_parts
from video_gc.analysis.measure import MIB, machine
from video_gc.data.sampling import ClipConfig
from video_gc.deploy.device import pick_device
from video_gc.models.build import ModelConfig, sketch
from video_gc.models.context import ContextConfig
from video_gc.models.describe import positions_seen
from video_gc.progress import progress_bar, say

MODES = {False: "test", True: "training"}


@dataclass(frozen=True)
class NetworkCost:
    """All lines, and what they hold for."""

    model: ModelConfig
    frames: int
    test_side: int
    """pixels; what is counted is for this one"""
    train_side: int
    batch: int
    """clips, of what is measured"""
    device: str
    machine: dict[str, str]
    lines: list[Line]
    added_test: Spread | None = None
    """seconds by the context blocks, of the differences within a round; None without them, or not
    measured"""
    added_train: Spread | None = None

    def of(self, kind: str) -> list[Line]:
        """The lines of a kind."""
        return [line for line in self.lines if line.kind == kind]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with a word on what is counted."""
        return {"format": "complexity-1", "counted": COUNTED} | asdict(self)


def network_cost(
    model: ModelConfig,
    clip: ClipConfig,
    *,
    batch: int = 1,
    device: str = "cpu",
    measure: bool = True,
    seconds: float = 1.0,
) -> NetworkCost:
    """Count and measure the network of `model` (with num_classes; its weights are not loaded).

    clip: its `test_crop` is what is counted and tested, its `crop` what is trained. batch: clips
    in what is measured. seconds: for each of up to six measurements of time.

    Raises ValueError for a network that cannot be built or takes no such clip, ChildProcessError
    where a process that measures dies.
    """
    where = pick_device(device)
    model = replace(model, weights=None)
    network = sketch(model)
    size = (clip.frames, clip.test_crop, clip.test_crop)
    for side in {clip.test_crop, clip.crop}:
        positions_seen(network, (clip.frames, side, side))
    parts = network_parts(network)
    lines = counted_lines(network, parts, size)
    networks = {NETWORK: model}
    if any(part.kind == CONTEXT for part in parts):
        networks[WITHOUT] = replace(model, context=ContextConfig(), more_context=[])
        bare = counted_lines(sketch(networks[WITHOUT]), [], size)[-1]
        lines.append(replace(bare, name="without context blocks", kind=WITHOUT))
    found = _Measured()
    if measure:
        found = _measure(networks, parts, clip, batch=batch, device=where, seconds=seconds)
        lines = [found.of(line) for line in lines]
    return NetworkCost(
        model, clip.frames, clip.test_crop, clip.crop, batch, str(where), machine(where), lines,
        found.added(train=False), found.added(train=True),
    )  # fmt: skip


@dataclass
class _Measured:
    """What was measured; by whether it is of training."""

    peaks: dict[tuple[str, bool], float] = field(default_factory=dict)
    """MiB, of the kinds network and without"""
    turns: dict[bool, dict[str, list[float]]] = field(default_factory=dict)
    """seconds of the same in each round"""
    seconds: dict[bool, dict[str, float]] = field(default_factory=dict)
    """of each part"""
    kept: dict[str, float] = field(default_factory=dict)
    """MiB that each part keeps for backward"""

    def added(self, *, train: bool) -> Spread | None:
        """By the context blocks."""
        turns = self.turns.get(train, {})
        if WITHOUT not in turns:
            return None
        pairs = zip(turns[NETWORK], turns[WITHOUT], strict=True)
        return spread([whole - plain for whole, plain in pairs])

    def of(self, line: Line) -> Line:
        """The line with its measures."""
        if line.kind in (NETWORK, WITHOUT):
            test, train = (spread(self.turns[mode][line.kind]).median for mode in MODES)
            return replace(
                line, test_seconds=test, train_seconds=train, kept_mib=self.kept.get(line.kind),
                test_peak_mib=self.peaks[line.kind, False],
                train_peak_mib=self.peaks[line.kind, True],
            )  # fmt: skip
        test, train = (_sum(line, self.seconds[mode], ALL) for mode in MODES)
        kept = _sum(line, self.kept, NETWORK)
        return replace(line, test_seconds=test, train_seconds=train, kept_mib=kept)


def _sum(line: Line, figures: Mapping[str, float], whole: str) -> float:
    """Of a part its own; of the context blocks together; of the rest what is left."""
    if line.kind == CONTEXTS:
        return sum(figures[key] for key in figures if key.startswith(f"{CONTEXT} "))
    if line.kind == REST:
        stages = sum(figures[key] for key in figures if key.startswith(f"{STAGE} "))
        return max(figures[whole] - stages, 0.0)
    return figures[line.key]


def _measure(
    networks: Mapping[str, ModelConfig],
    parts: Sequence[Part],
    clip: ClipConfig,
    *,
    batch: int,
    device: torch.device,
    seconds: float,
) -> _Measured:
    """networks: with the blocks, and without. parts: of the first one."""
    found = _Measured()
    paths = {f"{part.kind} {part.name}": part.path for part in parts}
    build = partial(build_work, clip=clip, batch=batch, device=device)

    def peak(kind: str, train: bool) -> None:
        found.peaks[kind, train] = peak_memory(
            networks[kind], clip, batch=batch, device=str(device), train=train
        )

    def turns(train: bool) -> None:
        make = {kind: partial(build, model, train=train) for kind, model in networks.items()}
        found.turns[train] = in_turns(make, device, rounds(seconds, len(make)))

    def profile(train: bool) -> None:
        work = build(networks[NETWORK], train=train)
        modules = {key: work.network.get_submodule(path) for key, path in paths.items()}
        modules[NETWORK] = work.network
        found.seconds[train] = time_parts(work.call, modules, device, rounds(seconds))
        if train:
            kept = kept_for_backward(work.network, work.clips)
            found.kept = {key: inside(kept, path) / MIB for key, path in paths.items()}
            found.kept[NETWORK] = kept.total() / MIB

    steps: list[tuple[str, Callable[[], None]]] = []
    for train, mode in MODES.items():  # peaks first: where memory is short, they say so
        steps += [(f"Memory, {mode}", partial(peak, kind, train)) for kind in networks]
    for train, mode in MODES.items():
        steps.append((f"Time, {mode}", partial(turns, train)))
        steps.append((f"Parts, {mode}", partial(profile, train)))
    least = seconds * len(MODES) * (len(networks) + 1)
    say(
        f"Measuring on this machine: {least:.0f} s or longer, and {len(MODES) * len(networks)} "
        "processes of some seconds each for memory; --no-measure only counts"
    )
    with progress_bar() as progress:
        task = progress.add_task("Measuring", total=len(steps))
        for title, work in steps:
            progress.update(task, description=title)
            work()
            progress.advance(task)
    return found
