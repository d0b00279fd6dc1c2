"""The table of costs as it is printed, and as CSV."""

import csv
import io
from dataclasses import asdict, fields

from rich.box import SIMPLE
from rich.table import Table

from video_gc.analysis.cost.counts import COUNTED
from video_gc.analysis.cost.latency import Spread
from video_gc.analysis.cost.lines import NetworkCost
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

HEADS = ("", "parameters", "FLOPs", "activations", "test", "training", "test", "training")
UNITS = ("", "", "", "", "ms", "ms", "MiB", "MiB")
SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MEASURED = (
    "Times are medians of a batch; training is forward, loss, backward and a step of SGD; fp32, "
    "channels last. Of the network, with and without blocks: time in turns; memory is the peak of "
    "a process of its own, with weights. "
    "Of a part: with hooks around it, so parts do not add up exactly; memory is what it keeps for "
    "backward. The rest is what is in no part, in training the loss and the step too."
)


def cost_table(cost: NetworkCost, *, blocks: bool) -> Table:
    """For rich's print, at most 100 columns wide. blocks: whether residual blocks have lines."""
    measured = cost.of(NETWORK)[0].test_seconds is not None
    table = Table(title=title(cost), title_justify="left", box=SIMPLE)
    for head, unit in list(zip(HEADS, UNITS, strict=True))[: 8 if measured else 4]:
        table.add_column(f"{head}\n{unit}" if measured else head,
                         justify="right" if head else "left", no_wrap=True)  # fmt: skip
    for line in cost.lines:
        if line.kind == STAGE or (line.kind == BLOCK and blocks) or line.kind == REST:
            style = None if line.kind == BLOCK or not blocks else "bold"
            indent = "  " if line.kind == BLOCK else ""
            table.add_row(*_cells(line, indent, measured), style=style)
    contexts = cost.of(CONTEXT)
    if contexts:
        table.add_section()
        table.add_row(*_cells(cost.of(CONTEXTS)[0], "", measured), style="bold")
        for line in contexts:
            table.add_row(*_cells(line, "  ", measured))
    table.add_section()
    for line in cost.of(WITHOUT) + cost.of(NETWORK):
        table.add_row(*_cells(line, "", measured), style="bold")
    return table


def notes(cost: NetworkCost) -> list[str]:
    """What stands below the table."""
    lines = added(cost)
    lines.append(COUNTED)
    if cost.of(NETWORK)[0].test_seconds is not None:
        lines.append(MEASURED)
        lines.append(" · ".join(f"{name} {value}" for name, value in cost.machine.items()))
    return lines


def title(cost: NetworkCost) -> str:
    """Which network, and clips of which size."""
    model = cost.model
    sizes = f"{cost.frames}×{cost.test_side}²"
    if cost.train_side != cost.test_side:
        sizes += f", in training {cost.frames}×{cost.train_side}²"
    batch = f", {cost.batch} at once" if cost.batch > 1 else ""
    kinds = {config.kind for config in (model.context, *model.more_context)} - {"none"}
    context = f", {len(cost.of(CONTEXT))} context blocks ({', '.join(sorted(kinds))})"
    return (
        f"{model.backbone} R{model.depth}{f' (width {model.width:g})' if model.width != 1 else ''}"
        f"{context if kinds else ''}, {model.num_classes} classes; clips of {sizes}{batch}"
    )


def added(cost: NetworkCost) -> list[str]:
    """What the context blocks add, in sentences."""
    if not cost.of(WITHOUT):
        return []
    without, whole = cost.of(WITHOUT)[0], cost.of(NETWORK)[0]
    figures = [
        f"{(b - a):+,} {name} ({_share(a, b)})"
        for name, a, b in (
            ("parameters", without.parameters, whole.parameters),
            ("FLOPs", without.flops, whole.flops),
            ("activations", without.activations, whole.activations),
        )
    ]
    lines = [f"The context blocks add {', '.join(figures)}."]
    if cost.added_test and cost.added_train:
        test = _in_words(cost.added_test, without.test_seconds)
        train = _in_words(cost.added_train, without.train_seconds)
        lines.append(f"In time, measured in turns with and without: test {test}; training {train}.")
    return lines


def to_csv(cost: NetworkCost) -> str:
    """All lines, residual blocks too, with units in the heads' names."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(Line)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(line) for line in cost.lines)
    return stream.getvalue()


def short(number: int) -> str:
    """Three or four digits and a letter: 41.92 G; exact below 1,000."""
    for size, letter in SIZES:
        if number >= size:
            return f"{number / size:.{1 if number >= 100 * size else 2}f} {letter}"
    return str(number)


def _cells(line: Line, prefix: str, measured: bool) -> list[str]:
    cells = [f"{prefix}{line.name}", f"{line.parameters:,}", short(line.flops),
             short(line.activations)]  # fmt: skip
    if not measured:
        return cells
    times = (line.test_seconds, line.train_seconds)
    cells += ["" if value is None else _digits(1e3 * value) for value in times]
    kept = line.kept_mib if line.train_peak_mib is None else line.train_peak_mib
    cells += ["" if value is None else _digits(value) for value in (line.test_peak_mib, kept)]
    return cells


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _share(before: int, after: int) -> str:
    return f"{after / before - 1:+.2%}" if before else "–"


def _in_words(added: Spread, without: float | None) -> str:
    share = f"{added.median / without:+.1%}; " if without else ""
    return (
        f"{1e3 * added.median:+.3g} ms ({share}half of "
        f"{added.rounds} rounds between {1e3 * added.lower:+.3g} and {1e3 * added.upper:+.3g})"
    )
