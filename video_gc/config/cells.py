"""The cells of an ablation: composed and checked one and all before one is trained.

Arguments of a cell, later ones win: the experiment, `settings` of the file, what was given on the
command line, the row's own, the seed.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from video_gc.ablate.cell import MACHINE, cell_hash, cell_name
from video_gc.ablate.plan import CELLS, Cell
from video_gc.ablate.spec import AblationConfig, option_of
from video_gc.config.train import compose_train
from video_gc.train.options import TrainConfig


def cells_of(
    ablation: AblationConfig, base: list[str], shared: Sequence[str], runs: str, configs: Path
) -> list[Cell]:
    """The cells, seed by seed.

    base: the arguments before those of a row; shared: those of them that the command line gave.

    Raises ValueError in one line for a row that cannot be trained, or is the same as another.
    """
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
    return sorted(cells, key=lambda cell: ablation.seeds.index(cell.seed))


def counting(arguments: Sequence[str]) -> list[str]:
    """Those that change what is trained, not where its data lie or how fast it is."""
    ways = {f"{group}.{name}".lstrip(".") for group, names in MACHINE.items() for name in names}
    return [each for each in _last_of_each(arguments) if option_of(each) not in ways]


def _same(row: str, other: str, shared: Sequence[str]) -> str:
    """That two rows have the same options, so that a table of them would compare nothing."""
    why = f"; does {' or '.join(shared)} replace what they differ in?" if shared else ""
    return f"rows {row!r} and {other!r} are one and the same training{why}"


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
