"""What a checkpoint of ours says of its network, in the words in which others' files say it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from video_gc.backbones.unstored_options import SLOW_FRAMES
from video_gc.blocks import build_block
from video_gc.models.context import context_blocks, matching_blocks
from video_gc.models.weights.configuration import Configuration, Said
from video_gc.models.weights.fitting import unseen_of
from video_gc.models.weights.unstored_options import hidden_options


def own_configuration(description: Any, model: nn.Module) -> Configuration:
    """Of the `model` part of a description; empty where it is none that can be understood.

    model: the network that the weights are for; its names are used for those of the file.
    """
    config = description.get("model") if isinstance(description, Mapping) else None
    if not isinstance(config, Mapping) or "backbone" not in config:
        return Configuration()
    backbone, depth = str(config["backbone"]), config.get("depth", 50)
    facts = unseen_of((backbone, depth))
    typed = f"model.backbone={backbone}" + (f" model.depth={depth}" if depth != 50 else "")
    if SLOW_FRAMES in facts:  # checkpoints without it spread the frames of every network
        facts[SLOW_FRAMES] = config.get("slow_frames") or "spread"
        typed += f" model.slow_frames={facts[SLOW_FRAMES]}"
    network = [Said("model.backbone", backbone, fact, value) for fact, value in facts.items()]
    contexts = [config.get("context"), *(config.get("more_context") or [])]
    said = [s for context in contexts if isinstance(context, Mapping) for s in _of(context, model)]
    return Configuration(network, said, typed)


def _of(context: Mapping[str, Any], model: nn.Module) -> list[tuple[str, Said]]:
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
                theirs = hidden_options(build_block(str(kind), channels, **(options or {})))
        except (ValueError, TypeError):
            continue
        said += [(where, Said(f"its {kind}", v, option, v)) for option, v in theirs.items()]
    return said
