"""The folders of YAML files: a user's own, whose files come first, and the shipped one."""

from collections.abc import Sequence
from pathlib import Path

from video_gc.shipped import shipped

SHIPPED = shipped("configs")
CONFIGS = (SHIPPED,)
"""The folders without one of the user's own."""
OWN = Path("configs")
"""The user's own, if they name no other: in the working directory."""
FLAG = "--config-dir"
COMMANDS = ("train.yaml", "sweep.yaml")
"""Files that are no choice of a group but what a command begins with."""


def config_folders(arguments: Sequence[str]) -> tuple[list[str], tuple[Path, ...]]:
    """The arguments without --config-dir, and the folders in the order in which they are asked.

    The own folder is that of --config-dir, else configs/ in the working directory. The latter may
    belong to another program: it counts if it has a file of a group, such as experiment/mine.yaml,
    and none that a command begins with.

    Raises FileNotFoundError if that of --config-dir does not exist, ValueError if it does not
    count.
    """
    rest: list[str] = []
    given: str | None = None
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name in (FLAG, "-cd"):  # both are Hydra's
            given = value if equals else next(words, "")
        else:
            rest.append(word)
    if given is None:
        own = OWN.is_dir() and not OWN.samefile(SHIPPED) and _wrong(OWN) is None
        return rest, (OWN.absolute(), SHIPPED) if own else CONFIGS
    if not given or not Path(given).is_dir():
        raise FileNotFoundError(f"{FLAG} {given}: no such folder")
    if wrong := _wrong(Path(given)):
        raise ValueError(wrong)
    return rest, (Path(given).absolute(), SHIPPED)


def _wrong(own: Path) -> str | None:
    """Why this is no folder of our files, or None."""
    example = f"{own / 'experiment' / 'mine.yaml'} is chosen with experiment=mine"
    for name in COMMANDS:
        if (own / name).exists():
            return f"{own / name}: it would replace all that the command begins with; {example}"
    if not any(group_files([own], group) for group in config_groups()):
        return f"{own}: no file of a group ({', '.join(config_groups())}); {example}"
    return None


def own_files(configs: Sequence[Path]) -> str:
    """What the user's own folder adds and replaces, in one line; empty if there is none."""
    if len(configs) == 1:
        return ""
    mine, theirs = (
        {f"{group}={name}" for group in config_groups() for name in group_files([folder], group)}
        for folder in (configs[0], configs[-1])
    )
    parts = (("adds", mine - theirs), ("replaces", mine & theirs))
    said = (f"{verb} {', '.join(sorted(names))}" for verb, names in parts if names)
    return f"{configs[0]}: {'; '.join(said)}"


def config_groups(configs: Sequence[Path] = CONFIGS) -> list[str]:
    """The groups, such as experiment; a folder of the user's own has no others."""
    return sorted(group.name for group in configs[-1].iterdir() if group.is_dir())


def group_files(configs: Sequence[Path], group: str) -> list[str]:
    """The choices of a group, such as kinetics400/slow_r50_8x8."""
    return sorted(
        {
            file.relative_to(folder / group).with_suffix("").as_posix()
            for folder in configs
            for file in (folder / group).rglob("*.yaml")
        }
    )


def find_config(configs: Sequence[Path], name: str) -> Path:
    """The file that is taken for a name, such as ablation/kinds.yaml."""
    return next(path for folder in configs if (path := folder / name).exists())
