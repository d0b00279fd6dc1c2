"""A command of tools/ablate.py: the ablation from its file, then the cells.

Everything but the cells is checked without torch, so a typo is refused quickly.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from video_gc.ablate.plan import Plan
from video_gc.ablate.spec import AblationConfig, option_of
from video_gc.config.compose import compose_config, quoted, to_dataclass
from video_gc.config.launch import check_launcher
from video_gc.config.values import check_values
from video_gc.config_folders import CONFIGS, find_config
from video_gc.manual import SWEEP, ablations, wrong_argument
from video_gc.progress import say
from video_gc.shipped import shipped
from video_gc.train.checkpoint_paths import best_checkpoint

TOOLS = shipped("tools")
"""The folder of train.py and test.py."""
SCRATCH = "model.weights=null"
"""In a row: it starts from scratch, whatever weights the command gives to the others."""


@dataclass(kw_only=True)
class SweepConfig:
    """The options of configs/sweep.yaml: an ablation to read, or a job to run."""

    ablation: AblationConfig = field(default=MISSING)
    only: list[str] = field(default_factory=list)
    """only these rows"""
    quick: bool = False
    """only the rows that the ablation names for it, and the first seed"""
    processes: int = 1
    """processes of each training, by torchrun"""
    dry: bool = False
    """print the cells and their states"""
    plan: str = ""
    """file of jobs"""
    cell: int = 0
    """number of this job in the file"""


ConfigStore.instance().store("sweep_schema", SweepConfig)


def list_ablations(configs: Sequence[Path] = CONFIGS) -> dict[str, AblationConfig]:
    """Name → ablation, of all files; a wrong one is named and left out."""
    found = {}
    for name in ablations(configs):
        try:
            found[name] = _read(name, [], configs).ablation
        except ValueError as error:
            say(str(error), style="yellow")
    return found


def plan_ablation(arguments: Sequence[str], configs: Sequence[Path] = CONFIGS) -> Plan:
    """The cells of `tools/ablate.py ARGUMENTS`, each composed and checked.

    Raises ValueError in one line for a wrong option, row or combination, ImportError if the
    launcher is not installed.
    """
    _refuse(wrong_argument(arguments, configs, SWEEP))
    names = {argument: option_of(argument) for argument in arguments}
    given = {name: a.partition("=")[2] for a, name in names.items() if name in SWEEP}
    launcher = [a for a, name in names.items() if name.startswith("hydra")]
    shared = [a for a in arguments if names[a] not in SWEEP and a not in launcher]
    file = given.get("ablation")
    if file is None:
        raise ValueError(f"which ablation? ablation={'|'.join(ablations(configs))}")
    check_launcher(launcher, configs)
    own = [
        f"{name}={given[name]}" for name in ("only", "quick", "processes", "dry") if name in given
    ]
    if "seeds" in given:
        own.append(f"ablation.seeds={_seeds(given['seeds'])}")
    if "folds" in given:
        own.append(f"ablation.folds={_folds(given['folds'])}")
    sweep = _read(file, own, configs)
    if sweep.processes < 1:
        raise ValueError(f"processes ({sweep.processes}) must be at least 1")
    ablation = sweep.ablation.quickly() if sweep.quick else sweep.ablation
    ablation = ablation.only(sweep.only)
    _check_shared(shared, ablation, file)
    experiment = given.get("experiment", ablation.experiment)
    usual = file if experiment == ablation.experiment else f"{file}_{Path(experiment).name}"
    if "folds" in given:
        usual += f"_folds{ablation.folds}"
    name = given.get("name", usual)
    if name in ("", ".", "..") or set(name) & set("/\\"):
        raise ValueError(f"name ({name!r}) must be the name of one folder")
    runs = given.get("runs", "runs").strip("'\"")
    base = [f"experiment={experiment}", *ablation.settings, *shared]
    _refuse(wrong_argument(base[:1], configs))
    check_values(base, configs)
    # here, because it imports torch, which takes seconds
    from video_gc.config.cells import cells_of, pretraining_of, what_is_trained

    pretraining = pretraining_of(ablation, base, runs, configs)
    if pretraining is not None:
        weights = best_checkpoint(Path(pretraining.directory))
        base.append(f"model.weights={quoted(str(weights))}")
    return Plan(
        name=name,
        runs=runs,
        ablation=ablation,
        whole=sweep.ablation,
        cells=cells_of(ablation, base, shared, runs, configs),
        pretraining=pretraining,
        base=what_is_trained(base),
        tools=str(TOOLS),
        processes=sweep.processes,
        launcher=launcher,
        dry=sweep.dry,
    )


def _refuse(wrong: str | None) -> None:
    if wrong:
        raise ValueError(wrong)


def _seeds(given: str) -> str:
    """`seeds=1` and `seeds=[0,1]` as a list for Hydra."""
    numbers = re.fullmatch(r"\[?(\d+(?:,\d+)*)\]?", given.replace(" ", ""))
    if numbers is None:
        raise ValueError(f"seeds ({given}) must be a list of whole numbers, such as seeds=[0,1]")
    return f"[{numbers[1]}]"


def _folds(given: str) -> str:
    """`folds=5` as a number for Hydra."""
    if not given.isdecimal():
        raise ValueError(f"folds ({given}) must be a whole number, such as folds=5")
    return given


def _read(name: str, own: list[str], configs: Sequence[Path]) -> SweepConfig:
    """The file of an ablation; own: further options, for this command."""

    def read(*arguments: str) -> SweepConfig:
        sweep = to_dataclass(compose_config("sweep", [f"ablation={name}", *arguments], configs))
        assert isinstance(sweep, SweepConfig)
        return sweep

    try:
        found = read()
    except ValueError as error:
        file = find_config(configs, f"ablation/{name}.yaml")
        raise ValueError(f"{file}: {error}") from error
    return read(*own) if own else found  # an error here is in the command, not in the file


def _check_shared(shared: Sequence[str], ablation: AblationConfig, name: str) -> None:
    """Refuse an option for every cell if rows or seeds set it."""
    for argument in shared:
        key = option_of(argument)
        if key == "seed":
            raise ValueError(f"{argument}: an ablation has several; give seeds=[0,1]")
        if key == "fold":
            raise ValueError(f"{argument}: an ablation trains on each fold; give folds=5")
        if key == "resume":
            raise ValueError(f"{argument}: cells always resume; delete a cell's folder to redo it")
        for row, settings in ablation.all_rows.items():
            for theirs in map(option_of, set(settings) - {SCRATCH}):
                if theirs == key or theirs.startswith(f"{key}."):
                    raise ValueError(
                        f"{argument}: the rows set {theirs} (row {row!r}); leave it "
                        f"out, or copy configs/ablation/{name}.yaml to an ablation of your own"
                    )
