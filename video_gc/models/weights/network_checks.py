"""Which of our networks a file of weights belongs to: by names, shapes, or what the file says."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import nn

from video_gc.backbones import build_backbone
from video_gc.backbones.unstored_options import SLOW_FRAMES, unstored_options
from video_gc.blocks import build_block
from video_gc.models.context import context_blocks, matching_blocks
from video_gc.models.weights.configuration import Configuration, Statement
from video_gc.models.weights.context_checks import unstored_block_options
from video_gc.models.weights.matching import match
from video_gc.models.weights.names import rename
from video_gc.models.weights.states import State

Network = tuple[str, int]
"""A backbone and its depth."""
PUBLISHERS: dict[str, tuple[str, ...]] = {
    "MMAction2": (
        "slow", "c2d_unpadded", "c2d_nopool", "i3d_32x2", "i3d_heavy", "slowfast_linear",
        "slowfast_4x16_linear", "slowfast_4x16_linear_r101_r50", "i3d_3x3x3",
    ),
    "PySlowFast": (
        "slow", "c2d", "c2d_nopool", "i3d", "slowfast", "slowfast_4x16", "slowfast_16x8",
        "slowfast_r101_50_101", "slowfast_fuse5",
    ),
    "Caffe2": (
        "slow", "c2d_nopool", "c2d", "c2d_unpadded", "i3d", "slowfast", "slowfast_4x16",
        "slowfast_16x8", "slowfast_r101_50_101", "slowfast_fuse5",
    ),
}  # fmt: skip
"""Naming → the backbones that weights under it can have been trained in."""
STEMS = (
    "s1.pathway0_stem.conv.weight",
    "conv1_w",
    "backbone.conv1.conv.weight",
    "backbone.slow_path.conv1.conv.weight",
)
"""The stem's convolution, as each library calls it; its outputs tell the width of the network."""


def networks_of(state: State, naming: str, said: Configuration) -> list[Network]:
    """The networks here that `state` goes into whole, and of which all is so that is said.

    state: under the names that it has in its file.
    """
    if naming not in PUBLISHERS:
        return []
    stem = next((state[name] for name in STEMS if name in state), None)
    width = len(stem) / 64 if stem is not None else 1.0
    two = any(re.search(r"pathway1|fast_path|^t_|multipathway_blocks\.1", name) for name in state)
    deep = any(re.search(r"(res|[._])22[._]", name) for name in state)
    shadow = {name: tensor.to("meta") for name, tensor in state.items()}
    found = []
    for backbone in PUBLISHERS[naming]:
        model = _without_numbers(backbone, 101 if deep else 50, width)
        if model is None or backbone.startswith("slowfast") != two:
            continue
        renamed = rename(shadow, naming, model)
        if (
            said.contradicted_by(unstored_options(model)) is None
            and match(model, renamed, naming).fits
        ):
            found.append((backbone, 101 if deep else 50))
    return found


def unstored_options_of(network: Network) -> dict[str, Any]:
    """What `unstored_options` says of a network of ours."""
    model = _without_numbers(*network, 1.0)
    return {} if model is None else unstored_options(model)


def as_command(networks: list[Network]) -> str:
    """What to type for one of them, and by what they differ that no shape shows."""
    facts = [unstored_options_of(network) for network in networks]
    shown = []
    for (backbone, depth), own in zip(networks, facts, strict=True):
        differing = [f"{k} {v}" for k, v in own.items() if any(o.get(k) != v for o in facts)]
        more = f" ({', '.join(differing)})" if differing else ""
        deep = f" model.depth={depth}" if depth != 50 else ""
        shown.append(f"model.backbone={backbone}{deep}{more}")
    return " or ".join(shown)


def check_network(
    source: str,
    model: nn.Module,
    state: State,
    naming: str,
    said: Configuration,
    networks: list[Network] | None = None,
) -> None:
    """Raise ValueError where `model`, which the shapes of `state` fit, computes something else.

    networks: what the weights are of, where that is known; else those that they fit are looked for.
    """
    own = unstored_options(model)
    denied = said.contradicted_by(own)
    if denied is None and not networks and (naming not in PUBLISHERS or not own):
        return
    if networks is None:
        networks = networks_of(state, naming, said)
    if denied is None and any(unstored_options_of(network) == own for network in networks):
        return
    if denied is None:
        facts = [unstored_options_of(network) for network in networks]
        fact = next((key for key in own if all(f.get(key) != own[key] for f in facts)), "")
        why = f"{fact or 'what no shape shows'} ({own.get(fact)}) is another here"
    else:
        why = (
            f"{denied.option}: {denied.theirs} in the file means {denied.fact} {denied.value}, "
            f"and here it is {own[denied.fact]}"
        )
    use = said.as_command or as_command(networks)
    raise ValueError(
        f"weights {source} are of another network: {why}; "
        + (f"use {use}" if use else "no backbone here is like that")
    )


@cache
def _without_numbers(backbone: str, depth: int, width: float) -> nn.Module | None:
    """A backbone without numbers; None where there is none of that depth and width."""
    try:
        with torch.device("meta"):
            return build_backbone(backbone, depth=depth, width=width)
    except ValueError:
        return None


def own_configuration(description: Any, model: nn.Module) -> Configuration:
    """Of the `model` part of a description; empty where it is none that can be understood.

    model: the network that the weights are for; its names are used for those of the file.
    """
    config = description.get("model") if isinstance(description, Mapping) else None
    if not isinstance(config, Mapping) or "backbone" not in config:
        return Configuration()
    backbone, depth = str(config["backbone"]), config.get("depth", 50)
    facts = unstored_options_of((backbone, depth))
    command = f"model.backbone={backbone}" + (f" model.depth={depth}" if depth != 50 else "")
    if SLOW_FRAMES in facts:  # checkpoints without it spread the frames of every network
        facts[SLOW_FRAMES] = config.get("slow_frames") or "spread"
        command += f" model.slow_frames={facts[SLOW_FRAMES]}"
    network = [Statement("model.backbone", backbone, fact, value) for fact, value in facts.items()]
    contexts = [config.get("context"), *(config.get("more_context") or [])]
    said = [s for context in contexts if isinstance(context, Mapping) for s in _of(context, model)]
    return Configuration(network, said, command)


def _of(context: Mapping[str, Any], model: nn.Module) -> list[tuple[str, Statement]]:
    """What one kind of context block is said to be, wherever the network has its place too."""
    kind, place, options = (context.get(key) for key in ("kind", "place", "options"))
    blocks = context_blocks(model)
    try:
        names = matching_blocks(model, context.get("after") or [])
    except ValueError:  # a placement that this network lacks; the blocks will not fit either
        return []
    said = []
    for name in names:
        where = name if place == "after_add" else f"{name} {place}"
        channels = getattr(blocks.get(where), "channels", None)
        if channels is None or kind == "none":
            continue
        try:
            with torch.device("meta"):
                theirs = unstored_block_options(build_block(str(kind), channels, **(options or {})))
        except (ValueError, TypeError):
            continue
        said += [(where, Statement(f"its {kind}", v, option, v)) for option, v in theirs.items()]
    return said
