"""The columns of the table: text and sort key of each cell."""

from collections.abc import Callable
from dataclasses import dataclass

from video_gc.analysis.table.accuracy import KINDS
from video_gc.analysis.table.table import Row, Table

NONE = "–"
SHOWN = 2
"""Most runs of a row that are named in its cell."""
OURS_NOT = "reported, not ours"
Value = Callable[[Row], float | None]


@dataclass(frozen=True)
class Column:
    """One column."""

    heading: str
    text: Callable[[Row], str]
    """text of the cell; `NONE` if empty"""
    value: Value
    """sort key; None comes last"""
    part: str = "cost"
    """runs, accuracy, difference, cost, measured or reported"""


def columns(table: Table) -> list[Column]:
    """The columns of `table` without empty ones; the row's name is not among them.

    Accuracy and cost come first, so a page shows them without scrolling.
    """
    found = [
        Column("runs", run_names, lambda _: None, "runs"),
        Column("seeds", seeds, lambda row: len(row.seeds), "accuracy"),
        _column("folds", _at("folds"), "{:.0f}".format, "accuracy"),
        *_figures("video"),
        _column("last epoch %", _at("last"), "{:.2f}".format, "accuracy"),
        *_predicted(),
        Column(
            f"Δ to {table.baseline} [95 %]", difference, _at("against.difference"), "difference"
        ),
        Column("verdict", lambda row: row.against.word if row.against else NONE, lambda _: None,
               "difference"),
        _column("parameters M", _at("parameters"), number),
        _column("FLOPs G", _at("flops"), number),
        *_measured("test"),
        *_measured("train"),
        _column("trained in", _at("seconds"), duration),
        *_figures("clip"),
        _column("p", _at("against.p"), _chance, "difference"),
        _column("p (Holm)", _at("against.holm"), _chance, "difference"),
        Column("videos", lambda row: short_print(row.fingerprint), lambda _: None),
        *(
            _column(f"{heading} ({OURS_NOT})", _at(f"reported.{name}", factor), number, "reported")
            for heading, name, factor in (
                ("top-1 %", "top1", 1), ("top-5 %", "top5", 1),
                ("parameters M", "parameters", 1e-6), ("FLOPs G", "gflops", 1),
            )
        ),
    ]  # fmt: skip
    return [column for column in found if any(column.text(row) != NONE for row in table.rows)]


def run_names(row: Row) -> str:
    """`gc_s0, gc_s1 and 3 more`; nothing if the row is called like its run."""
    if row.names in ([], [row.name]):
        return NONE
    more = len(row.names) - SHOWN
    return ", ".join(row.names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def seeds(row: Row) -> str:
    """`3`, or `2 of 3` if one is missing."""
    there = len(row.seeds)
    return str(there) if there == row.planned else f"{there} of {row.planned}"


def difference(row: Row) -> str:
    """`+1.25 [-0.30, +2.80]`."""
    found = row.against
    if found is None:
        return NONE
    return f"{found.difference:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def duration(seconds: float) -> str:
    """`4 min 27 s`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def short_print(fingerprint: str | None) -> str:
    """The first six digits, which are enough to tell rows apart."""
    return fingerprint.split()[0].rsplit(":", 1)[-1][:6] if fingerprint else NONE


def number(value: float) -> str:
    """Two decimals, or four digits for a small number."""
    return f"{value:,.2f}" if value >= 1 else f"{value:.4g}"


def _at(path: str, factor: float = 1) -> Value:
    """A number from a part of the row; the part or its number may be missing."""

    def value(row: Row) -> float | None:
        found: object = row
        for name in path.split("."):
            found = getattr(found, name, None)
        return found * factor if isinstance(found, int | float) else None

    return value


def _column(heading: str, value: Value, form: Callable[[float], str], part: str = "cost") -> Column:
    def text(row: Row) -> str:
        found = value(row)
        return NONE if found is None else form(found)

    return Column(heading, text, value, part)


def _figures(level: str) -> list[Column]:
    return [_figure(f"{title} {level} %", f"{kind} {level}") for kind, title in KINDS.items()]


def _figure(heading: str, key: str) -> Column:
    def text(row: Row) -> str:
        """`66.9 ± 1.2`, or `66.9 [60.1, 72.5]`; † marks the standard error of one training,
        ‡ videos that chose the checkpoint."""
        if (found := row.figures.get(key)) is None:
            return NONE
        mark = "‡" * row.optimistic
        if found.interval is not None:
            return "{:.2f}{} [{:.2f}, {:.2f}]".format(found.mean, mark, *found.interval)
        error = "" if found.error is None else f" ± {found.error:.2f}{'†' * (found.kind == 'se')}"
        return f"{found.mean:.2f}{mark}{error}"

    def value(row: Row) -> float | None:
        return row.figures[key].mean if key in row.figures else None

    return Column(heading, text, value, "accuracy")


def _predicted() -> list[Column]:
    """What was predicted, the interval over seeds that decides, and the outcome."""

    def interval(row: Row) -> str:
        found = row.outcome
        if found is None or found.low is None:
            return NONE
        return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"

    def outcome(row: Row) -> str:
        return row.outcome.word if row.outcome else NONE

    def predicted(row: Row) -> str:
        return row.predicted.text if row.predicted else NONE

    return [
        Column("predicted", predicted, lambda _: None, "accuracy"),
        Column("mean of seeds [95 %]", interval, _at("outcome.mean"), "accuracy"),
        Column("outcome", outcome, lambda _: None, "accuracy"),
    ]


def _measured(mode: str) -> list[Column]:
    def time(row: Row) -> str:
        if (found := getattr(row, mode)) is None:
            return NONE
        each = (_whole(1000 * s) for s in (found.seconds, found.time.lower, found.time.upper))
        return "{} ({}–{})".format(*each)

    return [
        Column(f"{mode} ms", time, _at(f"{mode}.seconds", 1000), "measured"),
        _column(f"{mode} MiB", _at(f"{mode}.peak_mib"), _whole, "measured"),
    ]


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _chance(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
