"""Copy a folder of videos with a small short side and frequent key frames."""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from video_gc.atomic import atomic_path
from video_gc.data.annotations.folder_scan import find_videos
from video_gc.data.prepare.copies import Copy, check_separate, journal_of_copies, plan_copies
from video_gc.data.prepare.jobs import ResizeConfig, ResizeJob, cause_of, patience, resize_file
from video_gc.decode.open import open_video
from video_gc.decode.reader import Box
from video_gc.outputs import Outputs, write_csv
from video_gc.progress import progress_bar, track
from video_gc.subprocess_call import call_each

SETTINGS = "resize.json"
"""File with the settings of the copy, in its folder."""
FAILED = "resize-failed.csv"
"""List of unreadable files, in its folder."""
SAMPLE, SECONDS = 8, 5.0
"""Number of files on which the speed before and after is measured, and the seconds after which no
further one is begun."""


@dataclass(frozen=True)
class Speed:
    """The cost of reading: the bytes of all files, and a time from a sample."""

    bytes: int
    clip_ms: float | None
    """mean processor time to open a file and read a random 8×8 clip of it at 224×224, ms; None if
    nothing was written, or no file could be read"""


@dataclass(frozen=True)
class ResizeResult:
    """What was done."""

    done: int
    """files written now"""
    kept: int
    """files of an earlier run"""
    failures: Path | None
    """list of unreadable files, if there are any"""
    failed: int
    renamed: int
    """files whose suffix changed"""
    before: Speed
    after: Speed


def resize_videos(
    source: Path,
    target: Path,
    config: ResizeConfig,
    *,
    workers: int = 1,
    time_limit: float = 60.0,
    work: Callable[[ResizeJob], str] = resize_file,
) -> ResizeResult:
    """Transcode every video below `source` to the same path below `target`, as .mp4.

    A file appears when it is complete. A copy of the same file, with the same size and time, is
    kept: rerun the command to resume. Failures are listed in TARGET/resize-failed.csv. Only copies
    of an earlier run are replaced.

    Raises FileNotFoundError for a missing source, DataError for one without videos, ValueError if
    one folder lies in the other, with links resolved, or the target was made with other settings,
    FileExistsError if other files are in the way, BlockingIOError if another resize is writing to
    the target.
    """
    files = find_videos(source)
    check_separate(files, source, target)
    outputs = Outputs(target)
    outputs.check([FAILED])
    plan = plan_copies(files, source, target)
    _check_settings(target, config)
    failures = [(str(file), cause) for file, cause in plan.failed]
    with journal_of_copies(plan, target) as (todo, note), progress_bar() as progress:
        task = progress.add_task(
            "Resizing", total=plan.total, completed=plan.total - len(plan.todo)
        )
        done = call_each(
            work,
            (ResizeJob(copy, config, time_limit) for copy in todo),
            workers=workers,
            patience=lambda job: patience(job.copy.source, time_limit),
        )
        for job, found in done:
            cause = cause_of(found) if isinstance(found, Exception) else found
            if not cause:
                try:
                    note(job.copy)
                except OSError as error:  # already removed, or the disk is full
                    cause = error.strerror or str(error)
            if cause:
                failures.append((str(job.copy.source), cause))
            progress.advance(task)
    outputs.remove(FAILED)
    if failures:
        write_csv(target / FAILED, ["path", "cause"], sorted(failures))
    made = [copy for copy in (*plan.kept, *plan.todo) if os.path.isfile(copy.target)]
    done_now = plan.total - len(plan.kept) - len(failures)
    before, after = _speeds(made, made if done_now else [])
    return ResizeResult(
        done=done_now,
        kept=len(plan.kept),
        failures=target / FAILED if failures else None,
        failed=len(failures),
        renamed=sum(copy.target.name != copy.source.name for copy in made),
        before=before,
        after=after,
    )


def clip_time(file: Path, seed: int = 0) -> float:
    """Milliseconds of a core to open `file` and read a random 8×8 clip, a centred square at
    224×224."""
    random = np.random.default_rng(seed)
    begin = time.process_time()
    with open_video(file) as reader:
        height, width = reader.size
        side = min(height, width)
        start = int(random.integers(max(len(reader) - 56, 1)))
        indices = np.minimum(start + 8 * np.arange(8), len(reader) - 1)
        crop = Box((width - side) // 2, (height - side) // 2, side, side)
        reader.read(indices.tolist(), crop=crop, size=(224, 224))
    return 1000 * (time.process_time() - begin)


def _speeds(made: Sequence[Copy], timed: Sequence[Copy]) -> tuple[Speed, Speed]:
    """The cost of the originals and of the copies: bytes of all, times of a sample of `timed`."""
    sample = sorted(timed, key=lambda copy: copy.target)[:: max(len(timed) // SAMPLE, 1)][:SAMPLE]
    times: list[tuple[float, float]] = []
    began = time.monotonic()
    for number, copy in enumerate(track(sample, "Measuring", len(sample)) if sample else ()):
        if time.monotonic() - began > SECONDS:
            break
        try:
            # the second time counts; the first one warms up
            first, second = (
                [clip_time(file, number) for _ in range(2)][1]
                for file in (copy.source, copy.target)
            )
        except Exception:  # one of them was removed or changed
            continue
        times.append((first, second))
    mean = [statistics.mean(each) for each in zip(*times, strict=True)] or [None, None]
    sizes = [_bytes([copy.source for copy in made]), _bytes([copy.target for copy in made])]
    before, after = (Speed(size, ms) for size, ms in zip(sizes, mean, strict=True))
    return before, after


def _bytes(files: Sequence[Path]) -> int:
    """The sum of their sizes; missing files count as 0."""
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file))


def _check_settings(target: Path, config: ResizeConfig) -> None:
    """Write the settings to the target, or compare them with those stored there."""
    file = target / SETTINGS
    if not os.path.lexists(file):
        with atomic_path(file, replace=False) as part:
            part.write_text(json.dumps(asdict(config), indent=2) + "\n", "utf-8")
        return
    try:
        kept = json.loads(file.read_bytes())
        made = ", ".join(f"{name} {kept[name]}" for name in asdict(config))
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise FileExistsError(
            f"{file}: exists, but resize did not write it, so it is kept; give another folder"
        ) from error
    if kept != asdict(config):
        raise ValueError(f"{target}: was made with {made}; give the same, or another folder")
