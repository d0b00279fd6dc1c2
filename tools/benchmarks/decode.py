"""`benchmark.py decode`: our decoders, the floor and the peers on the same frames, in turns."""

import argparse
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from benchmarks.decode_peers import (
    DECORD,
    FLOOR,
    GET_CLIP,
    IMPLEMENTATIONS,
    OURS,
    OURS_YUV,
    PER_VIEW,
    TORCHCODEC,
    Done,
    Implementation,
    count_ours,
    pyav_from_start,
)
from benchmarks.measurement import (
    CACHE,
    Target,
    about_machine,
    add_outputs,
    as_dicts,
    interleave,
    load_ffmpeg,
    machine_line,
    need_at_least_one,
    reason,
    table,
    target_table,
    write_results,
)
from benchmarks.videos import (
    CROPS,
    LOOPS,
    SAMPLES,
    Sample,
    Video,
    difference,
    draw,
    look_at,
    made_videos,
    repeat,
)
from video_gc.progress import say

ABOUT = """\
Time what a loader does with a video, in one thread, and set it beside the floor (decode every
packet from the key frame to the last one needed, convert nothing) and beside what others do for the
same frames: PyAV as it is commonly used, decord's get_batch, torchcodec, pytorchvideo's get_clip.
All take turns in one process, each round with a new random clip, so that a busy moment hurts all
alike. What counts are the ratios of medians. The frames are compared, too: a peer that brings other
ones is marked."""
EXAMPLES = """\
examples:
  python tools/benchmark.py decode                          on videos that it encodes first
  python tools/benchmark.py decode a.mp4 b.mp4 --rounds 21  on your own
  python tools/benchmark.py decode --quick                  does it work? (the figures are rough)
  python tools/benchmark.py decode --samples views --only video_gc floor"""
WRONG = 3.0
"""Grey levels of mean difference from the right frames above which a row is marked."""
LONG_GROUP = 48
"""Frames from one key frame to the next from which a group of pictures counts as long."""
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
    """mean number of frames from one key frame to the next"""
    clips: int
    """that come of one call"""
    seconds: list[float] = field(default_factory=list)
    """of each round"""
    packets: float | None = None
    """that went into the decoder, mean"""
    pictures: float | None = None
    """that came out of it, mean"""
    difference: float | None = None
    """from a sequential decode and torchvision's crop, mean grey levels"""
    error: str | None = None
    note: str | None = None

    @property
    def median(self) -> float | None:
        """Seconds; None where it could not be measured."""
        return statistics.median(self.seconds) if self.seconds else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `decode`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO", help="files; default: "
                        f"three of ten seconds, which are encoded into {CACHE} first")  # fmt: skip
    parser.add_argument(
        "--samples", nargs="+", choices=SAMPLES, default=list(SAMPLES), metavar="SAMPLE",
        help="all; of " + "; ".join(f"{name} ({text})" for name, text in SAMPLES.items()),
    )  # fmt: skip
    parser.add_argument(
        "--only", nargs="+", metavar="NAME",
        help="implementations whose name begins so: " + "; ".join(i.name for i in IMPLEMENTATIONS),
    )  # fmt: skip
    parser.add_argument("--crop", choices=CROPS, default=CROPS[0],
                        help="of training samples: a random share of the picture, or short-side "
                        "jitter (area)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=21, help="of training samples (21); of views "
                        "a third")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the random clips (0)")
    parser.add_argument("--no-long", action="store_true",
                        help="leave the file of a quarter of an hour out")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="3 rounds, 1 of views")
    add_outputs(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write JSON, Markdown and a plot."""
    names = [path.name for path in options.videos]
    if len(set(names)) < len(names):
        raise ValueError(f"videos must have different names: {', '.join(names)}")
    need_at_least_one(options, "rounds")
    rounds = 3 if options.quick else options.rounds
    videos = [look_at(p) for p in options.videos or made_videos(options.cache)]
    load_ffmpeg()
    torch.set_num_threads(1)
    chosen, about = choose(options.only), about_machine()
    rows: list[Row] = []
    for video in videos:
        for name in options.samples:
            turns = max(rounds // 3, 1) if name == "views" else rounds
            random = np.random.default_rng((options.seed, list(SAMPLES).index(name)))
            samples = [draw(name, video, random, options.crop) for _ in range(turns + 1)]
            rows += compare(video, name, chosen, samples)
    long = [] if options.no_long else compare_long(videos, options, rounds)
    targets = decode_targets(rows, long)
    lines = [f"Medians of {rounds} rounds (views: {max(rounds // 3, 1)}) in turns, one thread."]
    lines += [*machine_line(about), *to_markdown(rows, long, targets)]
    results = {"format": "decode-1", "machine": about, "rounds": rounds, "crop": options.crop,
               "rows": as_dicts(rows), "long": as_dicts(long),
               "targets": as_dicts(targets)}  # fmt: skip
    return write_results(options, "decode", lines, results, plot_ratios(rows))


def choose(only: Sequence[str] | None) -> list[Implementation]:
    """Those whose names begin with one of `only`. Raises ValueError where there is none."""
    found = [i for i in IMPLEMENTATIONS if only is None or i.name.startswith(tuple(only))]
    if not found:
        names = "; ".join(i.name for i in IMPLEMENTATIONS)
        raise ValueError(f"--only {' '.join(only or ())}: no name begins so; there are {names}")
    return found


def compare(
    video: Video, name: str, implementations: Sequence[Implementation], samples: Sequence[Sample]
) -> list[Row]:
    """All on one kind of sample of one video; the first sample warms up and shows what is wrong."""
    mine = {i.name: i.run for i in implementations if name in i.samples}
    rows = {way: _row(way, name, video, samples[0].clips) for way in mine}
    right = pyav_from_start(video, samples[0], turn=True).clips
    for way, call in mine.items():
        _try(call, video, samples[0], rows[way], right)
    calls = {way: partial(call, video) for way, call in mine.items() if not rows[way].error}
    counts: dict[str, list[tuple[int | None, int | None]]] = {way: [] for way in calls}
    title = f"{video.path.name}, {name}"
    for _, way, done, seconds in interleave(calls, samples[1:], title):
        rows[way].seconds.append(seconds / done.share)
        counts[way].append((done.packets, done.pictures))
    for way, seen in counts.items():
        if way in (OURS, OURS_YUV):  # separately, so that counting costs no time
            seen = [count_ours(mine[way], video, sample) for sample in samples[1:]]
        rows[way].packets, rows[way].pictures = (_mean(c) for c in zip(*seen, strict=True))
    return list(rows.values())


def compare_long(videos: Sequence[Video], options: argparse.Namespace, rounds: int) -> list[Row]:
    """A training sample of a file of a quarter of an hour and of the file that it repeats.

    Both are opened for every sample, as a loader does.
    """
    short = min((v for v in videos if v.times[-1] < 60), key=lambda v: v.group, default=None)
    if short is None:
        say("every video is longer than a minute: there is none to repeat for a long one")
        return []
    path = repeat(short.path, options.cache / f"{short.path.stem}_{LOOPS}times.mp4")
    both = (short, look_at(path))
    random = np.random.default_rng((options.seed, 99))
    pairs = [[draw("8x8", v, random, options.crop) for v in both] for _ in range(rounds + 1)]
    rows: list[Row] = []
    calls: dict[str, Callable[[list[Sample]], Done]] = {}
    for i in choose(options.only):
        for k, video in enumerate(both if i.name in (OURS, DECORD, TORCHCODEC) else ()):
            row = _row(i.name, "8x8", video, 1)
            _try(i.run, video, pairs[0][k], row)
            if not row.error:
                calls[str(len(rows))] = partial(_run_one, i, video, k)
            rows.append(row)
    for _, number, _, seconds in interleave(calls, pairs[1:], "a quarter of an hour"):
        rows[int(number)].seconds.append(seconds)
    return rows


def decode_targets(rows: Sequence[Row], long: Sequence[Row]) -> list[Target]:
    """Those that the rows have figures for; ratios of medians."""
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
    both = [row.median for row in long if row.name == OURS and row.median]
    if len(both) == 2:
        what = "a clip of a 15-minute file against one of 10 seconds"
        targets.append(Target(what, both[1] / both[0], 2.0))
    return targets


def to_markdown(rows: Sequence[Row], long: Sequence[Row], targets: Sequence[Target]) -> list[str]:
    """Targets, an overview of each kind of sample, and every figure."""
    lines = target_table(targets)
    for sample in dict.fromkeys(row.sample for row in rows):
        mine = [group for _, group in _groups(rows) if group[0].sample == sample]
        body: dict[str, list[str]] = {}
        for group in mine:
            for row in group:
                time, ratio, *_ = cells(row, group)
                body.setdefault(row.name, []).append(f"{time} ({ratio})" if ratio else time)
        lines += ["", f"**{sample}**, {SAMPLES[sample]}: ms (× floor)", ""]
        lines += table(["", *(g[0].video for g in mine)], [[n, *c] for n, c in body.items()])
    if long:
        lines += ["", "**A quarter of an hour**, 8×8, the file opened for each clip", ""]
        lines += table(["", "10 s, ms", "15 min, ms", "ratio"], _long_cells(long))
    for title, group in _groups(rows):
        lines += ["", f"**{title}**", ""]
        lines += table(["", *HEADS], [[row.name, *cells(row, group)] for row in group])
    notes = [f"- ⚠ {r.video}, {r.sample}, {r.name}: {r.note}" for r in rows if r.note]
    return [*lines, "", *notes]


def cells(row: Row, group: Sequence[Row]) -> list[str]:
    """HEADS for one row; `group` has the floor and ours beside it."""
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
    """Time over the floor of every implementation, a colour a video, a panel a sample."""
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


def _row(name: str, sample: str, video: Video, clips: int) -> Row:
    return Row(video.path.name, sample, name, [*video.size], round(video.group, 1), clips)


def _run_one(i: Implementation, video: Video, k: int, samples: list[Sample]) -> Done:
    return i.run(video, samples[k])


def _try(
    call: Callable[[Video, Sample], Done],
    video: Video,
    sample: Sample,
    row: Row,
    right: Sequence[Any] = (),
) -> None:
    """The first call: it warms up, and shows what cannot be had or is wrong."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clips = call(video, sample).clips
        except Exception as error:  # whatever a decoder raises is a line of the results
            row.error = reason(error)
            return
    row.note = next((str(w.message) for w in caught if "known to" in str(w.message)), None)
    if right and clips:
        row.difference = round(difference(clips, right[: len(clips)]), 2)
        if row.difference > WRONG:
            row.note = f"other frames: {row.difference:.1f} grey levels off"


def _mean(counts: Sequence[int | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return round(statistics.mean(known), 1) if known else None


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
