"""Figures as tables (terminal, Markdown) and as a plot."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from rich.table import Table

from benchmarks.peers import FLOOR, OURS
from benchmarks.samples import SAMPLES
from benchmarks.targets import Target
from benchmarks.turns import Row
from video_gc.atomic import atomic_path
from video_gc.progress import console, say

HEADS = ["ms", "× floor", "clips/s per core", "packets sent", "pictures decoded", "× ours"]


def show(rows: Sequence[Row], long: Sequence[Row], targets: Sequence[Target]) -> None:
    """Print all tables, and which targets are met."""
    for title, group in _groups(rows):
        show_table(title, ["", *HEADS], [[row.name, *cells(row, group)] for row in group])
    for line in _notes(rows):
        say(line, style="yellow")
    if long:
        lines = _long_lines(long)
        show_table("A quarter of an hour, 8×8, opened for each clip", *lines)
    show_targets(targets)


def finish(files: Sequence[Path], failed: int) -> int:
    """Say where the results lie; the exit status."""
    if failed:
        say(f"{failed} measurements failed; the reasons are in {files[0]}", style="red")
    for file in files:
        say(f"  {file}")
    return int(failed > 0)


def show_table(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """One table on the terminal."""
    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head, justify="right" if head and head != "note" else "left")
    for line in lines:
        table.add_row(*line)
    console.print(table, markup=False)


def show_targets(targets: Sequence[Target]) -> None:
    """A line for each target."""
    for target in targets:
        text = f"{'met   ' if target.met else 'missed'} {target.line()}"
        say(text, style="green" if target.met else "red")


def to_markdown(
    rows: Sequence[Row],
    long: Sequence[Row],
    targets: Sequence[Target],
    about: dict[str, str],
    rounds: int,
) -> str:
    """Targets, an overview of each kind of sample, and every figure."""
    lines = [
        f"Medians of {rounds} rounds (views: {max(rounds // 3, 1)}) in turns, one thread.",
        "",
        " · ".join(f"{name} {value}" for name, value in about.items()),
        "",
        *target_lines(targets),
    ]
    for sample in dict.fromkeys(row.sample for row in rows):
        mine = [row for row in rows if row.sample == sample]
        lines += ["", f"**{sample}**, {SAMPLES[sample]}: ms (× floor)", ""]
        lines += markdown_table(*_overview(mine))
    if long:
        lines += ["", "**A quarter of an hour**, 8×8, the file opened for each clip", ""]
        lines += markdown_table(*_long_lines(long))
    for title, group in _groups(rows):
        lines += ["", f"**{title}**", ""]
        lines += markdown_table(["", *HEADS], [[r.name, *cells(r, group)] for r in group])
    lines += ["", *(f"- {line}" for line in _notes(rows))]
    return "\n".join([*lines, ""])


def target_lines(targets: Sequence[Target]) -> list[str]:
    """Markdown."""
    body = [
        [t.what, f"{'at least' if t.at_least else 'at most'} {t.limit:g}", f"{t.number:.2f}",
         "yes" if t.met else "**no**"]
        for t in targets
    ]  # fmt: skip
    return markdown_table(["target", "limit", "measured", "met"], body) if body else []


def markdown_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A head, a rule, the lines."""
    rows = [heads, ["---"] * len(heads), *lines]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]


def cells(row: Row, group: Sequence[Row]) -> list[str]:
    """HEADS for one row; `group` has the floor and ours beside it."""
    if row.median is None:
        return [row.error or "not measured", *[""] * (len(HEADS) - 1)]
    times = {other.name: other.median for other in group}
    floor, ours = times.get(FLOOR), times.get(OURS)
    mark = " ⚠" if row.note else ""
    return [
        f"{1e3 * row.median:.1f}{mark}",
        f"{row.median / floor:.2f}" if floor else "",
        f"{row.clips / row.median:.1f}",
        "–" if row.packets is None else f"{row.packets:.0f}",
        "–" if row.pictures is None else f"{row.pictures:.0f}",
        f"{row.median / ours:.2f}" if ours and row.name != OURS else "",
    ]


def plot_ratios(rows: Sequence[Row], path: Path) -> Path:
    """Time over the floor of every implementation, a colour a video, a panel a sample."""
    samples = list(dict.fromkeys(row.sample for row in rows))
    figure = Figure(figsize=(5.5 * max(len(samples), 1), 6), layout="constrained")
    panels = figure.subplots(1, max(len(samples), 1), squeeze=False)[0]
    for axes, sample in zip(panels, samples, strict=False):
        mine = [row for row in rows if row.sample == sample]
        names = list(dict.fromkeys(row.name for row in mine if row.name != FLOOR))
        videos = list(dict.fromkeys(row.video for row in mine))
        for number, video in enumerate(videos):
            times = {row.name: row.median for row in mine if row.video == video}
            floor = times.get(FLOOR)
            drawn = [(at, times.get(name)) for at, name in enumerate(names)]
            ratios = {at: seconds / floor for at, seconds in drawn if seconds and floor}
            places = [at + 0.8 * number / len(videos) for at in ratios]
            axes.barh(
                places, list(ratios.values()), height=0.8 / len(videos), align="edge", label=video
            )
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_yticks([at + 0.4 for at in range(len(names))], names)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(LogFormatter())
        axes.xaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
        axes.set_xlabel("time / floor")
        axes.set_title(sample)
        axes.grid(True, axis="x", which="both", alpha=0.3)
        axes.legend(fontsize=8)
    with atomic_path(path) as part:
        figure.savefig(part, dpi=120)
    return path


def _groups(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for video, sample in dict.fromkeys((row.video, row.sample) for row in rows):
        group = [row for row in rows if (row.video, row.sample) == (video, sample)]
        height, width = group[0].size
        yield f"{video} ({width}×{height}, a key frame every {group[0].group:g}), {sample}", group


def _notes(rows: Sequence[Row]) -> list[str]:
    return [f"⚠ {r.video}, {r.sample}, {r.name}: {r.note}" for r in rows if r.note]


def _overview(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    videos = list(dict.fromkeys(row.video for row in rows))
    lines = []
    for name in dict.fromkeys(row.name for row in rows):
        line = [name]
        for video in videos:
            group = [row for row in rows if row.video == video]
            row = next(r for r in group if r.name == name)
            time, ratio, *_ = cells(row, group)
            line.append(f"{time} ({ratio})" if ratio else time)
        lines.append(line)
    return ["", *videos], lines


def _long_lines(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    lines = []
    for name in dict.fromkeys(row.name for row in rows):
        short, long = (row for row in rows if row.name == name)
        if short.median and long.median:
            times = [f"{1e3 * row.median:.1f}" for row in (short, long) if row.median]
            lines.append([name, *times, f"{long.median / short.median:.2f}"])
        else:
            lines.append([name, "", short.error or long.error or "", ""])
    return ["", "10 s, ms", "15 min, ms", "ratio"], lines
