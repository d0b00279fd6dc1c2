"""The printed table of costs, and its CSV."""

from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from rich.box import SIMPLE
from rich.console import JustifyMethod
from rich.table import Table

from video_gc.analysis.cost.latency import Spread
from video_gc.analysis.cost.network_cost import NetworkCost
from video_gc.analysis.cost.parts import (
    BLOCK,
    CONTEXT,
    CONTEXTS,
    NETWORK,
    REST,
    STAGE,
    WITHOUT,
    Line,
)
from video_gc.models.counts import COUNTED
from video_gc.outputs import write_csv

WIDE = 100
"""Columns of a terminal from which all figures are in one table."""
COUNTS = ("", "parameters", "FLOPs", "activations")
MEASURES = ("test\nms", "training\nms", "test\nMiB", "training\nMiB")
SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MEASURED = (
    "Times are medians of a batch; training is forward, loss, backward and a step of SGD; fp32, "
    "channels last. For the network, with and without blocks: time is measured in turns; memory is "
    "the peak of a separate process, with weights. "
    "For a part: time is measured with hooks, so parts do not add up exactly; memory is what it "
    "keeps for backward. The rest is outside all parts; in training it includes loss and step."
)


def cost_tables(cost: NetworkCost, *, blocks: bool, width: int = WIDE) -> list[Table]:
    """For rich's print: one table, at most 100 columns wide; below that width what was measured is
    in a second one.

    blocks: whether to show residual blocks.
    """
    counts, measures = (0, 1, 2, 3), (4, 5, 6, 7)
    if not _measured(cost):
        return [_table(cost, COUNTS, counts, blocks=blocks)]
    heads = (*(f"{name}\n" for name in COUNTS), *MEASURES)
    parts = [(*counts, *measures)] if width >= WIDE else [counts, (0, *measures)]
    return [_table(cost, heads, part, blocks=blocks) for part in parts]


def _table(
    cost: NetworkCost, heads: Sequence[str], places: Sequence[int], *, blocks: bool
) -> Table:
    """The table of some columns. heads: of all of them."""
    table = Table(title=title(cost), title_justify="left", box=SIMPLE)
    for place in places:
        justify: JustifyMethod = "right" if place else "left"
        table.add_column(heads[place], justify=justify, no_wrap=True)

    def add(kinds: tuple[str, ...], indented: str = "", bold: bool = True) -> None:
        for line in cost.lines:
            if line.kind in kinds:
                own = line.kind == indented
                cells = [f"{'  ' * own}{line.name}", *_cells(line)[1:]]
                shown = (cells[place] for place in places)
                table.add_row(*shown, style="bold" if bold and not own else None)

    add((STAGE, BLOCK, REST) if blocks else (STAGE, REST), BLOCK, bold=blocks)
    table.add_section()
    add((CONTEXTS,))
    add((CONTEXT,), CONTEXT)
    table.add_section()
    add((WITHOUT,))
    add((NETWORK,))
    return table


def notes(cost: NetworkCost) -> list[str]:
    """The lines below the table."""
    lines = added(cost)
    lines.append(COUNTED)
    if _measured(cost):
        lines.append(MEASURED)
        lines.append(" · ".join(f"{name} {value}" for name, value in cost.machine.items()))
    return lines


def title(cost: NetworkCost) -> str:
    """The network, and the size of its clips."""
    model = cost.model
    sizes = f"{cost.frames}×{cost.test_side}²"
    if cost.train_side != cost.test_side:
        sizes += f", in training {cost.frames}×{cost.train_side}²"
    batch = f", {cost.batch} at once" if cost.batch > 1 else ""
    kinds = {config.kind for config in (model.context, *model.more_context)} - {"none"}
    context = f", {len(cost.of(CONTEXT))} context blocks ({', '.join(sorted(kinds))})"
    return (
        f"{model.title}{context if kinds else ''}, {model.num_classes} classes; "
        f"clips of {sizes}{batch}"
    )


def added(cost: NetworkCost) -> list[str]:
    """The cost added by the context blocks, in sentences."""
    if not cost.of(WITHOUT):
        return []
    without, whole = cost.of(WITHOUT)[0], cost.of(NETWORK)[0]
    figures = [
        f"{b - a:+,} {name} ({f'{b / a - 1:+.2%}' if a else '–'})"
        for name, a, b in zip(COUNTS[1:], without.counted, whole.counted, strict=True)
    ]
    lines = [f"The context blocks add {', '.join(figures)}."]
    if cost.added_test and cost.added_train:
        test = _in_words(cost.added_test, without.test_seconds)
        train = _in_words(cost.added_train, without.train_seconds)
        lines.append(f"Time, measured in turns with and without: test {test}; training {train}.")
    return lines


def write_cost_csv(cost: NetworkCost, file: Path) -> Path:
    """All lines, with residual blocks and with units in the column names."""
    return write_csv(file, [field.name for field in fields(Line)], map(astuple, cost.lines))


def short(number: int) -> str:
    """Three or four digits and a letter: 41.92 G; exact below 1,000."""
    for size, letter in SIZES:
        if number >= size:
            return f"{number / size:.{1 if number >= 100 * size else 2}f} {letter}"
    return str(number)


def _measured(cost: NetworkCost) -> bool:
    return cost.of(NETWORK)[0].test_seconds is not None


def _cells(line: Line) -> list[str]:
    kept = line.kept_mib if line.train_peak_mib is None else line.train_peak_mib
    times = [None if t is None else 1e3 * t for t in (line.test_seconds, line.train_seconds)]
    figures = [*times, line.test_peak_mib, kept]
    counts = [f"{line.parameters:,}", short(line.flops), short(line.activations)]
    return ["", *counts, *("" if figure is None else _digits(figure) for figure in figures)]


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _in_words(added: Spread, without: float | None) -> str:
    share = f"{added.median / without:+.1%}; " if without else ""
    return (
        f"{1e3 * added.median:+.3g} ms ({share}half of "
        f"{added.rounds} rounds between {1e3 * added.lower:+.3g} and {1e3 * added.upper:+.3g})"
    )
