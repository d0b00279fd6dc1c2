"""The options of a training run and their meanings, read from the source of their dataclasses.

It imports none of them, so a misspelt option is refused before torch loads, which takes seconds.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from video_gc.escape import nearest_name
from video_gc.shipped import PACKAGE, shipped

CONFIGS = shipped("configs")
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


@dataclass(frozen=True)
class Option:
    """A field of TrainConfig, or of a dataclass within."""

    name: str
    """as on the command line, such as optim.lr"""
    meaning: str
    """in one line; for a group of options that of its dataclass"""
    group: bool = False
    """whether it is a group of options"""


@cache
def options() -> tuple[Option, ...]:
    """Every option of tools/train.py, in the order of the dataclasses."""
    return tuple(_options("video_gc.train.options", "TrainConfig", ""))


def option_names() -> list[str]:
    """Every option as written on the command line."""
    return [option.name for option in options()]


def config_groups(configs: Path = CONFIGS) -> dict[str, list[str]]:
    """Group of YAML files → its choices."""
    return {
        group.name: _files(group)
        for group in sorted(configs.iterdir())
        if group.is_dir() and group.name != ABLATION
    }


def ablations(configs: Path = CONFIGS) -> list[str]:
    """The names of the ablations."""
    return _files(configs / ABLATION)


def wrong_argument(
    arguments: Sequence[str], configs: Path = CONFIGS, more: Sequence[str] = ()
) -> str | None:
    """The error in a name in `arguments`, in one line with the nearest valid name.

    more: further options of a sweep.
    """
    groups = config_groups(configs)
    names = [*groups, *option_names(), *more]
    for argument in arguments:
        if argument.startswith("--"):
            return f"{argument!r}: options are written without dashes, NAME=VALUE"
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


def _files(group: Path) -> list[str]:
    return sorted(str(f.relative_to(group).with_suffix("")) for f in group.rglob("*.yaml"))


def _options(module: str, owner: str, prefix: str) -> Iterator[Option]:
    found = _find(module, owner)
    assert found is not None, f"{module} has no {owner}"
    for field, meaning in _fields(found[1]):
        assert isinstance(field.target, ast.Name)
        name, kind = prefix + field.target.id, ast.unparse(field.annotation)
        inner = _find(found[0], kind)
        if inner is None:
            yield Option(name, meaning)
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


def _nearest(wrong: str, names: Sequence[str]) -> str:
    same_end = (name for name in names if name.rsplit(".")[-1] == wrong.rsplit(".")[-1])
    close = nearest_name(wrong, names) or next(same_end, None)
    return f"did you mean {close!r}?" if close else f"valid: {', '.join(names)}"
