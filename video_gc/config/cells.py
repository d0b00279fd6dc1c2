"""The cells of an ablation, all composed and checked before the first training.

The arguments of a cell in order, later ones win: the experiment, `settings` of the file, the
command line, the row, the seed, the fold.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from video_gc.ablate.cell import Cell
from video_gc.ablate.cell_name import MACHINE, cell_hash, cell_name
from video_gc.ablate.plan import CELLS
from video_gc.ablate.spec import AblationConfig, option_of
from video_gc.config.train import compose_train


def cells_of(
    ablation: AblationConfig, base: list[str], shared: Sequence[str], runs: str, configs: Path
) -> list[Cell]:
    """The cells, seed by seed and fold by fold.

    base: the arguments before those of a row. shared: those of them from the command line.

    Raises ValueError in one line for a row that cannot be trained or equals another row.
    """
    cells = []
    rows: dict[str, str] = {}
    folder = str(Path(runs) / CELLS)
    for row, settings in ablation.all_rows.items():
        try:
            config = compose_train([*base, *settings, f"seed={ablation.seeds[0]}"], configs)
        except ValueError as error:
            raise ValueError(f"row {row!r}: {error}") from error
        twin = rows.setdefault(cell_hash(config), row)
        if twin != row:
            why = f"; does {' or '.join(shared)} override their difference?" if shared else ""
            raise ValueError(f"rows {twin!r} and {row!r} are the same training{why}")
        for seed, fold in ablation.trainings:
            seeded = replace(config, seed=seed, fold=fold, runs=folder)
            named = replace(seeded, name=cell_name(seeded))
            own = [f"seed={seed}", *([f"fold={fold}"] if fold else [])]
            said = [*base, *settings, *own, f"name={named.name}", f"runs={folder}"]
            cells.append(
                Cell(
                    row=row,
                    seed=seed,
                    fold=fold,
                    directory=str(named.directory),
                    arguments=_last_of_each(said),
                    options=asdict(named),
                )
            )
    return sorted(cells, key=lambda cell: ablation.trainings.index((cell.seed, cell.fold)))


def what_is_trained(arguments: Sequence[str]) -> list[str]:
    """The arguments that change the trained network, not the place of its data or its speed."""
    ways = {f"{group}.{name}".lstrip(".") for group, names in MACHINE.items() for name in names}
    return [each for each in _last_of_each(arguments) if option_of(each) not in ways]


def _last_of_each(arguments: Sequence[str]) -> list[str]:
    """The arguments without those that a later one replaces."""
    return list({option_of(argument): argument for argument in arguments}.values())
