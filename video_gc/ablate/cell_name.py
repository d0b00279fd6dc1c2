"""The identity of a cell: a hash of its training and test.

So no cell is trained twice, for any ablation and any place of its data.
"""

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

from video_gc.backbones import OWN_OPTIONS
from video_gc.backbones.published import PUBLISHED
from video_gc.blocks import BLOCKS
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig
from video_gc.train.options import TrainConfig

PATHS = ("root", "annotations", "train", "val", "test", "names", "manifest")
"""Options of data that only say where it lies."""
MACHINE = {
    "": ("name", "runs", "resume", "accelerator", "compile", "checkpoint", "seed", "fold"),
    "data": (*PATHS, "decoder", "decode_device", "transfer", "workers"),
    "test": ("micro_batch", "backend"),
}
"""Options that change where and how fast a cell is computed, not its result; and the seed and the
fold, which are in the directory's name."""
DIGEST_BYTES = 4


def cell_name(config: TrainConfig) -> str:
    """Name of the cell's run directory, such as i3d_gc_five_3f2a9c1b_s0."""
    context = config.model.context
    parts = [config.model.backbone, context.kind]
    if context.kind != "none":
        parts.append("-".join(context.after))
    words = "_".join("".join(c if c.isalnum() else "-" for c in part).strip("-") for part in parts)
    return f"{words[:60]}_{cell_hash(config)}_s{config.seed}"


def cell_hash(config: TrainConfig) -> str:
    """Eight hexadecimal digits of the resolved config without paths: the same for every seed.

    Only values that differ from a default count, so a new option in a later version does not rename
    this version's cells, and neither does a default that is written out.
    """
    return options_hash(asdict(config))


def options_hash(options: Mapping[str, Any]) -> str:
    """`cell_hash` of a run's config.yaml."""
    counted = deepcopy(dict(options))
    for group, names in MACHINE.items():
        for name in names:
            (counted.get(group, {}) if group else counted).pop(name, None)
    _drop_without_effect(counted.get("model", {}))
    chosen = _differing(counted, asdict(TrainConfig()))
    text = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def _drop_without_effect(model: dict[str, Any]) -> None:
    """Remove network options without effect, such as a default that is written out."""
    for context in (model.get("context", {}), *model.get("more_context", ())):
        kind = context.get("kind", "none")
        if kind == "none":
            context.clear()
        elif kind in BLOCKS and "options" in context:
            usual = {name: p.default for name, p in signature(BLOCKS[kind]).parameters.items()}
            context["options"] = _differing(context["options"], usual)
    if "more_context" in model:  # a new option in an entry must not count here either
        entry = asdict(ContextConfig())
        model["more_context"] = [_differing(one, entry) for one in model["more_context"] if one]
    backbone = model.get("backbone", ModelConfig.backbone)
    for option, of in OWN_OPTIONS.items():
        if model.get(option) == of(backbone):
            model[option] = None
    weights = model.get("weights")
    if model.get("head_pool") == ("published" if weights in PUBLISHED else "adaptive"):
        model["head_pool"] = None
    if weights and "/" in weights and "://" not in weights:
        model["weights"] = _without_folder(Path(weights))


def _without_folder(weights: Path) -> str:
    """The name of a file of weights; for a checkpoint, whose name is the same in every run, also
    the run's."""
    if weights.parent.name == "checkpoints":
        return f"{weights.parent.parent.name}/{weights.name}"
    return weights.name


def _differing(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options that differ from their defaults."""
    found = {}
    for name, value in options.items():
        default = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            value, default = _differing(value, default), {}
        if value != default:
            found[name] = value
    return found
