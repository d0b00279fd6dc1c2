"""One cell of an ablation, known by what is trained and tested in it.

So that no cell is trained twice, whichever ablation asks for it and wherever its data lie.
"""

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from video_gc.engine.options import TrainConfig

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
    """Eight hexadecimal digits of the resolved config without paths: the same for every seed."""
    return options_hash(asdict(config))


def options_hash(options: Mapping[str, Any]) -> str:
    """As `cell_hash`, of the config as a run keeps it in its config.yaml."""
    counted: dict[str, Any] = deepcopy(dict(options))
    for group, names in MACHINE.items():
        for name in names:
            del (counted[group] if group else counted)[name]
    for context in (counted["model"]["context"], *counted["model"]["more_context"]):
        if context["kind"] == "none":  # nothing else counts then
            context.update(place=None, after=[], options={})
    weights = counted["model"]["weights"]
    if weights and "/" in weights and "://" not in weights:
        counted["model"]["weights"] = Path(weights).name
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=DIGITS // 2).hexdigest()


def cell_name(config: TrainConfig) -> str:
    """Name of the cell's run directory, such as i3d_gc_five_3f2a9c1b_s0."""
    context = config.model.context
    parts: list[Any] = [config.model.backbone, context.kind]
    if context.kind != "none":
        parts.append("-".join(context.after))
    words = "_".join("".join(c if c.isalnum() else "-" for c in str(p)).strip("-") for p in parts)
    return f"{words[:60]}_{cell_hash(config)}_s{config.seed}"
