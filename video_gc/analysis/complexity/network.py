"""What a network costs, line by line: in total, of each part, and without its context blocks."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from video_gc.analysis.complexity.counts import COUNTED
from video_gc.analysis.complexity.lines import WITHOUT, Line, counted_lines
from video_gc.analysis.complexity.measuring import Measured, measure_network
from video_gc.analysis.complexity.parts import CONTEXT, network_parts
from video_gc.analysis.complexity.turns import Difference
from video_gc.analysis.measure import machine
from video_gc.data.sampling import ClipConfig
from video_gc.engine.device import pick_device
from video_gc.models.build import ModelConfig, build_model, sketch
from video_gc.models.context import ContextConfig
from video_gc.models.describe import positions_seen


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
    added_test: Difference | None = None
    """by the context blocks; None without them, or not measured"""
    added_train: Difference | None = None

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
    in what is measured. seconds: for each of up to nine measurements.

    Raises ValueError for a network that cannot be built or takes no such clip, ChildProcessError
    where a process that measures dies.
    """
    where = pick_device(device)
    model = replace(model, weights=None)
    network = build_model(model) if measure else sketch(model)
    size = (clip.frames, clip.test_crop, clip.test_crop)
    for side in {clip.test_crop, clip.crop}:
        positions_seen(network, (clip.frames, side, side))
    parts = network_parts(network)
    lines = counted_lines(network, parts, size)
    plain = None
    if any(part.kind == CONTEXT for part in parts):
        plain = replace(model, context=ContextConfig(), more_context=[])
        bare = counted_lines(sketch(plain), [], size)[-1]
        lines.append(replace(bare, name="without context blocks", kind=WITHOUT))
    found = Measured()
    if measure:
        found = measure_network(
            model, network, parts, clip, plain=plain, batch=batch, device=where, seconds=seconds
        )
        lines = [found.of(line) for line in lines]
    return NetworkCost(
        model, clip.frames, clip.test_crop, clip.crop, batch, str(where), machine(where), lines,
        found.added.get(False), found.added.get(True),
    )  # fmt: skip
