"""What tools/test.py wrote about a run, read again, and the videos that several runs share."""

import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from video_gc.data.index import DataError
from video_gc.outputs import read_csv
from video_gc.train.run_checkpoint import checkpoint_in

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class TestedRun:
    """One network's predictions, a row for each video that was scored."""

    name: str
    home: Path
    """the run directory, or the folder of the test where it lies elsewhere"""
    file: Path
    """predictions.csv"""
    about: dict[str, Any]
    """accuracy.json; empty where there is none beside the predictions"""
    paths: list[str]
    labels: list[str]
    """class name; several are joined by ;"""
    top: list[list[str]]
    """the first five class names, or as many as there are"""
    first_scores: list[float]
    """of the first name"""

    @property
    def multi_label(self) -> bool:
        """Whether a video has several labels."""
        if self.about:
            return "mAP" in self.about.get("video_level", {})
        return any(";" in label for label in self.labels)


@dataclass(frozen=True)
class SharedVideos:
    """The videos that all of several runs have scored."""

    paths: list[str]
    labels: list[str]
    rows: list[np.ndarray]
    """of each run: its row of each video"""
    left_out: list[int]
    """of each run: videos that another one lacks"""
    moved: bool
    """paths agree only below the folder that all videos of a run lie in"""


def read_tested(place: Path) -> TestedRun:
    """Read a run directory, a folder of test results or a predictions.csv.

    Raises FileNotFoundError naming the command that makes what is missing, DataError for a file
    that is not of tools/test.py, or that holds no video or no numbers.
    """
    file = _predictions(place)
    header, rows = read_csv(file)
    for column in ("path", "label", "top1", "score1"):
        if column not in header:
            raise DataError(f"{file}: no column {column!r}; tools/test.py writes such files")
    tops = [name for name in header if name.startswith("top") and name[3:].isdigit()]
    if not rows:
        raise DataError(f"{file}: no video was scored")
    for line, row in enumerate(rows, 2):
        if None in row.values() or None in row:
            raise DataError(f"{file}, row {line}: not as many cells as columns; test again")
    numberless = sum(not _is_finite(row["score1"]) for row in rows)
    if numberless:
        raise DataError(
            f"{file}: {numberless} of {len(rows)} videos have no finite score: the network gives "
            "no numbers (did its training diverge?)"
        )
    accuracy = file.with_name("accuracy.json")
    name, home = _name_and_home(file)
    return TestedRun(
        name=name,
        home=home,
        file=file,
        about=json.loads(accuracy.read_text()) if accuracy.is_file() else {},
        paths=[row["path"] for row in rows],
        labels=[row["label"] for row in rows],
        top=[[row[column] for column in tops] for row in rows],
        first_scores=[float(row["score1"]) for row in rows],
    )


def shared_videos(runs: Sequence[TestedRun]) -> SharedVideos:
    """The videos of all runs, by path, in the order of the first run.

    A path that a run has several times (parts of one file) counts where all runs have it as often.

    Raises DataError where no video is shared, or labels differ.
    """
    named = [run.paths for run in runs]
    moved = not _shared(named)
    if moved:
        named = [_below(paths) for paths in named]
    shared = _shared(named)
    if not shared:
        first = runs[0]
        apart = (run for run in runs[1:] if not set(first.paths) & set(run.paths))
        other = next(apart, runs[-1])
        raise DataError(
            f"{first.name} and {other.name} were tested on different videos: {first.paths[0]} … "
            f"and {other.paths[0]} …; test both on the same: tools/test.py CHECKPOINT --data DIR"
        )
    places = []
    for paths in named:
        by_path: dict[str, list[int]] = {}
        for row, path in enumerate(paths):
            by_path.setdefault(path, []).append(row)
        places.append(by_path)
    rows = [
        np.array([row for path in shared for row in by_path[path]], np.int64) for by_path in places
    ]
    first = runs[0]
    labels = [first.labels[row] for row in rows[0]]
    for run, own in zip(runs[1:], rows[1:], strict=True):
        for row, label, path in zip(own, labels, (first.paths[r] for r in rows[0]), strict=True):
            if run.labels[row] != label:
                raise DataError(
                    f"{path}: {label!r} in {first.name}, {run.labels[row]!r} in {run.name}; test "
                    "both on the same list"
                )
    return SharedVideos(
        paths=[first.paths[row] for row in rows[0]],
        labels=labels,
        rows=rows,
        left_out=[len(run.paths) - len(own) for run, own in zip(runs, rows, strict=True)],
        moved=moved,
    )


def _predictions(place: Path) -> Path:
    if place.is_file():
        return place
    for file in (place / PREDICTIONS, place / "test" / PREDICTIONS):
        if file.is_file():
            return file
    if not place.is_dir():
        others = sorted(path.parts[-3] for path in place.parent.glob(f"*/test/{PREDICTIONS}"))
        known = f"tested are {', '.join(others)}" if others else "tools/train.py makes one"
        raise FileNotFoundError(f"{place}: no such run; {known}")
    raise FileNotFoundError(
        f"{place}: not tested yet; run: python tools/test.py {checkpoint_in(place)}"
    )


def _name_and_home(file: Path) -> tuple[str, Path]:
    folder = file.resolve().parent
    if folder.name == "test":
        return folder.parent.name, file.parent.parent if file.parent.parts else folder.parent
    for run in (folder.parent, folder.parent.parent):  # RUN/test_2, RUN/test/raw
        if (run / "checkpoints").is_dir():
            return folder.relative_to(run.parent).as_posix(), file.parent
    return folder.name, file.parent


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _shared(named: Sequence[Sequence[str]]) -> list[str]:
    first, *others = (Counter(paths) for paths in named)
    return [path for path, times in first.items() if all(o[path] == times for o in others)]


def _below(paths: Sequence[str]) -> list[str]:
    """Paths below the folder that all of them lie in: data sets are copied from place to place."""
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # relative and absolute ones
        return list(paths)
    return [os.path.relpath(path, folder) if folder else path for path in paths]
