"""Which of our networks a file of weights belongs to, by names, shapes and its configuration."""

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
"""Naming → the backbones that its weights can have been trained in."""
STEMS = (
    "s1.pathway0_stem.conv.weight",
    "conv1_w",
    "backbone.conv1.conv.weight",
    "backbone.slow_path.conv1.conv.weight",
)
"""Names of the stem's convolution in each library; its outputs give the network's width."""


def networks_of(state: State, naming: str, said: Configuration) -> list[Network]:
    """Our networks that `state` fits completely and that agree with the file's settings.

    state: under its names in the file.
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
    """`unstored_options` of one of our networks."""
    model = _without_numbers(*network, 1.0)
    return {} if model is None else unstored_options(model)


def as_command(networks: list[Network]) -> str:
    """What to type for one of them, and how they differ beyond shapes."""
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
    """Raise ValueError if `model`, which the shapes of `state` fit, computes something else.

    networks: those that the weights belong to, if known; otherwise all that they fit.
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
        why = f"{fact or 'an option that shapes do not show'} ({own.get(fact)}) differs here"
    else:
        why = (
            f"{denied.option}: {denied.theirs} in the file means {denied.fact} {denied.value}, "
            f"and here it is {own[denied.fact]}"
        )
    use = said.as_command or as_command(networks)
    raise ValueError(
        f"weights {source} belong to another network: {why}; "
        + (f"use {use}" if use else "no backbone here has that")
    )


@cache
def _without_numbers(backbone: str, depth: int, width: float) -> nn.Module | None:
    """A backbone of meta tensors; None if it does not exist at that depth and width."""
    try:
        with torch.device("meta"):
            return build_backbone(backbone, depth=depth, width=width)
    except ValueError:
        return None


def own_configuration(description: Any, model: nn.Module) -> Configuration:
    """The settings in the `model` part of a description; empty if it cannot be understood.

    model: the network to load into; its names stand for those of the file.
    """
    config = description.get("model") if isinstance(description, Mapping) else None
    if not isinstance(config, Mapping) or "backbone" not in config:
        return Configuration()
    backbone, depth = str(config["backbone"]), config.get("depth", 50)
    facts = unstored_options_of((backbone, depth))
    command = f"model.backbone={backbone}" + (f" model.depth={depth}" if depth != 50 else "")
    if config.get("image_network"):
        command += f" model.image_network={config['image_network']}"
    if SLOW_FRAMES in facts:
        facts[SLOW_FRAMES] = config.get("slow_frames") or facts[SLOW_FRAMES]
        command += f" model.slow_frames={facts[SLOW_FRAMES]}"
    network = [Statement("model.backbone", backbone, fact, value) for fact, value in facts.items()]
    contexts = [config.get("context"), *(config.get("more_context") or [])]
    said = [s for context in contexts if isinstance(context, Mapping) for s in _of(context, model)]
    return Configuration(network, said, command)


def _of(context: Mapping[str, Any], model: nn.Module) -> list[tuple[str, Statement]]:
    """The settings of one kind of context block, at the places that the network also has."""
    kind, place, options = (context.get(key) for key in ("kind", "place", "options"))
    blocks = context_blocks(model)
    try:
        names = matching_blocks(model, context.get("after") or [])
    except ValueError:  # this network lacks the placement; the blocks will not fit either
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
