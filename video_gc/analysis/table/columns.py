"""The columns of the table: what is written in a cell, and the number that it is sorted by."""

from collections.abc import Callable
from dataclasses import dataclass

from video_gc.analysis.table.cost import Measured
from video_gc.analysis.table.seeds import KINDS, Figure
from video_gc.analysis.table.table import Row, Table

NONE = "–"
OURS_NOT = "reported, not ours"


@dataclass(frozen=True)
class Column:
    """One column."""

    heading: str
    text: Callable[[Row], str]
    """as it is written; `NONE` where there is nothing"""
    value: Callable[[Row], float | None]
    """what it is sorted by; None is last"""
    part: str = "cost"
    """accuracy, difference, cost, measured or reported: what it is of"""


def columns(table: Table) -> list[Column]:
    """Those of `table`, without columns that no row fills; the row's name is not among them.

    Accuracy and cost come first, and what is looked up after them: a page shows these without
    scrolling.
    """
    against = f"Δ to {table.baseline}" if table.baseline else "Δ"
    found = [
        Column("seeds", seeds, lambda row: len(row.runs), "accuracy"),
        *_figures("video"),
        Column(f"{against} [95 %]", difference, _part("against", "difference"), "difference"),
        Column("verdict", _word, lambda _: None, "difference"),
        _number("parameters M", lambda row: row.parameters),
        _number("FLOPs G", lambda row: row.flops),
        *_measured("test", lambda row: row.test),
        *_measured("train", lambda row: row.train),
        Column("trained in", lambda row: duration(row.seconds), lambda row: row.seconds),
        *_figures("clip"),
        _chance("p", _part("against", "p")),
        _chance("p (Holm)", _part("against", "holm")),
        Column("videos", lambda row: short_print(row.fingerprint), lambda _: None),
        _reported("top-1 %", "top1"),
        _reported("top-5 %", "top5"),
        _reported("parameters M", "parameters", 1e6),
        _reported("FLOPs G", "gflops"),
    ]
    return [column for column in found if any(column.text(row) != NONE for row in table.rows)]


def seeds(row: Row) -> str:
    """`3`, or `2 of 3` where one is missing."""
    there = len(row.runs)
    return str(there) if there == row.planned else f"{there} of {row.planned}"


def spread(figure: Figure | None) -> str:
    """`66.9 ± 1.2`; † marks the standard error of one training."""
    if figure is None:
        return NONE
    if figure.error is None:
        return f"{figure.mean:.2f}"
    return f"{figure.mean:.2f} ± {figure.error:.2f}{'†' * (figure.kind == 'se')}"


def difference(row: Row) -> str:
    """`+1.25 [-0.30, +2.80]`."""
    found = row.against
    if found is None:
        return NONE
    return f"{found.difference:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def duration(seconds: float | None) -> str:
    """`4 min 27 s`."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def short_print(fingerprint: str | None) -> str:
    """The first six digits: enough to see whether rows differ."""
    if not fingerprint:
        return NONE
    return fingerprint.split()[0].rsplit(":", 1)[-1][:6]


def number(value: float | None) -> str:
    """Two decimals, or four digits of a small one."""
    if value is None:
        return NONE
    return f"{value:,.2f}" if value >= 1 else f"{value:.4g}"


def _figures(level: str) -> list[Column]:
    return [_figure(f"{title} {level} %", f"{kind} {level}") for kind, title in KINDS.items()]


def _figure(heading: str, key: str) -> Column:
    def value(row: Row) -> float | None:
        return row.figures[key].mean if key in row.figures else None

    return Column(heading, lambda row: spread(row.figures.get(key)), value, "accuracy")


def _number(heading: str, value: Callable[[Row], float | None], part: str = "cost") -> Column:
    return Column(heading, lambda row: number(value(row)), value, part)


def _reported(heading: str, name: str, unit: float = 1) -> Column:
    value = _part("reported", name, unit)
    return _number(f"{heading} ({OURS_NOT})", value, "reported")


def _chance(heading: str, value: Callable[[Row], float | None]) -> Column:
    return Column(heading, lambda row: _p(value(row)), value, "difference")


def _word(row: Row) -> str:
    return NONE if row.against is None else row.against.word


def _part(part: str, name: str, unit: float = 1) -> Callable[[Row], float | None]:
    """A number of a part of the row that may be missing, or whose number may."""

    def value(row: Row) -> float | None:
        found = getattr(getattr(row, part), name, None)
        return None if found is None else found / unit

    return value


def _measured(what: str, cost: Callable[[Row], Measured | None]) -> list[Column]:
    def milliseconds(row: Row) -> float | None:
        found = cost(row)
        return None if found is None else 1000 * found.seconds

    def time(row: Row) -> str:
        found = cost(row)
        if found is None:
            return NONE
        median, lower, upper = (
            _whole(1000 * each) for each in (found.seconds, found.time.lower, found.time.upper)
        )
        return f"{median} ({lower}–{upper})"

    def peak(row: Row) -> float | None:
        found = cost(row)
        return None if found is None else found.peak_mib

    return [
        Column(f"{what} ms", time, milliseconds, "measured"),
        Column(f"{what} MiB", lambda r: _whole(peak(r)), peak, "measured"),
    ]


def _whole(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _p(value: float | None) -> str:
    if value is None:
        return NONE
    return "<0.001" if value < 0.001 else f"{value:.3f}"
