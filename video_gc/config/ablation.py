"""The cells of an ablation from its file: composed and checked one and all before one is trained.

Arguments of a cell, later ones win: the experiment, `settings` of the file, what was given on the
command line, the row's own, the seed.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from video_gc.config.train import compose_train, explain
from video_gc.engine.ablation.cell import cell_hash, cell_name
from video_gc.engine.ablation.options import AblationConfig, option_of
from video_gc.engine.ablation.plan import CELLS, Cell, Plan
from video_gc.engine.options import TrainConfig
from video_gc.manual import (
    CONFIGS,
    SWEEP,
    ablations,
    wrong_argument,
    wrong_sweep_argument,
)

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
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(configs.resolve()), version_base="1.3"):
        try:
            found = compose("sweep", list(arguments))
            return OmegaConf.to_object(found)
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(explain(error, [], configs)) from error


def list_ablations(configs: Path = CONFIGS) -> dict[str, AblationConfig]:
    """Name → ablation, of all files."""
    return {name: _named(name, [], configs).ablation for name in ablations(configs)}


def plan_ablation(arguments: Sequence[str], configs: Path = CONFIGS) -> Request:
    """The cells of `tools/ablate.py ARGUMENTS`, each of them composed and checked.

    Raises ValueError in one line for a wrong option, row or combination of them.
    """
    wrong = wrong_sweep_argument(arguments, configs)
    if wrong:
        raise ValueError(wrong)
    given = {name: value for name, value in map(_split, arguments) if name in SWEEP}
    hydra = [argument for argument in arguments if option_of(argument).startswith("hydra")]
    shared = [a for a in arguments if option_of(a) not in SWEEP and a not in hydra]
    if "ablation" not in given:
        raise ValueError(f"which ablation? ablation={'|'.join(ablations(configs))}")
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
    cells = []
    rows: dict[str, str] = {}
    for row, settings in ablation.all_rows.items():
        try:
            config = compose_train([*base, *settings, f"seed={ablation.seeds[0]}"], configs)
        except ValueError as error:
            raise ValueError(f"row {row!r}: {error}") from error
        twin = rows.setdefault(cell_hash(config), row)
        if twin != row:
            raise ValueError(_same(twin, row, shared))
        cells += [_cell(row, config, seed, [*base, *settings], runs) for seed in ablation.seeds]
    cells.sort(key=lambda cell: ablation.seeds.index(cell.seed))
    plan = Plan(
        name=name,
        runs=runs,
        ablation=ablation,
        cells=cells,
        tools=str(TOOLS),
        processes=sweep.processes,
    )
    return Request(plan, hydra, sweep.dry)


def _named(name: str, own: list[str], configs: Path) -> SweepConfig:
    file = configs / "ablation" / f"{name}.yaml"
    try:
        found = read_ablation([f"ablation={name}", *own], configs)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
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


def _same(row: str, other: str, shared: Sequence[str]) -> str:
    """That two rows have the same options, so that a table of them would compare nothing."""
    why = f"; does {' or '.join(shared)} replace what they differ in?" if shared else ""
    return f"rows {row!r} and {other!r} are one and the same training{why}"


def _name_of(ablation: str, experiment: str, config: AblationConfig) -> str:
    """The ablation's name, with that of the experiment where it is not its own."""
    if experiment == config.experiment:
        return ablation
    return f"{ablation}_{experiment.rpartition('/')[2]}"


def _cell(row: str, config: TrainConfig, seed: int, arguments: list[str], runs: str) -> Cell:
    with_seed = replace(config, seed=seed)
    cells = Path(runs) / CELLS
    named = replace(with_seed, name=cell_name(with_seed), runs=str(cells))
    said = _last_of_each([*arguments, f"seed={seed}", f"name={named.name}", f"runs={cells}"])
    return Cell(
        row=row,
        seed=seed,
        directory=str(named.directory),
        arguments=said,
        options=asdict(named),
    )


def _last_of_each(arguments: Sequence[str]) -> list[str]:
    """Without those that a later one replaces."""
    return list({option_of(argument): argument for argument in arguments}.values())


def _split(argument: str) -> tuple[str, str]:
    name, _, value = argument.partition("=")
    return name, value
