"""`benchmark.py decode`: our decoders, the floor and the peers on the same frames, interleaved."""

import argparse
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import av
import numpy as np
import torch

from benchmarks.parts.decode_peers import (
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
from benchmarks.parts.decode_table import PROBING, Row, decode_targets, plot_ratios, to_markdown
from benchmarks.parts.measurement import (
    CACHE,
    about_machine,
    add_cache,
    add_folder,
    as_dicts,
    load_ffmpeg,
    reason,
    run_interleaved,
    write_results,
)
from benchmarks.parts.videos import (
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
from video_gc.cli import in_range
from video_gc.decode.open import open_video
from video_gc.progress import say

ABOUT = """\
Time a data loader's work on a video, in one thread, and compare it with the floor (decode every
packet from the key frame to the last one needed, convert nothing) and with other ways to get the
same frames: PyAV as commonly used, decord's get_batch, torchcodec, pytorchvideo's get_clip. All are
interleaved in one process, with a new random clip each round, so a busy moment affects all equally.
Compare the ratios of medians. The frames are compared, too: a peer with other frames is marked.
Opening a file without reading a frame is timed on its own, beside PyAV's av.open."""
EXAMPLES = """\
examples:
  video-gc benchmark decode                          on videos that it encodes first
  video-gc benchmark decode a.mp4 b.mp4 --rounds 21  on your own
  video-gc benchmark decode --quick                  a quick test (the figures are rough)
  video-gc benchmark decode --samples views --only video_gc floor"""
WRONG = 3.0
"""A row is marked if its mean difference from the right frames exceeds this, in grey levels."""


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
        help="implementations whose names begin so: " + "; ".join(i.name for i in IMPLEMENTATIONS),
    )  # fmt: skip
    parser.add_argument("--rounds", type=in_range(int, 1), default=21,
                        help="for training samples (21); a third of it for views")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the random clips (0)")
    parser.add_argument("--no-long", action="store_true",
                        help="skip the 15-minute file")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="3 rounds, 1 for views")
    add_cache(parser)
    add_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write JSON, Markdown and a plot."""
    names = [path.name for path in options.videos]
    if len(set(names)) < len(names):
        raise ValueError(f"videos must have different names: {', '.join(names)}")
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
            samples = [draw(name, video, random) for _ in range(turns + 1)]
            rows += compare(video, name, chosen, samples)
    opening = compare_opening(videos, rounds)
    long = [] if options.no_long else compare_long(videos, chosen, options, rounds)
    intro = f"Medians of {rounds} rounds (views: {max(rounds // 3, 1)}), interleaved, one thread."
    results = {
        "format": "decode-1", "rounds": rounds, "rows": as_dicts(rows), "long": as_dicts(long),
        "opening": as_dicts(opening),
    }  # fmt: skip
    return write_results(
        options.out / "decode", about, intro, to_markdown(rows, long, opening), results,
        decode_targets(rows, long, opening), plot_ratios(rows),
    )  # fmt: skip


def choose(only: Sequence[str] | None) -> list[Implementation]:
    """Those whose names begin with one of `only`. Raises ValueError if there are none."""
    found = [i for i in IMPLEMENTATIONS if only is None or i.name.startswith(tuple(only))]
    if not found:
        names = "; ".join(i.name for i in IMPLEMENTATIONS)
        raise ValueError(f"--only {' '.join(only or ())}: no name begins so; there are {names}")
    return found


def compare(
    video: Video, name: str, implementations: Sequence[Implementation], samples: Sequence[Sample]
) -> list[Row]:
    """All implementations on one kind of sample of one video."""
    mine = [i for i in implementations if name in i.samples]
    rows = [_row(i.name, name, video, samples[0].clips) for i in mine]
    right = pyav_from_start(video, samples[0], turn=True).clips
    calls = [partial(i.run, video) for i in mine]
    time_rows(rows, calls, samples, f"{video.path.name}, {name}", right)
    for row, way in zip(rows, mine, strict=True):
        if way.name in (OURS, OURS_YUV) and not row.error:  # counted outside the timing
            counts = [count_ours(way.run, video, sample) for sample in samples[1:]]
            row.packets, row.pictures = (round(mean(own), 1) for own in zip(*counts, strict=True))
    return rows


def compare_opening(videos: Sequence[Video], rounds: int) -> list[Row]:
    """Opening each file, without reading a frame: ours, and PyAV's alone, which only probes it."""
    ways = {OURS: _open_ours, PROBING: _open_pyav}
    rows = [_row(name, "opening", video, 1) for video in videos for name in ways]
    calls = [partial(way, video) for video in videos for way in ways.values()]
    time_rows(rows, calls, range(4 * rounds + 1), "opening")
    return rows


def _open_ours(video: Video, _: int) -> Done:
    open_video(video.path, "pyav").close()
    return Done([])


def _open_pyav(video: Video, _: int) -> Done:
    av.open(video.path).close()
    return Done([])


def compare_long(
    videos: Sequence[Video],
    implementations: Sequence[Implementation],
    options: argparse.Namespace,
    rounds: int,
) -> list[Row]:
    """A training sample of a 15-minute file and of the file that it repeats.

    Both are opened for every sample, as in a loader.
    """
    short = min((v for v in videos if v.times[-1] < 60), key=lambda v: v.group, default=None)
    if short is None:
        say("every video is longer than a minute: none is repeated to make a long one")
        return []
    path = repeat(short.path, options.cache / f"{short.path.stem}_{LOOPS}times.mp4")
    both = (short, look_at(path))
    random = np.random.default_rng((options.seed, 99))
    pairs = [[draw("8x8", video, random) for video in both] for _ in range(rounds + 1)]
    rows, calls = [], []
    for i in implementations:
        for k, video in enumerate(both if i.name in (OURS, DECORD, TORCHCODEC) else ()):
            rows.append(_row(i.name, "8x8", video, 1))
            calls.append(partial(_run_one, i, video, k))
    time_rows(rows, calls, pairs, "15 minutes")
    return rows


def time_rows(
    rows: Sequence[Row],
    calls: Sequence[Callable[[Any], Done]],
    samples: Sequence[Any],
    title: str,
    right: Sequence[Any] = (),
) -> None:
    """Time the call of each row on each sample, interleaved.

    The first sample warms up and finds errors and wrong frames. right: its clips.
    """
    for row, call in zip(rows, calls, strict=True):
        _try(call, samples[0], row, right)
    working = {number: call for number, call in enumerate(calls) if not rows[number].error}
    counts: dict[int, list[tuple[int | None, int | None]]] = {number: [] for number in working}
    for _, number, done, seconds in run_interleaved(working, samples[1:], title):
        rows[number].seconds.append(seconds / done.share)
        counts[number].append((done.packets, done.pictures))
    for number, own in counts.items():
        rows[number].packets, rows[number].pictures = map(_mean, zip(*own, strict=True))


def _row(name: str, sample: str, video: Video, clips: int) -> Row:
    return Row(video.path.name, sample, name, [*video.size], round(video.group, 1), clips)


def _run_one(i: Implementation, video: Video, k: int, samples: list[Sample]) -> Done:
    return i.run(video, samples[k])


def _try(call: Callable[[Any], Done], sample: Any, row: Row, right: Sequence[Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clips = call(sample).clips
        except Exception as error:  # any decoder error becomes a line of the results
            row.error = reason(error)
            return
    row.note = next((str(w.message) for w in caught if "known to" in str(w.message)), None)
    if right and clips:
        row.difference = round(difference(clips, right[: len(clips)]), 2)
        if row.difference > WRONG:
            row.note = f"other frames: {row.difference:.1f} grey levels off"


def _mean(counts: Sequence[int | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return round(mean(known), 1) if known else None
