"""The output of `benchmark.py decode`: targets, tables and a plot of its rows."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from benchmarks.parts.decode_peers import DECORD, FLOOR, GET_CLIP, OURS, PER_VIEW, TORCHCODEC
from benchmarks.parts.measurement import Target, table
from benchmarks.parts.videos import SAMPLES

LONG_GROUP = 48
"""Distance of key frames from which a group of pictures counts as long, in frames."""
PROBING = "av.open"
FASTEST, SMALL = 20.0, 256
"""most ms for a training sample of 8×8 from a video of so many lines with short groups"""
OPENING = 1.5
"""most ms for opening a file of less than 720 lines"""
HEADS = ["ms", "× floor", "clips/s per core", "packets sent", "pictures decoded", "× ours"]


@dataclass
class Row:
    """One implementation on one kind of sample of one video."""

    video: str
    sample: str
    name: str
    size: list[int]
    """(height, width)"""
    group: float
    """mean distance of key frames, in frames"""
    clips: int
    """from one call"""
    seconds: list[float] = field(default_factory=list)
    """of each round"""
    packets: float | None = None
    """packets into the decoder, mean"""
    pictures: float | None = None
    """pictures out of the decoder, mean"""
    difference: float | None = None
    """from a sequential decode and torchvision's crop, mean, in grey levels"""
    error: str | None = None
    note: str | None = None

    @property
    def median(self) -> float | None:
        """Seconds; None if it could not be measured."""
        return statistics.median(self.seconds) if self.seconds else None


def decode_targets(
    rows: Sequence[Row], long: Sequence[Row], opening: Sequence[Row] = ()
) -> list[Target]:
    """The targets with figures in the rows; most are ratios of medians."""
    targets: list[Target] = []
    for _, group in _groups(rows):
        times = {row.name: row.median for row in group if row.median}
        if OURS not in times or group[0].sample == "32x2":
            continue
        row, views = group[0], group[0].sample == "views"
        if views:
            what, against = f"{row.video}, 30 views", [(PER_VIEW, 10.0)]
            limit = 1.0 if min(row.size) >= 720 else 0.9
        else:
            what = f"{row.video}, 8×8"
            against = [(DECORD, 1.3), (TORCHCODEC, 1.3), (GET_CLIP, 2.5)]
            limit = 0.8 if row.group >= LONG_GROUP else 1.0
        if FLOOR in times:
            targets.append(Target(f"{what}, × floor", times[OURS] / times[FLOOR], limit))
        targets += [
            Target(f"{what}, times as fast as {name}", times[name] / times[OURS], least, True)
            for name, least in against
            if name in times
        ]
        if not views and min(row.size) <= SMALL and row.group < LONG_GROUP:
            targets.append(Target(f"{what}, ms", 1e3 * times[OURS], FASTEST))
    targets += [
        Target(f"{row.video}, opening, ms", 1e3 * row.median, OPENING)
        for row in opening
        if row.name == OURS and row.median and min(row.size) < 720
    ]
    both = [row.median for row in long if row.name == OURS and row.median]
    if len(both) == 2:
        what = "a clip of a 15-minute file against one of 10 seconds"
        targets.append(Target(what, both[1] / both[0], 2.0))
    return targets


def to_markdown(rows: Sequence[Row], long: Sequence[Row], opening: Sequence[Row] = ()) -> list[str]:
    """An overview of each kind of sample, and every figure."""
    lines: list[str] = []
    for sample in dict.fromkeys(row.sample for row in rows):
        mine = [group for _, group in _groups(rows) if group[0].sample == sample]
        body: dict[str, list[str]] = {}
        for group in mine:
            for row in group:
                time, ratio, *_ = cells(row, group)
                body.setdefault(row.name, []).append(f"{time} ({ratio})" if ratio else time)
        lines += ["", f"**{sample}**, {SAMPLES[sample]}: ms (× floor)", ""]
        lines += table(["", *(g[0].video for g in mine)], [[n, *c] for n, c in body.items()])
    if opening:
        videos = list(dict.fromkeys(row.video for row in opening))
        times = {(row.name, row.video): row.median for row in opening}
        lines += ["", "**opening** the file, without reading a frame, ms", ""]
        body_rows = [
            [name, *(f"{1e3 * (times[name, video] or float('nan')):.2f}" for video in videos)]
            for name in dict.fromkeys(row.name for row in opening)
        ]
        lines += table(["", *videos], body_rows)
    if long:
        lines += ["", "**15 minutes**, 8×8, the file opened for each clip", ""]
        lines += table(["", "10 s, ms", "15 min, ms", "ratio"], _long_cells(long))
    for title, group in _groups(rows):
        lines += ["", f"**{title}**", ""]
        lines += table(["", *HEADS], [[row.name, *cells(row, group)] for row in group])
    notes = [f"- ⚠ {r.video}, {r.sample}, {r.name}: {r.note}" for r in rows if r.note]
    return [*lines, "", *notes]


def cells(row: Row, group: Sequence[Row]) -> list[str]:
    """HEADS for one row; `group` also contains the floor's and our rows."""
    if row.median is None:
        return [row.error or "not measured", *[""] * (len(HEADS) - 1)]
    times = {other.name: other.median for other in group}
    floor, ours = times.get(FLOOR), times.get(OURS)
    return [
        f"{1e3 * row.median:.1f}{' ⚠' if row.note else ''}",
        f"{row.median / floor:.2f}" if floor else "",
        f"{row.clips / row.median:.1f}",
        "–" if row.packets is None else f"{row.packets:.0f}",
        "–" if row.pictures is None else f"{row.pictures:.0f}",
        f"{row.median / ours:.2f}" if ours and row.name != OURS else "",
    ]


def plot_ratios(rows: Sequence[Row]) -> Figure:
    """Time over the floor for every implementation, a colour per video, a panel per sample."""
    samples = list(dict.fromkeys(row.sample for row in rows))
    figure = Figure(figsize=(5.5 * len(samples), 6), layout="constrained")
    for axes, sample in zip(
        figure.subplots(1, len(samples), squeeze=False)[0], samples, strict=True
    ):
        mine = [group for _, group in _groups(rows) if group[0].sample == sample]
        names = [row.name for row in mine[0] if row.name != FLOOR]
        for number, group in enumerate(mine):
            times = {row.name: row.median for row in group}
            floor = times.get(FLOOR) or float("nan")
            ratios = [(times.get(name) or float("nan")) / floor for name in names]
            places = np.arange(len(names)) + 0.8 * number / len(mine)
            axes.barh(places, ratios, height=0.8 / len(mine), align="edge", label=group[0].video)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_yticks(np.arange(len(names)) + 0.4, names)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(LogFormatter())
        axes.xaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
        axes.set_xlabel("time / floor")
        axes.set_title(sample)
        axes.grid(True, axis="x", which="both", alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def _groups(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Title and rows of each video and sample."""
    for video, sample in dict.fromkeys((row.video, row.sample) for row in rows):
        group = [row for row in rows if (row.video, row.sample) == (video, sample)]
        height, width = group[0].size
        yield f"{video} ({width}×{height}, a key frame every {group[0].group:g}), {sample}", group


def _long_cells(rows: Sequence[Row]) -> list[list[str]]:
    lines = []
    for name in dict.fromkeys(row.name for row in rows):
        short, long = (row for row in rows if row.name == name)
        if short.median and long.median:
            times = [f"{1e3 * time:.1f}" for time in (short.median, long.median)]
            lines.append([name, *times, f"{long.median / short.median:.2f}"])
        else:
            lines.append([name, "", short.error or long.error or "", ""])
    return lines
