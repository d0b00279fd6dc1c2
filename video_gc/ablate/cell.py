"""One cell of an ablation, known by what is trained and tested in it.

So that no cell is trained twice, whichever ablation asks for it and wherever its data lie.
"""

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

from video_gc.backbones import slow_frames_of
from video_gc.backbones.published import PUBLISHED
from video_gc.blocks import BLOCKS
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig
from video_gc.train.options import TrainConfig

PATHS = ("root", "annotations", "train", "val", "test", "names", "manifest")
"""Options of data that only say where it lies."""
MACHINE = {
    "": ("name", "runs", "resume", "accelerator", "compile", "checkpoint", "seed"),
    "data": (*PATHS, "decoder", "decode_device", "transfer", "workers"),
    "test": ("micro_batch", "backend"),
}
"""Options that change where and how fast a cell is computed, not what; and the seed, which the
name of the directory has."""
DIGITS = 8


def cell_hash(config: TrainConfig) -> str:
    """Eight hexadecimal digits of the resolved config without paths: the same for every seed.

    Only what differs from a default counts, so that an option which a later version adds leaves
    the cells of this one theirs, and a default that is written out is none.
    """
    return options_hash(asdict(config))


def options_hash(options: Mapping[str, Any]) -> str:
    """As `cell_hash`, of the config as a run keeps it in its config.yaml."""
    counted: dict[str, Any] = deepcopy(dict(options))
    for group, names in MACHINE.items():
        for name in names:
            (counted.get(group, {}) if group else counted).pop(name, None)
    model = counted.get("model", {})
    for context in (model.get("context", {}), *model.get("more_context", ())):
        _without_effect(context)
    if "more_context" in model:  # what a later version adds to an entry must not count here either
        entry = asdict(ContextConfig())
        model["more_context"] = [_differing(one, entry) for one in model["more_context"] if one]
    weights = model.get("weights")
    _as_by_default(model)
    if weights and "/" in weights and "://" not in weights:
        model["weights"] = _without_folder(Path(weights))
    chosen = _differing(counted, asdict(TrainConfig()))
    text = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=DIGITS // 2).hexdigest()


def _as_by_default(model: dict[str, Any]) -> None:
    """Write null for a head and for frames that are those of the default, and older ones' own."""
    backbone = model.get("backbone", ModelConfig.backbone)
    usual = slow_frames_of(backbone)
    if "slow_frames" not in model and usual is not None:  # older runs spread the frames of all
        model["slow_frames"] = "spread"
    if model.get("slow_frames") == usual:
        model["slow_frames"] = None
    if model.get("head_pool") == ("published" if model.get("weights") in PUBLISHED else "adaptive"):
        model["head_pool"] = None


def _without_folder(weights: Path) -> str:
    """The name of a file of weights; of a run's checkpoint, which is called as any other run's is,
    with that of the run."""
    if weights.parent.name == "checkpoints":
        return f"{weights.parent.parent.name}/{weights.name}"
    return weights.name


def _without_effect(context: dict[str, Any]) -> None:
    """Take out what changes no network: options at their defaults, all of no block."""
    kind = context.get("kind", "none")
    if kind == "none":
        context.clear()
    elif kind in BLOCKS and "options" in context:
        defaults = signature(BLOCKS[kind]).parameters
        context["options"] = {
            name: value
            for name, value in context["options"].items()
            if name not in defaults or value != defaults[name].default
        }


def _differing(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are not at their defaults."""
    found = {}
    for name, value in options.items():
        default = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            value, default = _differing(value, default), {}
        if value != default:
            found[name] = value
    return found


def cell_name(config: TrainConfig) -> str:
    """Name of the cell's run directory, such as i3d_gc_five_3f2a9c1b_s0."""
    context = config.model.context
    parts: list[Any] = [config.model.backbone, context.kind]
    if context.kind != "none":
        parts.append("-".join(context.after))
    words = "_".join("".join(c if c.isalnum() else "-" for c in str(p)).strip("-") for p in parts)
    return f"{words[:60]}_{cell_hash(config)}_s{config.seed}"
