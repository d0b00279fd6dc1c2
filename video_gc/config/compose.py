"""Hydra on our files, and plain errors for typos; it does not import torch."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from video_gc.config.values import KINDS as PLAIN
from video_gc.manual import written, wrong_argument

KINDS = PLAIN | {
    "BooleanNode": PLAIN["bool"],
    "IntegerNode": PLAIN["int"],
    "FloatNode": PLAIN["float"],
    "StringNode": "a text", "str": "a text",
    "ListConfig": "a list", "DictConfig": "a mapping",
}  # fmt: skip
"""Type of omegaconf's node, or of a list's items → what a value must be."""


def compose_config(
    primary: str, arguments: Sequence[str], configs: Sequence[Path], *, hydra: bool = False
) -> DictConfig:
    """Hydra's config from `primary`.yaml and `arguments`.

    configs: see `config_folders`.

    hydra: with Hydra's own options.

    Raises ValueError, in one line, with Hydra's error.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(hydra_folder(configs), version_base="1.3"):
        try:
            return compose(primary, list(arguments), return_hydra_config=hydra)
        except (HydraException, OmegaConfBaseException) as error:
            wrong = wrong_argument(arguments, configs) if primary == "train" else None
            raise ValueError(wrong or _explain(error, primary)) from error


def to_dataclass(config: DictConfig) -> Any:
    """A composed config as plain dataclasses.

    Raises ValueError, in one line, with their error.
    """
    try:
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ValueError(str(error).splitlines()[0]) from error


class OwnFolders(SearchPathPlugin):
    """Lets Hydra look in the user's folders before ours; it asks each plugin when it starts."""

    folders: ClassVar[Sequence[Path]] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Hydra calls this."""
        for folder in reversed(self.folders):
            search_path.prepend("own", f"file://{folder}")


Plugins.instance().register(OwnFolders)


def hydra_folder(configs: Sequence[Path]) -> str:
    """The folder to give to Hydra, which from now on looks in all of `configs`, in this order."""
    OwnFolders.folders = configs[:-1]
    return str(configs[-1].resolve())


def quoted(text: str) -> str:
    """Any text as one value of Hydra's grammar; quotes and `${NAME}` in it are literal."""
    inside = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), text)
    inside = re.sub(r"(\\*)\$\{", lambda m: 2 * m[1] + "\\${", inside)
    return f"'{inside}'"


def _explain(error: Exception, primary: str) -> str:
    """Hydra's error about wrong arguments, in one line."""
    if isinstance(error, OverrideParseException):
        return _unread(error.override)
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    file = re.match("In '(.*)': ", lines[0]) if lines else None
    if file:  # Hydra's header for a wrong value in one of our files; the reason is below it
        cause, lines = cause.__context__ or cause, lines[1:]
    if isinstance(cause, ValidationError) and (said := _wanted(cause, primary)):
        return f"{file[1]}.yaml: {said}" if file and primary == "train" else said
    place = next((line for line in lines if line.startswith("full_key: ")), None)
    return f"{place.removeprefix('full_key: ')}: {lines[0]}" if place else "; ".join(lines[:2])


def _unread(argument: str) -> str:
    """The error for a value that Hydra's grammar cannot read, and how to type a text or a list."""
    name, _, value = argument.partition("=")
    said = f"{argument}: cannot be read; close its quotes and brackets, and put a text in quotes"
    if not re.fullmatch(r"[\w.+@/-]+", name) or set(value[1:-1]) & set("'\"\\{}()[]"):
        return said
    listed = value[:1] == "[" and value[-1:] == "]"
    texts = value[1:-1].split(",") if listed else [value]
    inside = ",".join(f'"{text.strip()}"' for text in texts)
    typed = f"{name}=[{inside}]" if listed else f"{name}={inside}"
    try:
        OverridesParser.create().parse_override(typed)
    except HydraException:
        return said
    return f"{argument}: cannot be read; if it is text, write {shlex.quote(typed)}"


def _wanted(error: ValidationError, primary: str) -> str | None:
    """The kind of value that an option takes, with its default as an example."""
    name, item, _ = (error.full_key or "").partition("[")
    kind: str | None = type(error.child_node).__name__
    if item:
        kind = next((one.__name__ for one in get_args(error.ref_type)), None)
    if not name or kind not in KINDS:
        return None
    try:
        usual = OmegaConf.select(compose(primary), name)
    except (HydraException, OmegaConfBaseException, AttributeError):
        # the file itself is wrong, or the option's parent has no default
        usual = None
    if OmegaConf.is_config(usual):
        usual = OmegaConf.to_container(usual) if OmegaConf.is_list(usual) else None
    if usual == [] and not item:
        usual = [error.value]
    example = "" if usual in (None, [], "") else f", such as {name}={written(usual)}"
    return f"{error.full_key} ({written(error.value)}) must be {KINDS[kind]}{example}"
