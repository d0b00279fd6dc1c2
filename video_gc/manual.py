"""The options of a training run and their meanings, read from the source of their dataclasses.

It imports none of them, so a misspelt option is refused before torch loads, which takes seconds.
"""

import ast
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from video_gc.config_folders import CONFIGS, config_groups, find_config, group_files
from video_gc.escape import nearest_name
from video_gc.shipped import PACKAGE

BLOCKS = "video_gc.blocks"
FREE = "model.context.options."  # a block's own arguments, not in any dataclass
ABLATION = "ablation"
"""The only folder of configs/ that is not a group of a training's config."""
ABLATE = "video-gc ablate"
SWEEP = (
    "ablation",
    "experiment",
    "seeds",
    "folds",
    "only",
    "quick",
    "name",
    "runs",
    "processes",
    "dry",
)
"""Options of tools/ablate.py that are not passed to each training."""


ELSEWHERE = {
    "learning_rate": "optim.lr", "base_lr": "optim.lr", "wd": "optim.weight_decay",
    "num_epochs": "epochs", "max_epochs": "epochs", "num_workers": "data.workers",
    "dataset": "data", "data_dir": "data.root", "arch": "model", "pretrained": "model.weights",
    "num_frames": "clip.frames", "crop_size": "clip.crop", "device": "accelerator",
    "amp": "precision", "output_dir": "runs", "out": "runs", "normalize": "normalisation",
}  # fmt: skip
"""What other programs call an option → its name here."""
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

Files of your own, such as experiment/mine.yaml, add to these or replace them: in configs/ of the
working directory, or in the folder that --config-dir names.

Set one option with NAME=VALUE, for example epochs=20 optim.lr=0.01
model.context.options.reduction=8 seed=1. All options and their current values:

{options}
"""


@dataclass(frozen=True)
class Option:
    """A field of TrainConfig, or of a dataclass within."""

    name: str
    """as on the command line, such as optim.lr"""
    meaning: str
    """in one line; for a group of options that of its dataclass"""
    group: bool = False
    """whether it is a group of options"""
    default: Any = None
    """without any YAML file"""
    kind: str = ""
    """its type as written, such as int | None"""


@cache
def options() -> tuple[Option, ...]:
    """Every option of tools/train.py, in the order of the dataclasses."""
    return tuple(_options("video_gc.train.options", "TrainConfig", ""))


def usual_values(configs: Sequence[Path] = CONFIGS) -> dict[str, Any]:
    """Option → its value in `video-gc train` without arguments, as Hydra composes it."""
    values = {option.name: option.default for option in options() if not option.group}
    for entry in _content(find_config(configs, "train.yaml"))["defaults"]:
        ((group, name),) = entry.items() if isinstance(entry, dict) else [(entry, None)]
        if name is None or group.startswith("override"):
            continue
        file = find_config(configs, f"{group}/{name}.yaml")
        package = re.match(r"# @package (\S+)\n", file.read_text("utf-8"))
        place = package[1] if package else group
        _set(values, "" if place == "_global_" else f"{place}.", _content(file))
    return values


def help_text(values: Mapping[str, Any], configs: Sequence[Path] = CONFIGS) -> str:
    """The groups, and the options with these values and their meanings."""
    groups = [f"  {name}: {', '.join(files)}" for name, files in choices(configs).items()]
    wrapped = [textwrap.fill(group, WIDTH, subsequent_indent="    ") for group in groups]
    lines = []
    for option in options():
        if option.group:
            lines += ["", textwrap.fill(f"{option.name}: {option.meaning}", WIDTH)]
            continue
        line = f"  {option.name}={written(values[option.name])}"
        if len(line) >= COLUMN or not option.meaning:
            lines.append(line)
            line = ""
        if option.meaning:
            first, others = line.ljust(COLUMN), " " * COLUMN
            lines.append(
                textwrap.fill(option.meaning, WIDTH, initial_indent=first, subsequent_indent=others)
            )
    return HELP.format(groups="\n".join(wrapped), options="\n".join(lines))


def written(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{written(item)}' for key, item in value.items())}}}"
    if is_dataclass(value):
        return "…"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def option_names() -> list[str]:
    """Every option as written on the command line."""
    return [option.name for option in options()]


def choices(configs: Sequence[Path] = CONFIGS) -> dict[str, list[str]]:
    """Group of YAML files of a training → its choices; a kind of block needs no file."""
    found = {
        group: group_files(configs, group) for group in config_groups(configs) if group != ABLATION
    }
    found["context"] = sorted({*found["context"], *_block_kinds()})
    return found


def ablations(configs: Sequence[Path] = CONFIGS) -> list[str]:
    """The names of the ablations."""
    return group_files(configs, ABLATION)


def wrong_argument(
    arguments: Sequence[str], configs: Sequence[Path] = CONFIGS, more: Sequence[str] = ()
) -> str | None:
    """The error in a name in `arguments`, in one line with the nearest valid name.

    more: further options of a sweep.
    """
    groups = choices(configs)
    names = [*groups, *option_names(), *more]
    for argument, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if argument.startswith("--"):
            return f"{argument}: options have no dashes; write {_undashed(argument, following)}"
        if "=" not in argument:
            example = "epochs=20"
            if ABLATION in more:
                known = argument in ablations(configs)
                example = f"{ABLATION}={argument if known else 'kinds'}"
            return f"{argument!r} is not an option; write NAME=VALUE, such as {example}"
        key, value = argument.lstrip("+~").split("=", 1)
        if key == ABLATION and ABLATION not in more:
            return f"{argument}: this command trains once; for an ablation: {ABLATE} {argument}"
        if key == ABLATION and value not in ablations(configs):
            return f"{argument}: no such ablation; {_nearest(value, ablations(configs))}"
        if key in groups:
            if value.strip().lower() == "null" and not argument.startswith("~"):
                return f"{argument}: no {key}; leave it out, or choose one that --help lists"
            if value not in [*groups[key], "null"] and re.fullmatch(r"[\w./]*", value):
                return f"{key}={value}: no such {key}; {_nearest(value, groups[key])}"
        elif key not in names and not key.startswith((FREE, "hydra.", "hydra/")):
            return f"unknown option {key!r}; {_nearest(key, names)}"
    return None


def _block_kinds() -> list[str]:
    """The keys of BLOCKS: from the module if it is loaded, because a script may have added its own
    block, else from the source."""
    if BLOCKS in sys.modules:
        return list(sys.modules[BLOCKS].BLOCKS)
    named = (n for n in _source(BLOCKS).body if isinstance(n, ast.AnnAssign))
    table = next(n.value for n in named if ast.unparse(n.target) == "BLOCKS")
    assert isinstance(table, ast.Dict)
    return [ast.literal_eval(kind) for kind in table.keys if kind]


def _options(module: str, owner: str, prefix: str) -> Iterator[Option]:
    found = _find(module, owner)
    assert found is not None, f"{module} has no {owner}"
    for field, meaning in _fields(found[1]):
        assert isinstance(field.target, ast.Name)
        name, kind = prefix + field.target.id, ast.unparse(field.annotation)
        inner = _find(found[0], kind)
        if inner is None:
            default = _default(found[0], field.value)
            yield Option(name, meaning, default=default, kind=kind)
        else:
            doc = " ".join((ast.get_docstring(inner[1]) or "").split())
            yield Option(name, meaning or doc, group=True)
            yield from _options(inner[0], kind, f"{name}.")


def _find(module: str, name: str) -> tuple[str, ast.ClassDef] | None:
    """Our class that `module` defines or imports, and the module that defines it."""
    for node in _source(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            home = node.module or ""
            return _find(home, name) if home.startswith("video_gc.") else None
    return None


def _default(module: str, value: ast.expr | None) -> Any:
    """What a field's default is: a value, a constant of ours, or what a factory makes."""
    if value is None:
        return None
    if isinstance(value, ast.Name):
        return constant(module, value.id)
    known = {"field": lambda default_factory: default_factory(), "list": list, "dict": dict}
    return eval(ast.unparse(value), {"__builtins__": {}}, known)  # our own source, as imports run


def constant(module: str, name: str) -> Any:
    """A constant of ours, from the source of the module that defines or imports it."""
    for node in _source(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return _default(module, node.value)
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            return constant(node.module or "", name)
    raise KeyError(f"{module} has no {name}")


def _content(file: Path) -> Any:
    return yaml.load(file.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _set(values: dict[str, Any], place: str, content: Mapping[str, Any]) -> None:
    """Set options to the entries of a YAML file; an option may be a mapping itself."""
    for key, value in content.items():
        if isinstance(value, dict) and f"{place}{key}" not in values:
            _set(values, f"{place}{key}.", value)
        else:
            values[f"{place}{key}"] = value


@cache
def _source(module: str) -> ast.Module:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text("utf-8"))


def _fields(owner: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Each field with the string below it, in one line."""
    for node, below in zip(owner.body, [*owner.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            text = getattr(getattr(below, "value", None), "value", "")
            yield node, " ".join(text.split()) if isinstance(text, str) else ""


def _undashed(argument: str, following: str) -> str:
    """`--lr 0.1` as this command wants it."""
    word, equals, value = argument[2:].partition("=")
    meant = [name for name in option_names() if name.rpartition(".")[2] == word.replace("-", "_")]
    if not equals and "=" not in following and not following.startswith("-"):
        value = following
    return f"{meant[0] if len(meant) == 1 else 'NAME'}={value or 'VALUE'}"


def _nearest(wrong: str, names: Sequence[str]) -> str:
    same_end = (name for name in names if name.rsplit(".")[-1] == wrong.rsplit(".")[-1])
    close = nearest_name(wrong, names) or next(same_end, None)
    if close := ELSEWHERE.get(wrong.lower()) or close:
        return f"did you mean {close!r}?"
    shown = ", ".join(names[:40]) + (", …; --help lists all" if names[40:] else "")
    return f"valid: {shown}"
