"""Context blocks in named residual blocks, at a place inside each.

A context block is registered as a child named `context` of the module at its place and applied by
a forward hook. Every other parameter keeps its name, so published weights still load.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from video_gc.backbones.stages import FEATURES, depth_of, places, sites
from video_gc.blocks import build_block, check_block, choices

PLACES = ("after_add", "after_1x1", "after_3x3")
PATHWAYS = ("slow.", "fast.", "*.")
FIVE = {
    50: ["res3.1", "res3.3", "res4.1", "res4.3", "res4.5"],
    101: ["res3.1", "res3.3", "res4.6", "res4.13", "res4.20"],
}
PLACEMENTS: dict[str, dict[int, list[str]] | list[str]] = {
    "none": [],
    "one": {50: ["res4.4"]},
    "five": FIVE,
    "ten": {50: ["res3.*", "res4.*"]},
    "all": ["res3.*", "res4.*", "res5.*"],
}
"""Name → residual blocks, by depth or for all depths (Wang et al., 2018, table 2c; Cao et al.,
2019, table 7)."""


@dataclass(kw_only=True)
class ContextConfig:
    """One kind of context block and its places."""

    kind: str = "none"
    """none, or a kind of block, as listed for the group context"""
    place: str = "after_add"
    """after_add, after_1x1 or after_3x3 of the residual block"""
    after: list[str] = field(default_factory=lambda: ["five"])
    """residual blocks: res3.1, res4.*, or a named placement (none, one, five, …); in SlowFast those
    of the slow pathway; fast.res3.1 is the fast one, *.five both; features: last map of image"""
    options: dict[str, Any] = field(default_factory=dict)
    """arguments of the block, such as reduction"""

    def __post_init__(self) -> None:
        if self.kind != "none":
            check_block(self.kind, self.options)
        if self.place not in PLACES:
            raise ValueError(f"unknown place {self.place!r}; {choices(self.place, list(PLACES))}")


def place_blocks(backbone: nn.Module, config: ContextConfig) -> None:
    """Insert the context blocks of `config`."""
    if config.kind == "none":  # a wrong name is an error anyway
        names = [name for name in config.after if _split(name)[1] not in PLACEMENTS]
        _matching(names, list(sites(backbone)))
        return
    insert_context(
        backbone,
        after=config.after,
        make_block=lambda channels: build_block(config.kind, channels, **config.options),
        place=config.place,
    )


def expand_placement(after: Iterable[str], depth: int | None) -> list[str]:
    """Replace named placements by their residual blocks; `fast.five` and `*.five` too.

    depth: 50, 101 or None for another.

    Raises ValueError for a named placement that `depth` lacks.
    """
    blocks: list[str] = []
    for name in after:
        pathway, bare = _split(name)
        placement = PLACEMENTS.get(bare, [bare])
        if isinstance(placement, dict):
            if depth not in placement:
                depths = " or ".join(map(str, placement))
                raise ValueError(
                    f"placement {name!r} is defined for the stages of a ResNet of depth {depths}, "
                    "and this network has others; use placement=all, or name residual blocks, "
                    "such as model.context.after=[res4.*]"
                )
            placement = placement[depth]
        blocks.extend(pathway + block for block in placement)
    return blocks


def _split(name: str) -> tuple[str, str]:
    """`fast.five` → its pathway `fast.` (or none) and `five`."""
    pathway = next((p for p in PATHWAYS if name.startswith(p)), "")
    return pathway, name.removeprefix(pathway)


def insert_context(
    backbone: nn.Module,
    *,
    after: Iterable[str] | str,
    make_block: Callable[[int], nn.Module],
    place: str = "after_add",
) -> dict[str, nn.Module]:
    """Insert a new context block at each named residual block; return them by that name.

    after: names such as `res3.1`, patterns such as `res4.*`, or a named placement such as `five`;
        in SlowFast a bare name means the slow pathway, `fast.res3.1` the fast one, `*.five` both.
    make_block: channels → context block.

    Raises ValueError for a name that matches no residual block, a placement that the depth lacks,
    an unknown place, a place that a residual block lacks, or one that is already taken.

    >>> from torchvision.models import resnet18
    >>> list(insert_context(resnet18(), after="res4.*", make_block=lambda c: build_block("gc", c)))
    ['res4.0', 'res4.1']
    """
    if place not in PLACES:
        raise ValueError(f"unknown place {place!r}; {choices(place, list(PLACES))}")
    blocks = sites(backbone)
    if not blocks:
        raise ValueError(
            "no residual blocks in this network; they are found in pytorchvideo's residual "
            "networks and torchvision's image ResNets"
        )
    free = {}
    for name in matching_blocks(backbone, [after] if isinstance(after, str) else after):
        valid = places(blocks[name])
        if place not in valid:
            raise ValueError(f"{name} has no place {place!r}; it has {', '.join(valid)}")
        if hasattr(valid[place].module, "context"):
            raise ValueError(f"{name} has a context block {place} already")
        free[name] = valid[place]
    inserted = {name: make_block(there.channels) for name, there in free.items()}
    for name, there in free.items():  # only now, so an error leaves the network unchanged
        there.module.add_module("context", inserted[name])
        if there.before:
            there.module.register_forward_pre_hook(apply_context_before)
        else:
            there.module.register_forward_hook(apply_context)
    return inserted


def matching_blocks(backbone: nn.Module, after: Iterable[str]) -> list[str]:
    """The residual blocks in `after` (names, patterns, placements), in network order.

    Raises ValueError for a name that matches none and a placement that the depth lacks.
    """
    names, after = list(sites(backbone)), list(after)
    placements = [name for name in after if PLACEMENTS.get(name)]
    if names == [FEATURES] and placements:
        raise ValueError(
            f"placement {placements[0]!r} names residual blocks, and the parts of this network "
            f"have no names; use model.context.after=[{FEATURES}], its last map"
        )
    return _matching(expand_placement(after, depth_of(names)), names)


def apply_context(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Forward hook: pass the module's output through its child `context`."""
    context = module.context
    assert isinstance(context, nn.Module)
    return context(output)


def apply_context_before(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """Forward pre-hook: pass the module's input through its child `context`."""
    context = module.context
    assert isinstance(context, nn.Module)
    return context(*inputs)


def context_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The inserted context blocks: {"res3.1": block}; a place other than after_add is appended."""
    found: dict[str, nn.Module] = {}
    for name, block in sites(model).items():
        for place, there in places(block).items():
            context = getattr(there.module, "context", None)
            if context is not None:
                found[name if place == "after_add" else f"{name} {place}"] = context
    return found


def _matching(patterns: Iterable[str], names: list[str]) -> list[str]:
    """Names in network order; without a pathway, of two the slow one is meant."""
    prefix = "slow." if names and names[0].startswith("slow.") else ""
    wanted = set()
    for pattern in patterns:
        full = pattern if pattern.startswith(PATHWAYS) else prefix + pattern
        hits = [name for name in names if fnmatchcase(name, full)]
        if not hits:
            valid = names if names == [FEATURES] else [*PLACEMENTS, *names]
            raise ValueError(f"no residual block is called {pattern!r}; {choices(pattern, valid)}")
        wanted.update(hits)
    return [name for name in names if name in wanted]
