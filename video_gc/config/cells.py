"""The cells of an ablation, all composed and checked before the first training.

The arguments of a cell in order, later ones win: the experiment, `settings` of the file, the
command line, the weights of a pretraining, the row, the seed, the fold.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from video_gc.ablate.cell import Cell
from video_gc.ablate.cell_name import MACHINE, cell_hash, cell_name
from video_gc.ablate.plan import CELLS
from video_gc.ablate.spec import AblationConfig, option_of
from video_gc.config.train import compose_train
from video_gc.config_folders import FLAG
from video_gc.train.options import TrainConfig

PRETRAINING = "pretraining"
"""Its name where others are called after their row."""


def cells_of(
    ablation: AblationConfig,
    base: list[str],
    shared: Sequence[str],
    runs: str,
    configs: Sequence[Path],
) -> list[Cell]:
    """The cells, seed by seed and fold by fold.

    base: the arguments before those of a row. shared: those of them from the command line.

    Raises ValueError in one line for a row that cannot be trained or equals another row.
    """
    cells = []
    rows: dict[str, str] = {}
    for row, settings in ablation.all_rows.items():
        config = _compose(row, [*base, *settings, f"seed={ablation.seeds[0]}"], configs)
        twin = rows.setdefault(cell_hash(config), row)
        if twin != row:
            why = f"; does {' or '.join(shared)} override their difference?" if shared else ""
            raise ValueError(f"rows {twin!r} and {row!r} are the same training{why}")
        for seed, fold in ablation.trainings:
            cells.append(
                _cell(row, replace(config, seed=seed, fold=fold), [*base, *settings], runs, configs)
            )
    return sorted(cells, key=lambda cell: ablation.trainings.index((cell.seed, cell.fold)))


def pretraining_of(
    ablation: AblationConfig, base: list[str], runs: str, configs: Sequence[Path]
) -> Cell | None:
    """The training whose weights the cells start from.

    Raises ValueError in one line if it cannot be trained.
    """
    if not ablation.pretraining:
        return None
    arguments = [*base, *ablation.pretraining]
    composed = _compose(PRETRAINING, arguments, configs)
    return _cell(PRETRAINING, composed, arguments, runs, configs)


def _compose(row: str, arguments: list[str], configs: Sequence[Path]) -> TrainConfig:
    try:
        return compose_train(arguments, configs)
    except ValueError as error:
        raise ValueError(f"row {row!r}: {error}") from error


def _cell(
    row: str, config: TrainConfig, arguments: list[str], runs: str, configs: Sequence[Path]
) -> Cell:
    """The cell of a training. arguments: those that `config` comes from, without seed and fold."""
    placed = replace(config, runs=str(Path(runs) / CELLS))
    named = replace(placed, name=cell_name(placed))
    own = [f"seed={named.seed}", *([f"fold={named.fold}"] if named.fold else [])]
    folders = [f"{FLAG}={folder}" for folder in configs[:-1]]
    return Cell(
        row=row,
        seed=named.seed,
        fold=named.fold,
        directory=str(named.directory),
        arguments=[
            *folders,
            *_last_of_each([*arguments, *own, f"name={named.name}", f"runs={named.runs}"]),
        ],
        options=asdict(named),
    )


def what_is_trained(arguments: Sequence[str]) -> list[str]:
    """The arguments that change the trained network, not the place of its data or its speed."""
    ways = {f"{group}.{name}".lstrip(".") for group, names in MACHINE.items() for name in names}
    return [each for each in _last_of_each(arguments) if option_of(each) not in ways]


def _last_of_each(arguments: Sequence[str]) -> list[str]:
    """The arguments without those that a later one replaces."""
    return list({option_of(argument): argument for argument in arguments}.values())
