"""The typed options under Hydra: composing them, and what a beginner is told about a typo."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from video_gc.engine.options import TrainConfig

PATHS = (
    *(f"data.{name}" for name in ("root", "annotations", "train", "val", "test", "names")),
    *("data.manifest", "model.weights", "runs"),
)
CONFIGS = Path(__file__).parent.parent / "configs"

ConfigStore.instance().store("schema", TrainConfig)


def train_config(config: Any) -> TrainConfig:
    """Hydra's composed config as plain dataclasses.

    Raises ValueError naming the field, its value and the choices.
    """
    try:
        plain = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ValueError(str(error).splitlines()[0]) from error
    assert isinstance(plain, TrainConfig)
    return plain


def hydra_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra's grammar wants them.

    `++` goes before a block's option, which no dataclass knows beforehand, and quotes around a
    path with characters that the grammar would read.
    """
    written = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key.startswith("model.context.options."):
            argument = f"++{argument}"
        elif key in PATHS and equals and not re.fullmatch(r"[\w./,+-]*|'.*'|\".*\"", value):
            quoted = value.replace("'", "\\'")
            argument = f"{key}='{quoted}'"
        written.append(argument)
    return written


def compose_train(arguments: Sequence[str], configs: Path = CONFIGS) -> TrainConfig:
    """The config of `tools/train.py ARGUMENTS`.

    Raises ValueError, in one line with the nearest valid name, for what Hydra or a check refuses.
    """
    if not (configs / "train.yaml").is_file():
        raise FileNotFoundError(f"{configs}: no configs here; training needs a clone of video_gc")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(configs.resolve()), version_base="1.3"):
        try:
            return train_config(compose("train", hydra_arguments(arguments)))
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(_explain(error, arguments, configs)) from error


def _explain(error: Exception, arguments: Sequence[str], configs: Path) -> str:
    groups = {path.name: path for path in configs.iterdir() if path.is_dir()}
    names = [*groups, *OPTIONS]
    for argument in arguments:
        if argument.startswith("--"):
            return f"{argument!r}: options are written without dashes, NAME=VALUE"
        if "=" not in argument:
            return f"{argument!r} is no option; write NAME=VALUE, such as epochs=20"
        key, value = argument.lstrip("+~").split("=", 1)
        if key in groups:
            files = [path.relative_to(groups[key]) for path in groups[key].rglob("*.yaml")]
            choices = sorted(str(path.with_suffix("")) for path in files)
            if value not in choices:
                return f"{key}={value}: no such {key}; {_nearest(value, choices)}"
        elif key not in names and not key.startswith("model.context.options."):
            return f"unknown option {key!r}; {_nearest(key, names)}"
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    place = next((line for line in lines if line.startswith("full_key: ")), None)
    return f"{place.removeprefix('full_key: ')}: {lines[0]}" if place else "; ".join(lines[:2])


def _option_names(owner: Any, prefix: str = "") -> list[str]:
    """Every option as it is written on the command line, such as optim.lr."""
    found = []
    for option in fields(owner):
        name = prefix + option.name
        found.append(name)
        if is_dataclass(option.type):
            found += _option_names(option.type, f"{name}.")
    return found


def _nearest(wrong: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(wrong, names, 1) or [
        name for name in names if name.rsplit(".")[-1] == wrong.rsplit(".")[-1]
    ]
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid: {', '.join(names)}"


OPTIONS = tuple(_option_names(TrainConfig))
"""Every option of tools/train.py."""
