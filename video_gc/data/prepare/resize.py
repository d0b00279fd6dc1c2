"""A copy of a folder of videos with a small short side and close key frames, made once."""

import csv
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from video_gc.atomic import atomic_path, write_text
from video_gc.data.annotations import find_videos
from video_gc.data.prepare.processes import Beat, Lost, patience, run_jobs
from video_gc.decode.open import open_video
from video_gc.decode.probe import stamp
from video_gc.decode.reader import Box, DecodeError
from video_gc.decode.transcode import transcode
from video_gc.progress import progress_bar

SETTINGS = "resize.json"
"""What the copy was made with, in its folder."""
MADE = ".resize-made.jsonl"
"""Which copy was made of which file, a line each, in its folder."""
SAMPLE = 8
"""Files that the speed before and after is measured on."""


@dataclass(frozen=True, kw_only=True)
class ResizeConfig:
    """What the videos become; see `transcode`."""

    short_side: int = 256
    """pixels; smaller videos keep their size"""
    keyframe_interval: int = 32
    """frames; a clip of 8×8 spans 57, and decoding begins 16 earlier on average. On three clips the
    files were 7 to 34 % larger than at x264's 250, where it begins much earlier; at 12, 6 earlier,
    they were 15 to 72 % larger"""
    crf: int = 20
    """quality, 0 (best) … 51"""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("short_side", 2, 1 << 14),
            ("keyframe_interval", 1, 1 << 14),
            ("crf", 0, 51),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} ({getattr(self, name)}) must be in {low}…{high}")


@dataclass(frozen=True)
class Job:
    """A file, its copy and how to make it."""

    source: Path
    target: Path
    config: ResizeConfig
    time_limit: float


@dataclass(frozen=True)
class Speed:
    """What reading costs: sums of bytes over all files, and a time from a sample."""

    bytes: int
    clip_ms: float | None
    """median time to open a file and read a random 8×8 clip of it at 224×224, ms; one thread"""


@dataclass(frozen=True)
class ResizeResult:
    """What was done."""

    done: int
    """files written now"""
    kept: int
    """files of an earlier run"""
    failures: Path | None
    """list of what could not be read, where there is such"""
    failed: int
    renamed: int
    """files whose name ends otherwise now"""
    before: Speed
    after: Speed


def resize_job(job: Job, beat: Beat) -> str:
    """What a process does with a file; the cause where it cannot be read, else an empty text."""
    try:
        with atomic_path(job.target) as part:
            transcode(job.source, part, **asdict(job.config), time_limit=job.time_limit, beat=beat)
    except DecodeError as error:
        return error.reason
    return ""


def resize_videos(
    source: Path,
    target: Path,
    config: ResizeConfig,
    *,
    workers: int = 1,
    time_limit: float = 60.0,
    work: Callable[[Job, Beat], str] = resize_job,
) -> ResizeResult:
    """Transcode every video below `source` to the same place below `target`, as .mp4.

    Each file appears when it is complete; those that are there and were made of the same file, of
    the same size and time, are kept, so that an interrupted run goes on. What fails is listed in
    TARGET/resize-failed.csv.

    Raises FileNotFoundError for a missing source, DataError for one without videos, ValueError
    where one folder lies in the other or the target was made with other settings.
    """
    inside = (source.resolve(), target.resolve())
    if inside[0].is_relative_to(inside[1]) or inside[1].is_relative_to(inside[0]):
        raise ValueError(f"{target}: must not lie in {source}, nor hold it; give another folder")
    files = find_videos(source)
    _settle(target, config)
    pairs = list(zip(files, _targets(files, source, target), strict=True))
    made_of = _read_made(target)
    origins = {copy: _origin(file, source) for file, copy in pairs}
    jobs = [
        Job(file, copy, config, time_limit)
        for file, copy in pairs
        if not copy.exists() or made_of.get(_name(copy, target)) != origins[copy]
    ]
    failures: list[tuple[str, str]] = []
    with (target / MADE).open("a", encoding="utf-8") as stream, progress_bar() as progress:
        if made_of:  # the last line may be torn
            stream.write("\n")
        task = progress.add_task("Resizing", total=len(files), completed=len(files) - len(jobs))
        done = run_jobs(
            work,
            jobs,
            workers=workers,
            patience=lambda job: patience(job.source, job.time_limit),
        )
        for job, cause in done:
            if isinstance(cause, Lost):
                cause = cause.cause
            if cause:
                failures.append((str(job.source), cause))
            else:
                line = [_name(job.target, target), *origins[job.target]]
                stream.write(json.dumps(line) + "\n")
                stream.flush()
            progress.advance(task)
    file = target / "resize-failed.csv"
    file.unlink(missing_ok=True)
    if failures:
        with atomic_path(file) as part, part.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("path", "cause"), *sorted(failures)])
    made = [pair for pair in pairs if pair[1].exists()]
    sample = made[:: max(len(made) // SAMPLE, 1)][:SAMPLE]
    return ResizeResult(
        done=len(jobs) - len(failures),
        kept=len(files) - len(jobs),
        failures=file if failures else None,
        failed=len(failures),
        renamed=sum(copy.name != original.name for original, copy in made),
        before=_speed([original for original, _ in made], [pair[0] for pair in sample]),
        after=_speed([copy for _, copy in made], [pair[1] for pair in sample]),
    )


def clip_time(file: Path, seed: int = 0) -> float:
    """Milliseconds to open `file` and read a random 8×8 clip, a centred square at 224×224."""
    random = np.random.default_rng(seed)
    begin = time.perf_counter()
    with open_video(file) as reader:
        height, width = reader.size
        side = min(height, width)
        start = int(random.integers(max(len(reader) - 56, 1)))
        indices = np.minimum(start + 8 * np.arange(8), len(reader) - 1)
        crop = Box((width - side) // 2, (height - side) // 2, side, side)
        reader.read(indices.tolist(), crop=crop, size=(224, 224))
    return 1000 * (time.perf_counter() - begin)


def _speed(files: Sequence[Path], sample: Sequence[Path]) -> Speed:
    # the second time counts: the first one reads the disk
    times = [clip_time(file, number) for _ in range(2) for number, file in enumerate(sample)]
    median = statistics.median(times[len(sample) :]) if sample else None
    return Speed(sum(file.stat().st_size for file in files), median)


def _settle(target: Path, config: ResizeConfig) -> None:
    """Keep the settings in the target, or compare them with those that are kept there."""
    file = target / SETTINGS
    if not file.exists():
        write_text(file, json.dumps(asdict(config), indent=2) + "\n")
        return
    kept = json.loads(file.read_text())
    if kept != asdict(config):
        made = ", ".join(f"{name} {value}" for name, value in kept.items())
        raise ValueError(f"{target}: was made with {made}; give the same, or another folder")


def _targets(files: Sequence[Path], source: Path, target: Path) -> list[Path]:
    """target/CLASS/name.mp4; name.avi.mp4 where two files of a folder would become one."""
    taken = {file for file in files if file.suffix == ".mp4"}
    targets = []
    for file in files:
        copy = file.with_suffix(".mp4")
        if copy != file and copy in taken:
            copy = file.with_name(file.name + ".mp4")
        taken.add(copy)
        targets.append(target / copy.relative_to(source))
    return targets


def _origin(file: Path, source: Path) -> tuple[str, int, int]:
    """What a copy is made of: the name of the file, its size in bytes and its time of change."""
    return _name(file, source), *stamp(file)


def _read_made(target: Path) -> dict[str, tuple[str, int, int]]:
    """Copy → what it was made of."""
    file = target / MADE
    made: dict[str, tuple[str, int, int]] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            copy, *origin = json.loads(line)
        except (ValueError, TypeError):  # the line that was being written when the power went
            continue
        made[copy] = tuple(origin)
    return made


def _name(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix()
