"""`benchmark.py decode`: our decoders, the floor and the peers on the same frames, in turns."""

import argparse
import json
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from benchmarks.machine import about_machine, load_ffmpeg
from benchmarks.peers import (
    DECORD,
    IMPLEMENTATIONS,
    OURS,
    OURS_YUV,
    TORCHCODEC,
    Done,
    Implementation,
    count_ours,
    pyav_from_start,
)
from benchmarks.report import plot_ratios, show, to_markdown
from benchmarks.samples import CROPS, SAMPLES, Sample, difference, draw
from benchmarks.targets import decode_targets
from benchmarks.turns import Row, take_turns
from benchmarks.videos import LOOPS, Video, look_at, made_videos, repeat
from video_gc.atomic import write_text
from video_gc.progress import progress_bar, say

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
CACHE = Path("data/benchmark")
WRONG = 3.0
"""Grey levels of mean difference from the right frames above which a row is marked."""
FORMAT = "decode-1"


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


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Where the results go."""
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"of made videos ({CACHE})")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"),
                        help="folder of the results (runs/benchmark)")  # fmt: skip
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables, here too")


def run(options: argparse.Namespace) -> int:
    """Measure, print, write JSON, Markdown and a plot."""
    names = [path.name for path in options.videos]
    if len(set(names)) < len(names):
        raise ValueError(f"videos must have different names: {', '.join(names)}")
    if options.rounds < 1:
        raise ValueError(f"--rounds ({options.rounds}) must be at least 1")
    rounds = 3 if options.quick else options.rounds
    videos = [look_at(p) for p in options.videos or made_videos(options.cache)]
    load_ffmpeg()
    torch.set_num_threads(1)
    chosen = choose(options.only)
    about = about_machine()
    results: dict[str, Any] = {"format": FORMAT, "machine": about, "rounds": rounds,
                               "crop": options.crop, "rows": [], "long": []}  # fmt: skip
    file = options.out / "decode.json"
    rows: list[Row] = []
    with progress_bar() as progress:
        for video in videos:
            for name in options.samples:
                turns = max(rounds // 3, 1) if name == "views" else rounds
                rows += compare(video, name, chosen, turns, options, progress)
                results["rows"] = [asdict(row) for row in rows]
                write_text(file, json.dumps(results, indent=1))
        long: list[Row] = []
        if not options.no_long:
            long = compare_long(videos, options, rounds, progress)
            results["long"] = [asdict(row) for row in long]
    targets = decode_targets(rows, long)
    results["targets"] = [asdict(target) for target in targets]
    write_text(file, json.dumps(results, indent=1))
    show(rows, long, targets)
    text = to_markdown(rows, long, targets, about, rounds)
    plot = plot_ratios(rows, options.out / "decode.png")
    files = [file, write_text(options.out / "decode.md", text), plot]
    if options.markdown:
        files.append(write_text(options.markdown, text))
    for written in files:
        say(f"  {written}")
    return 0


def choose(only: Sequence[str] | None) -> list[Implementation]:
    """Those whose names begin with one of `only`. Raises ValueError where there is none."""
    found = [i for i in IMPLEMENTATIONS if only is None or i.name.startswith(tuple(only))]
    if not found:
        names = "; ".join(i.name for i in IMPLEMENTATIONS)
        raise ValueError(f"--only {' '.join(only or ())}: no name begins so; there are {names}")
    return found


def compare(
    video: Video,
    name: str,
    implementations: Sequence[Implementation],
    rounds: int,
    options: argparse.Namespace,
    progress: Progress,
) -> list[Row]:
    """All on one kind of sample of one video: a round to warm up and look, then `rounds`."""
    random = np.random.default_rng((options.seed, list(SAMPLES).index(name)))
    samples = [draw(name, video, random, options.crop) for _ in range(rounds + 1)]
    mine = [i for i in implementations if name in i.samples]
    rows = {
        i.name: Row(video.path.name, name, i.name, list(video.size), round(video.group, 1),
                    samples[0].clips)
        for i in mine
    }  # fmt: skip
    task = progress.add_task(f"{video.path.name}, {name}", total=(rounds + 1) * len(mine))
    right = pyav_from_start(video, samples[0], turn=True).clips
    for i in mine:
        _try(i, video, samples[0], rows[i.name], right)
        progress.advance(task)
    working = [i for i in mine if not rows[i.name].error]
    counts: dict[str, list[tuple[int | None, int | None]]] = {i.name: [] for i in working}
    calls = {i.name: partial(i.run, video) for i in working}

    def note(name: str, done: Done, seconds: float) -> None:
        rows[name].seconds.append(seconds / done.share)
        counts[name].append((done.packets, done.pictures))
        progress.advance(task)

    take_turns(calls, samples[1:], note)
    progress.update(task, completed=(rounds + 1) * len(mine))
    for i in working:
        seen = counts[i.name]
        if i.name in (OURS, OURS_YUV):  # apart, so that counting costs no time
            seen = [count_ours(i.run, video, s) for s in samples[1:]]
        rows[i.name].packets, rows[i.name].pictures = (_mean(c) for c in zip(*seen, strict=True))
    return list(rows.values())


def compare_long(
    videos: Sequence[Video], options: argparse.Namespace, rounds: int, progress: Progress
) -> list[Row]:
    """A training sample of a file of a quarter of an hour and of the file that it repeats.

    The clip is opened for every sample, as a loader does.
    """
    short = min((v for v in videos if v.times[-1] < 60), key=lambda v: v.group, default=None)
    if short is None:
        say("every video is longer than a minute: there is none to repeat for a long one")
        return []
    path = repeat(short.path, options.cache / f"{short.path.stem}_{LOOPS}times.mp4")
    rows = []
    both = (short, look_at(path))
    chosen = [i for i in choose(options.only) if i.name in (OURS, DECORD, TORCHCODEC)]
    random = np.random.default_rng((options.seed, 99))
    pairs = [[draw("8x8", v, random, options.crop) for v in both] for _ in range(rounds + 1)]
    calls: dict[str, Callable[[list[Sample]], Done]] = {}
    for i in chosen:
        for k, video in enumerate(both):
            row = Row(video.path.name, "8x8", i.name, list(video.size), round(video.group, 1), 1)
            rows.append(row)
            _try(i, video, pairs[0][k], row, None)
            if not row.error:
                calls[str(len(rows) - 1)] = partial(_one_of, i, both, k)
    task = progress.add_task("a quarter of an hour", total=rounds * len(calls))

    def note(number: str, done: Done, seconds: float) -> None:
        rows[int(number)].seconds.append(seconds)
        progress.advance(task)

    if calls:
        take_turns(calls, pairs[1:], note)
    return rows


def _one_of(i: Implementation, videos: Sequence[Video], k: int, samples: list[Sample]) -> Done:
    return i.run(videos[k], samples[k])


def _try(
    i: Implementation, video: Video, sample: Sample, row: Row, right: list[Any] | None
) -> None:
    """The first call: it warms up, and shows what cannot be had or is wrong."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clips = i.run(video, sample).clips
        except Exception as error:  # whatever a decoder raises is a line of the results
            row.error = (str(error) or type(error).__name__).splitlines()[0]
            return
    row.note = next((str(w.message) for w in caught if "known to" in str(w.message)), None)
    if right is not None and clips:
        row.difference = round(difference(clips, right[: len(clips)]), 2)
        if row.difference > WRONG:
            row.note = f"other frames: {row.difference:.1f} grey levels off"


def _mean(counts: Sequence[int | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return round(statistics.mean(known), 1) if known else None
