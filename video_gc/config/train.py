"""The typed options of one training under Hydra, and the help that lists them."""

import re
import textwrap
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from video_gc.ablate.cell_name import PATHS as DATA_PATHS
from video_gc.config.compose import compose_config, quoted, to_dataclass, written
from video_gc.manual import ABLATE, CONFIGS, config_groups, options
from video_gc.train.options import TrainConfig

TEXTS = (*(f"data.{name}" for name in DATA_PATHS), "data.group", "model.weights", "runs", "name")
"""Options whose value is any text: Hydra's grammar would read its commas, letters and digits."""
WIDTH, COLUMN = 100, 34  # of the help; column of the meanings
HELP = """\
Train a network with context blocks and write RUNS/NAME (config, checkpoints, logs).

  video-gc train                                    the small demo on generated videos
  video-gc train data=folder data.root=DIR name=X   your own clips, DIR/CLASS/video.mp4
  video-gc train context=nl placement=one name=X    another block, elsewhere
  video-gc train experiment=kinetics400/slow_r50_8x8_gc5 data.root=DIR
  video-gc train recipe=finetune --help             the options that a recipe sets

Choose a file of a group with GROUP=FILE:

{groups}

Set one option with NAME=VALUE, for example epochs=20 optim.lr=0.01
model.context.options.reduction=8 seed=1. All options and their current values:

{options}
"""

ConfigStore.instance().store("schema", TrainConfig)


def train_config(config: Any) -> TrainConfig:
    """Hydra's composed config as plain dataclasses.

    Raises ValueError naming the field, its value and the choices.
    """
    if OmegaConf.get_type(config) is not TrainConfig:
        raise ValueError(f"this is not the config of a training; sweep.yaml belongs to {ABLATE}")
    return to_dataclass(config)


def hydra_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments in Hydra's grammar.

    Options of a block get a `++`, because no dataclass lists them. A text gets quotes; in a sweep a
    comma separates two texts.
    """
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


def compose_train(arguments: Sequence[str], configs: Path = CONFIGS) -> TrainConfig:
    """The config of `tools/train.py ARGUMENTS`.

    Raises ValueError, in one line with the nearest valid name, if Hydra or a check refuses it.
    """
    return to_dataclass(compose_config("train", hydra_arguments(arguments), configs))


def training_help(arguments: Sequence[str] = (), configs: Path = CONFIGS) -> str:
    """The text of `tools/train.py ARGUMENTS --help`: groups, options, their meanings."""
    composed = compose_train(arguments, configs)
    groups = [f"  {name}: {', '.join(files)}" for name, files in config_groups(configs).items()]
    wrapped = [textwrap.fill(group, WIDTH, subsequent_indent="    ") for group in groups]
    lines = []
    for option in options():
        if option.group:
            lines += ["", textwrap.fill(f"{option.name}: {option.meaning}", WIDTH)]
            continue
        line = f"  {option.name}={written(attrgetter(option.name)(composed))}"
        if len(line) >= COLUMN or not option.meaning:
            lines.append(line)
            line = ""
        if option.meaning:
            first, others = line.ljust(COLUMN), " " * COLUMN
            lines.append(
                textwrap.fill(option.meaning, WIDTH, initial_indent=first, subsequent_indent=others)
            )
    return HELP.format(groups="\n".join(wrapped), options="\n".join(lines))
