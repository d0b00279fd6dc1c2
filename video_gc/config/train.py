"""The typed options of one training under Hydra."""

import re
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from video_gc.ablate.cell_name import PATHS as DATA_PATHS
from video_gc.blocks import BLOCKS
from video_gc.config.compose import compose_config, quoted, to_dataclass
from video_gc.config_folders import CONFIGS, group_files
from video_gc.manual import ABLATE, help_text, options
from video_gc.train.options import TrainConfig

TEXTS = (*(f"data.{name}" for name in DATA_PATHS), "data.group", "model.weights", "runs", "name")
"""Options whose value is any text: Hydra's grammar would read its commas, letters and digits."""
ConfigStore.instance().store("schema", TrainConfig)


def train_config(config: Any) -> TrainConfig:
    """Hydra's composed config as plain dataclasses.

    Raises ValueError naming the field, its value and the choices.
    """
    if OmegaConf.get_type(config) is not TrainConfig:
        raise ValueError(f"this is not the config of a training; sweep.yaml belongs to {ABLATE}")
    return to_dataclass(config)


def hydra_arguments(arguments: Sequence[str], configs: Sequence[Path] = CONFIGS) -> list[str]:
    """The arguments in Hydra's grammar, which then has a choice of `context` for every block.

    Options of a block get a `++`, because no dataclass lists them. A text gets quotes; in a sweep a
    comma separates two texts.
    """
    for kind in BLOCKS.keys() - set(group_files(configs, "context")):
        # here, because a script may have added its own
        node = {"kind": kind}
        ConfigStore.instance().store(kind, node, group="context", package="model.context")
    sweep = not {"-m", "--multirun"}.isdisjoint(arguments)
    written = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key.startswith("model.context.options."):
            argument = f"++{argument}"
        elif key in TEXTS and equals and not re.fullmatch(r"null|'.*'|\".*\"", value):
            texts = value.split(",") if sweep else [value]
            argument = f"{key}={','.join(map(quoted, texts))}"
        written.append(argument)
    return written


def compose_train(arguments: Sequence[str], configs: Sequence[Path] = CONFIGS) -> TrainConfig:
    """The config of `tools/train.py ARGUMENTS`.

    Raises ValueError, in one line with the nearest valid name, if Hydra or a check refuses it.
    """
    return to_dataclass(compose_config("train", hydra_arguments(arguments, configs), configs))


def training_help(arguments: Sequence[str] = (), configs: Sequence[Path] = CONFIGS) -> str:
    """The text of `video-gc train ARGUMENTS --help`: groups, options, their meanings."""
    composed = compose_train(arguments, configs)
    values = {option.name: attrgetter(option.name)(composed) for option in options()}
    return help_text(values, configs)
