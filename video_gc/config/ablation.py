"""An ablation from its file and the command line; its cells once all else is right.

What needs no cell is read and checked without torch, so that a typo is refused at once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from video_gc.ablate.plan import Plan
from video_gc.ablate.spec import AblationConfig, option_of
from video_gc.config.composing import composing
from video_gc.config.launcher import check_launcher
from video_gc.manual import CONFIGS, SWEEP, ablations, wrong_argument

TOOLS = CONFIGS.parent / "tools"
"""Where train.py and test.py are."""


@dataclass(kw_only=True)
class SweepConfig:
    """What configs/sweep.yaml holds: an ablation to be read, or a cell of a plan to be trained."""

    ablation: AblationConfig = field(default=MISSING)
    only: list[str] = field(default_factory=list)
    """these rows and no others"""
    processes: int = 1
    """of each training, by torchrun"""
    dry: bool = False
    """print the cells, and how far they are"""
    plan: str = ""
    """file that says what each cell is"""
    cell: int = 0
    """number of the cell in it"""
    jobs: int = 1
    """how many cells are to be trained"""


ConfigStore.instance().store("sweep_schema", SweepConfig)


@dataclass(frozen=True)
class Request:
    """A command of tools/ablate.py, taken apart."""

    plan: Plan
    hydra: list[str]
    """arguments of Hydra itself, such as hydra/launcher=joblib"""
    dry: bool


def read_ablation(arguments: Sequence[str], configs: Path = CONFIGS) -> Any:
    """The sweep config with `arguments` (ablation=NAME and options of its own), as Hydra reads it.

    Raises ValueError in one line.
    """
    with composing(configs, primary="sweep"):
        return OmegaConf.to_object(compose("sweep", list(arguments)))


def list_ablations(configs: Path = CONFIGS) -> dict[str, AblationConfig]:
    """Name → ablation, of all files."""
    return {name: _named(name, [], configs).ablation for name in ablations(configs)}


def plan_ablation(arguments: Sequence[str], configs: Path = CONFIGS) -> Request:
    """The cells of `tools/ablate.py ARGUMENTS`, each of them composed and checked.

    Raises ValueError in one line for a wrong option, row or combination of them, ImportError where
    the launcher is not installed.
    """
    wrong = wrong_argument(arguments, configs, SWEEP)
    if wrong:
        raise ValueError(wrong)
    given = {name: value for name, value in map(_split, arguments) if name in SWEEP}
    hydra = [argument for argument in arguments if option_of(argument).startswith("hydra")]
    shared = [a for a in arguments if option_of(a) not in SWEEP and a not in hydra]
    if "ablation" not in given:
        raise ValueError(f"which ablation? ablation={'|'.join(ablations(configs))}")
    check_launcher(hydra, configs)
    own = [f"{name}={given[name]}" for name in ("only", "processes", "dry") if name in given]
    if "seeds" in given:
        numbers = re.fullmatch(r"\[?(\d+(?:,\d+)*)\]?", given["seeds"].replace(" ", ""))
        if numbers is None:
            raise ValueError(
                f"seeds ({given['seeds']}) must be a list of whole numbers, such as seeds=[0,1]"
            )
        own.append(f"ablation.seeds=[{numbers[1]}]")
    sweep = _named(given["ablation"], own, configs)
    if sweep.processes < 1:
        raise ValueError(f"processes ({sweep.processes}) must be at least 1")
    ablation = _only(sweep.ablation, sweep.only)
    _check_shared(shared, ablation, given["ablation"])
    experiment = given.get("experiment", ablation.experiment)
    name = given.get("name", _name_of(given["ablation"], experiment, ablation))
    if name in ("", ".", "..") or set(name) & set("/\\"):
        raise ValueError(f"name ({name!r}) must be the name of one folder")
    runs = given.get("runs", "runs").strip("'\"")
    base = [f"experiment={experiment}", *ablation.settings, *shared]
    wrong = wrong_argument(base[:1], configs)
    if wrong:
        raise ValueError(wrong)
    from video_gc.config.cells import (
        cells_of,
        counting,
    )  # torch: seconds, so after all that is read without

    cells = cells_of(ablation, base, shared, runs, configs)
    plan = Plan(
        name=name,
        runs=runs,
        ablation=ablation,
        cells=cells,
        tools=str(TOOLS),
        processes=sweep.processes,
        whole=sweep.ablation if sweep.only else None,
        base=counting(base),
    )
    return Request(plan, hydra, sweep.dry)


def _named(name: str, own: list[str], configs: Path) -> SweepConfig:
    file = configs / "ablation" / f"{name}.yaml"
    try:
        found = read_ablation([f"ablation={name}"], configs)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if own:  # apart, for what is wrong now was typed and does not stand in the file
        found = read_ablation([f"ablation={name}", *own], configs)
    assert isinstance(found, SweepConfig)
    return found


def _only(ablation: AblationConfig, rows: list[str]) -> AblationConfig:
    """The ablation with these rows alone; all of them where none is named."""
    known = ablation.all_rows
    unknown = [row for row in rows if row not in known]
    if unknown:
        raise ValueError(f"only: {unknown[0]!r} is no row; the rows are {', '.join(known)}")
    if not rows:
        return ablation
    return replace(
        ablation,
        rows={name: arguments for name, arguments in known.items() if name in rows},
        axes={},
        title=f"{ablation.title.partition(':')[0]}: {', '.join(r for r in known if r in rows)}",
        baseline=ablation.baseline if ablation.baseline in rows else None,
        reported={row: said for row, said in ablation.reported.items() if row in rows},
    )


def _check_shared(shared: Sequence[str], ablation: AblationConfig, name: str) -> None:
    """Refuse an option for every cell that the rows or the seeds set."""
    for argument in shared:
        key = option_of(argument)
        if key == "seed":
            raise ValueError(f"{argument}: an ablation has several; give seeds=[0,1]")
        if key == "resume":
            raise ValueError(f"{argument}: cells always go on; delete a cell's folder to redo it")
        for row, settings in ablation.all_rows.items():
            for theirs in map(option_of, settings):
                if theirs == key or theirs.startswith(f"{key}."):
                    raise ValueError(
                        f"{argument}: {theirs} is what the rows differ in (row {row!r}); leave it "
                        f"out, or write an ablation of your own after configs/ablation/{name}.yaml"
                    )


def _name_of(ablation: str, experiment: str, config: AblationConfig) -> str:
    """The ablation's name, with that of the experiment where it is not its own."""
    if experiment == config.experiment:
        return ablation
    return f"{ablation}_{experiment.rpartition('/')[2]}"


def _split(argument: str) -> tuple[str, str]:
    name, _, value = argument.partition("=")
    return name, value
