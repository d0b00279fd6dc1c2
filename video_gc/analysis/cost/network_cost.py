"""A network's cost by line: in total, for each part, and without its context blocks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from video_gc.analysis.cost.latency import (
    MODES,
    Network,
    Spread,
    build_work,
    rounds,
    spread,
    time_networks,
)
from video_gc.analysis.cost.memory import peak_memory
from video_gc.analysis.cost.parts import (
    CONTEXT,
    CONTEXTS,
    NETWORK,
    REST,
    STAGE,
    WITHOUT,
    Line,
    NetworkPart,
    counted_lines,
    network_parts,
)
from video_gc.analysis.cost.profile import ALL, kept_for_backward, time_parts
from video_gc.analysis.measure import MIB, machine
from video_gc.backbones.published import KINETICS400, PUBLISHED
from video_gc.data.sampling import ClipConfig
from video_gc.deploy.device import pick_device
from video_gc.models.build import ModelConfig, sketch
from video_gc.models.context import ContextConfig
from video_gc.models.counts import COUNTED, inside
from video_gc.models.describe import positions_seen
from video_gc.progress import progress_bar, say
from video_gc.train.checkpoint import is_published, load_network
from video_gc.train.checkpoint_paths import checkpoint_in


@dataclass(frozen=True)
class NetworkCost:
    """All lines, and their conditions."""

    model: ModelConfig
    frames: int
    test_side: int
    """pixels; counts are for this size"""
    train_side: int
    batch: int
    """clips per measurement"""
    device: str
    machine: dict[str, str]
    lines: list[Line]
    added_test: Spread | None = None
    """seconds added by the context blocks, from the differences within a round; None without blocks
    or measurement"""
    added_train: Spread | None = None

    def of(self, kind: str) -> list[Line]:
        """The lines of a kind."""
        return [line for line in self.lines if line.kind == kind]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with a note on the counts."""
        return {"format": "complexity-1", "counted": COUNTED} | asdict(self)


def described_network(source: str) -> Network:
    """The network and its clips; published weights are not downloaded.

    source: a checkpoint of ours, a run directory (its best checkpoint, else its last), or a name
        such as slow_r50.

    Raises FileNotFoundError, or ValueError for a file that is not a checkpoint of ours.
    """
    if not is_published(source):
        contents = load_network(checkpoint_in(Path(source)))[1]
        return contents.model, contents.clip
    published = PUBLISHED[source]
    classes, side = len(KINETICS400), published.side
    model = ModelConfig(backbone=published.backbone, depth=published.depth, num_classes=classes)
    clip = with_clip(ClipConfig(stride=published.stride), published.frames, side)
    return model, replace(clip, short_side=[side, max(side, 320)])


def with_clip(clip: ClipConfig, frames: int, side: int) -> ClipConfig:
    """The clips with this many frames of side × side pixels, in training and tests."""
    return ClipConfig(
        frames=frames, stride=clip.stride, crop=side, short_side=[side, side],
        test_crop=side, test_short_side=side,
    )  # fmt: skip


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

    clip: its `test_crop` is the size for counts and tests, its `crop` for training. batch: clips
    per measurement. seconds: for each of up to six measurements of time.

    Raises ValueError for a network that cannot be built or rejects such a clip, ChildProcessError
    if a measuring process dies.
    """
    where = pick_device(device)
    model = replace(model, weights=None)
    network = sketch(model)
    size = clip.test_shape
    for side in {clip.test_crop, clip.crop}:
        positions_seen(network, (clip.frames, side, side))
    parts = network_parts(network)
    lines = counted_lines(network, parts, size)
    networks = {NETWORK: (model, clip)}
    if any(part.kind == CONTEXT for part in parts):
        plain = replace(model, context=ContextConfig(), more_context=[])
        networks[WITHOUT] = (plain, clip)
        bare = counted_lines(sketch(plain), [], size)[-1]
        lines.append(replace(bare, name="without context blocks", kind=WITHOUT))
    added: dict[str, Spread] = {}
    if measure:
        columns, added = _measure(networks, parts, batch, where, seconds)
        lines = [_with_measures(line, columns) for line in lines]
    return NetworkCost(
        model, clip.frames, clip.test_crop, clip.crop, batch, str(where), machine(where), lines,
        **added,
    )  # fmt: skip


def _measure(
    networks: Mapping[str, Network],
    parts: list[NetworkPart],
    batch: int,
    device: torch.device,
    seconds: float,
) -> tuple[dict[str, dict[str, float]], dict[str, Spread]]:
    """Field of a line → key of the line → figure, and field of the cost → seconds of the blocks.

    networks: with and without the blocks. parts: of the first network.
    """
    columns: dict[str, dict[str, float]] = {}
    added = {}
    paths = {part.key: part.path for part in parts} | {NETWORK: ""}
    count = len(MODES) * len(networks)
    say(
        f"Measuring on this machine: {seconds * (count + len(MODES)):.0f} s or longer, and {count} "
        "processes of a few seconds each for memory; --no-measure only counts"
    )
    with progress_bar() as bar:
        task = bar.add_task("Measuring", total=count + 2 * len(MODES))

        @contextmanager
        def step(title: str) -> Iterator[None]:
            bar.update(task, description=title)
            yield
            bar.advance(task)

        for mode, train in MODES.items():  # peaks first: they report a lack of memory
            peaks = columns[f"{mode}_peak_mib"] = {}
            for kind, network in networks.items():
                with step(f"Memory, {mode}"):
                    peaks[kind] = peak_memory(
                        *network, batch=batch, device=str(device), train=train
                    )
        for mode, train in MODES.items():
            with step(f"Time, {mode}"):
                each = rounds(seconds, len(networks))
                turns = time_networks(networks, each, batch=batch, device=device, train=train)
            if WITHOUT in turns:
                pairs = zip(turns[NETWORK], turns[WITHOUT], strict=True)
                added[f"added_{mode}"] = spread([whole - plain for whole, plain in pairs])
            with step(f"Parts, {mode}"):
                work = build_work(*networks[NETWORK], batch=batch, device=device, train=train)
                modules = {key: work.network.get_submodule(path) for key, path in paths.items()}
                times = time_parts(work.call, modules, device, rounds(seconds))
            columns[f"{mode}_seconds"] = _with_sums(times, ALL) | {
                kind: spread(own).median for kind, own in turns.items()
            }
        kept = kept_for_backward(work.network, work.clips)  # after the last mode, a training
        own = {key: inside(kept, path) / MIB for key, path in paths.items()}
        columns["kept_mib"] = _with_sums(own, NETWORK)
    return columns, added


def _with_measures(line: Line, columns: Mapping[str, Mapping[str, float]]) -> Line:
    own: dict[str, Any] = {name: figures.get(line.key) for name, figures in columns.items()}
    return replace(line, **own)


def _with_sums(figures: Mapping[str, float], whole: str) -> dict[str, float]:
    """The lines of the parts, of all context blocks together, and of the rest."""
    contexts, stages = (
        sum(figure for key, figure in figures.items() if key.startswith(f"{kind} "))
        for kind in (CONTEXT, STAGE)
    )
    return {**figures, CONTEXTS: contexts, REST: max(figures[whole] - stages, 0.0)}
