"""Values of a training's options that are wrong in any case, found before torch is imported.

Hydra and the dataclasses check all of them later; here are the frequent mistakes, which would take
seconds to be told: a number that is none, too small a count, a folder that does not exist.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from video_gc.config_folders import CONFIGS, find_config, group_files
from video_gc.manual import constant, options, usual_values, written

KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
"""Type of a field → what its value must be."""
PATTERNS = {
    "int": r"[+-]?\d[\d_]*",
    "float": r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[+-]?\d+)?|[+-]?(inf|nan)",
    "bool": "true|false|yes|no|on|off|y|n|1|0",
}
"""Type → the values that Hydra reads as such; case does not matter."""
WORD = re.compile(r"[\w.+-]+")
"""A value without Hydra's grammar: quotes, lists, interpolations."""
NOT_A_FOLDER = ("motions", "shards")
"""Kinds of data whose root is made, or may be an address."""


def check_values(arguments: Sequence[str], configs: Sequence[Path] = CONFIGS) -> None:
    """Check the values of known options; says nothing of the others.

    Raises ValueError for a wrong number or count.
    """
    given = _given(arguments)
    least = constant("video_gc.train.options", "LEAST")
    for option in options():
        value = given.get(option.name, "")
        kind, _, other = option.kind.partition(" | ")
        if kind not in KINDS or not WORD.fullmatch(value) or (other and value.lower() == "null"):
            continue
        if not re.fullmatch(PATTERNS[kind], value, re.IGNORECASE):
            usual = usual_values(configs)[option.name]
            example = "" if usual is None else f", such as {option.name}={written(usual)}"
            raise ValueError(f"{option.name} ({value}) must be {KINDS[kind]}{example}")
        if option.name in least and int(value) < least[option.name]:
            raise ValueError(f"{option.name} ({value}) must be at least {least[option.name]}")


def check_root(arguments: Sequence[str], configs: Sequence[Path] = CONFIGS) -> None:
    """Raise FileNotFoundError for a data.root that does not exist."""
    given = _given(arguments)
    root = given.get("data.root", "").strip("'\"")
    made = not root or "$" in root or data_kind(given, configs) in NOT_A_FOLDER
    if not made and not Path(root).is_dir():
        raise FileNotFoundError(f"{root}: no such folder (data.root)")


def data_kind(given: Mapping[str, str], configs: Sequence[Path] = CONFIGS) -> str:
    """data.kind of a command, as far as files of groups say it. given: option → its value."""
    if kind := given.get("data.kind"):
        return kind
    group = given.get("data")
    if group is None and (experiment := given.get("experiment")):
        found = _configured("experiment", experiment, configs)
        if kind := (found.get("data") or {}).get("kind"):
            return str(kind)
        overrides = [entry for entry in found.get("defaults", []) if isinstance(entry, dict)]
        group = next((e["override /data"] for e in overrides if "override /data" in e), None)
    found = _configured("data", group or "motions", configs)
    return str((found.get("data") or found).get("kind", "motions"))


def _given(arguments: Sequence[str]) -> dict[str, str]:
    """Option or group → its last value in the command."""
    return dict(argument.lstrip("+").split("=", 1) for argument in arguments if "=" in argument)


def _configured(group: str, name: str, configs: Sequence[Path]) -> dict[str, Any]:
    """The content of a group's YAML file; empty if there is none."""
    if name not in group_files(configs, group):
        return {}
    return yaml.safe_load(find_config(configs, f"{group}/{name}.yaml").read_text("utf-8")) or {}
