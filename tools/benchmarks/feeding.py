"""`benchmark.py feeding`: the processor time of training clips, and the cores that feed a GPU."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.parts.decode_peers import IMPLEMENTATIONS, OURS, count_ours
from benchmarks.parts.measurement import (
    Target,
    about_machine,
    add_cache,
    add_folder,
    as_dicts,
    table,
    write_results,
)
from benchmarks.parts.videos import AREA, SPARSE, draw, look_at, made_videos
from video_gc.analysis.measure import interleave
from video_gc.cli import in_range
from video_gc.data.dataset import TrainingClips
from video_gc.data.index import VideoIndex
from video_gc.data.prepare.feeding import (
    NETWORK,
    PEAK,
    SHARE,
    cores_needed,
    longest_ms,
    trained_clips,
)
from video_gc.data.prepare.jobs import ResizeConfig
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig
from video_gc.decode.reader import DecodeError
from video_gc.decode.write import transcode
from video_gc.models.build import ModelConfig, sketch
from video_gc.models.context import ContextConfig
from video_gc.models.counts import complexity
from video_gc.progress import track

ABOUT = """\
Rewrite videos with the code of `prepare resize`, with key frames every 32, 16, 12, 8, 4 and 1
frames, and measure the processor time of training samples (random start, random-resized crop to
224) of the original and of each copy: 8×8 and 32×2, as RGB and as 4:2:0 planes, opening the file
included. All are interleaved in one process with one thread. Then count what networks of ours need,
and say how many cores feed one H100, of which a training is assumed to reach 30 % of the peak rate.
A minute or two for each video."""
EXAMPLES = """\
examples:
  video-gc benchmark feeding                     on a video of 340×256 that it encodes first
  video-gc benchmark feeding a.mp4 b.mp4         on your own
  video-gc benchmark feeding --quick             a quick test (the figures are rough)"""
CLIPS = {
    "8×8": ClipConfig(frames=8, stride=8, crop_area=[*AREA]),
    "32×2": ClipConfig(frames=32, stride=2, crop_area=[*AREA]),
}
FORMS = {"RGB": "rgb", "planes": "yuv"}
KINDS = [f"{clip} {form}" for clip in CLIPS for form in FORMS]
INTERVALS = (32, 16, 12, 8, 4, 1)
NETWORKS = {
    NETWORK: ("8×8", "slow", "gc"),
    "Slow-only R50 with five NL": ("8×8", "slow", "nl"),
    "SlowFast R50 8×8": ("32×2", "slowfast", "none"),
    "I3D R50 32×2 (MMAction2's)": ("32×2", "i3d_32x2", "none"),
}
"""Clip, backbone and kind of its five blocks. The fast pathway's clip has the slow one's frames."""
CORES = 14
"""For each of eight GPUs: NVIDIA's machine in MLPerf Inference 4.1 has two times 56 cores."""


@dataclass
class Variant:
    """A video, or a copy of it."""

    video: str
    """as it was named"""
    interval: int | None
    """largest distance of key frames, frames; None for the original"""
    distance: float
    """mean distance of key frames, frames"""
    size: tuple[int, int]
    """(height, width)"""
    frames: int
    bytes: int
    write_s: float | None
    """processor time to write the copy"""
    ms: dict[str, float] = field(default_factory=dict)
    """mean processor time of a clip, by clip and form"""
    pictures: dict[str, float] = field(default_factory=dict)
    """mean number of pictures decoded for a clip"""

    @property
    def name(self) -> str:
        """Its name in tables."""
        return "original" if self.interval is None else f"every {self.interval}"


@dataclass(frozen=True)
class Demand:
    """What a network needs."""

    network: str
    clip: str
    multiply_adds: int
    """of one forward pass"""
    clips_per_second: float
    """trained by the GPU"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `feeding`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = ABOUT, EXAMPLES
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO",
                        help=f"files; default: {SPARSE} of `decode`")  # fmt: skip
    many = in_range(int, 1)
    parser.add_argument("--clips", type=many, default=20, help="random clips of each kind (20)")
    parser.add_argument("--repeats", type=many, default=3,
                        help="measurements of each clip; the shortest counts (3)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the random clips (0)")
    parser.add_argument("--quick", action="store_true", help="3 clips, measured once")
    add_cache(parser)
    add_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, count, print, write JSON and Markdown."""
    torch.set_num_threads(1)
    clips, repeats = (3, 1) if options.quick else (options.clips, options.repeats)
    about = about_machine()
    variants: list[Variant] = []
    for path in options.videos or made_videos(options.cache, [SPARSE]):
        with tempfile.TemporaryDirectory() as folder:
            files = rewritten(path, Path(folder))
            measure(files, clips, repeats, options.seed)
            for file, one in files.items():
                one.pictures = decoded(file, clips, options.seed)
        variants += files.values()
    wanted = demands()
    intro = (
        f"Mean processor time of {clips} random clips, the shortest of {repeats} measurements of "
        "each, and clips a second of one core; copies as `prepare resize` makes them. A GPU "
        f"trains at {100 * SHARE:.0f} % of {PEAK / 1e12:.0f} TFLOP/s (an H100's data sheet; the "
        "share is assumed), and the cores that feed it read RGB. The last column has the smallest "
        f"file with which {CORES} cores suffice."
    )
    return write_results(
        options.out / "feeding", about, intro, to_markdown(variants, wanted),
        {"format": "feeding-1", "variants": as_dicts(variants), "demands": as_dicts(wanted),
         "peak": PEAK, "share": SHARE, "cores": CORES},
        feeding_targets(variants),
    )  # fmt: skip


def rewritten(path: Path, folder: Path) -> dict[Path, Variant]:
    """The video and its copies in `folder`. Raises what `open_video` and `transcode` raise."""
    files: dict[Path, Variant] = {path: _look(path, path, None, None)}
    for interval in track(INTERVALS, f"Rewriting {path.name}", len(INTERVALS)):
        copy, began = folder / f"{interval}.mp4", time.process_time()
        transcode(path, copy, **asdict(ResizeConfig(keyframe_interval=interval)))
        files[copy] = _look(copy, path, interval, round(time.process_time() - began, 2))
    return files


def measure(files: dict[Path, Variant], clips: int, repeats: int, seed: int) -> None:
    """Fill in the times: of each clip the shortest, of these the mean.

    A clip has the same frames in all copies of one size. Raises DecodeError for damaged videos.
    """
    sets = {}
    for path in files:
        index = VideoIndex.build([path.absolute()], [0], ["any"])
        for clip, config in CLIPS.items():
            for form, transfer in FORMS.items():
                decoding = Decoding(transfer=transfer)
                dataset = TrainingClips(index, config, seed=seed, flip=0.5, decoding=decoding)
                sets[path, f"{clip} {form}"] = dataset
    best: dict[tuple[Path, str], dict[int, float]] = {key: {} for key in sets}
    for key, dataset in sets.items():
        clip_seconds(key[0], dataset, clips)  # warms up
    total = len(sets) * clips * repeats
    turns = interleave(list(sets), range(clips * repeats))
    for turn, key in track(turns, "Measuring", total):
        seconds = clip_seconds(key[0], sets[key], turn % clips)
        best[key][turn % clips] = min(seconds, best[key].get(turn % clips, seconds))
    for (path, kind), times in best.items():
        files[path].ms[kind] = round(1000 * statistics.mean(times.values()), 2)


def decoded(path: Path, clips: int, seed: int) -> dict[str, float]:
    """Mean number of pictures that are decoded for random clips, counted outside the timing."""
    video, random = look_at(path), np.random.default_rng(seed)
    ours = next(one for one in IMPLEMENTATIONS if one.name == OURS)
    found = {}
    for clip in CLIPS:
        samples = [draw(clip.replace("×", "x"), video, random) for _ in range(clips)]
        counts = [count_ours(ours.run, video, sample)[1] for sample in samples]
        found[clip] = round(statistics.mean(counts), 1)
    return found


def clip_seconds(path: Path, dataset: TrainingClips, number: int) -> float:
    """Processor time of the clip `number` of a set of one video. Raises DecodeError if damaged."""
    began = time.process_time()
    (sample,) = dataset[number, 0]
    seconds = time.process_time() - began
    for problem in sample.problems:
        if problem.kind == "damaged":
            raise DecodeError(path, problem.reason)
    return seconds


def demands() -> list[Demand]:
    """Of NETWORKS, counted for 400 classes and crops of 224."""
    found = []
    for name, (clip, backbone, kind) in NETWORKS.items():
        context = ContextConfig(kind=kind)
        network = sketch(ModelConfig(backbone=backbone, num_classes=400, context=context))
        config = CLIPS[clip]
        count = complexity(network, (config.frames, config.crop, config.crop)).flops
        found.append(Demand(name, clip, count, trained_clips(count)))
    return found


def feeding_targets(variants: Sequence[Variant]) -> list[Target]:
    """8×8 from 340×256 with a key frame every 12 frames."""
    return [
        Target(f"ms of a core for a clip of 8×8 {form}, {one.video}, key frames every 12",
               one.ms[f"8×8 {form}"], 20)
        for one in variants for form in FORMS
        if one.interval == 12 and one.size == (256, 340)
    ]  # fmt: skip


def to_markdown(variants: Sequence[Variant], wanted: Sequence[Demand]) -> list[str]:
    """Two tables for each video: times, and cores for a GPU."""
    lines: list[str] = []
    for video in dict.fromkeys(one.video for one in variants):
        own = [one for one in variants if one.video == video]
        (height, width), (high, wide) = own[0].size, own[-1].size
        size = f"{own[0].frames} frames of {width}×{height}"
        title = f"**{Path(video).name}**: {size}, copies of {wide}×{high}"
        lines += [title, "", *_times(own), "", *_cores(own, wanted), ""]
    return lines[:-1]


def _times(own: Sequence[Variant]) -> list[str]:
    heads = ["key frames", "MB", "× original", "s to write"]
    rows = []
    for one in own:
        row = [one.name, f"{one.bytes / 1e6:.2f}", f"{one.bytes / own[0].bytes:.2f}"]
        row.append("" if one.write_s is None else f"{one.write_s:.1f}")
        row += [f"{one.pictures[clip]:.0f}" for clip in CLIPS]
        row += [f"{one.ms[kind]:.1f} ms, {1000 / one.ms[kind]:.0f}/s" for kind in KINDS]
        rows.append(row)
    counted = [f"pictures for {clip}" for clip in CLIPS]
    return table([*heads, *counted, *KINDS], rows)


def _cores(own: Sequence[Variant], wanted: Sequence[Demand]) -> list[str]:
    heads = [
        "network", "clip", "multiply-adds, G", "GPU trains, clips/s",
        f"{CORES} cores suffice at, ms", *(f"cores, {one.name}" for one in own),
        f"with {CORES} cores",
    ]  # fmt: skip
    rows = []
    for one in wanted:
        rate = one.clips_per_second
        row = [one.network, one.clip, f"{one.multiply_adds / 1e9:.1f}", f"{rate:,.0f}"]
        row.append(f"{longest_ms(CORES, rate):.1f}")
        costs = [each.ms[f"{one.clip} RGB"] for each in own]
        row += [f"{cores_needed(ms, rate):,}" for ms in costs]
        fed = [each for each, ms in zip(own, costs, strict=True) if ms <= longest_ms(CORES, rate)]
        row.append(min(fed, key=lambda each: each.bytes).name if fed else "NVDEC, or wait")
        rows.append(row)
    return table(heads, rows)


def _look(path: Path, video: Path, interval: int | None, write_s: float | None) -> Variant:
    seen = look_at(path)
    size = path.stat().st_size
    distance = round(seen.group, 1)
    return Variant(str(video), interval, distance, seen.size, seen.frames, size, write_s)
