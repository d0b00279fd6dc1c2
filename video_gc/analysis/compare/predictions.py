"""Read the results of tools/test.py, find the videos shared by runs, and the differences between
their tests."""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from video_gc.data.fingerprint import same_copy
from video_gc.data.index import DataError
from video_gc.outputs import read_csv
from video_gc.train.checkpoint_paths import checkpoint_in

PREDICTIONS = "predictions.csv"
SETTINGS = {
    "clips": ("clips a video", None),
    "crops": ("crops", None),
    "fuse": ("fusion of the views", "mean"),
    "precision": ("precision", "fp32"),
    "weights": ("weights", "raw"),
    "subset": ("subset", None),
}
"""Entry of accuracy.json → its meaning, and its value in files older than the entry."""


@dataclass(frozen=True)
class TestedRun:
    """One network's predictions, a row for each scored video."""

    name: str
    home: Path
    """the run directory, or the folder of the test if it lies elsewhere"""
    file: Path
    """predictions.csv"""
    about: dict[str, Any]
    """accuracy.json; empty if there is none beside the predictions"""
    paths: list[str]
    labels: list[str]
    """class name; several are joined by ;"""
    top: list[list[str]]
    """the first five class names, or as many as there are"""
    first_scores: list[float]
    """of the first name"""
    groups: list[str] | None = None
    """what each video was cut from or shows; None if unknown"""
    folds: "list[TestedRun]" = field(default_factory=list)
    """the tests that this one pools, in the order of its videos; empty for a single test"""

    @property
    def multi_label(self) -> bool:
        """Whether a video has several labels."""
        if self.about:
            return "mAP" in self.about.get("video_level", {})
        return any(";" in label for label in self.labels)

    @property
    def tells_top5(self) -> bool:
        """Whether there are more than five classes; with fewer, every video is right in top-5."""
        return len({*self.labels, *(name for names in self.top for name in names)}) > 5


@dataclass(frozen=True)
class SharedVideos:
    """The videos scored in all of several runs."""

    paths: list[str]
    labels: list[str]
    rows: list[np.ndarray]
    """for each run: its row of each video"""
    left_out: list[int]
    """for each run: number of its videos missing in another run"""
    moved: bool
    """paths agree only below the common folder of each run's videos"""
    groups: np.ndarray | None = None
    """(V,): number of each video's group; rows of one file are a group; None if all are alone"""

    @property
    def group_count(self) -> int | None:
        """Number of groups; None if all videos are alone."""
        return None if self.groups is None else len(np.unique(self.groups))

    @property
    def counted(self) -> str:
        """`200 videos of 40 groups`."""
        count = len(self.paths)
        text = f"{count} video{'s' * (count != 1)}"
        return text if self.groups is None else f"{text} of {self.group_count} groups"


def read_tested(place: Path) -> TestedRun:
    """Read a run directory, a folder of test results or a predictions.csv.

    Raises FileNotFoundError with the command that makes the missing file, DataError for a file not
    from tools/test.py, or without videos or numbers.
    """
    file = _predictions(place)
    header, rows = read_csv(file)
    for column in ("path", "label", "top1", "score1"):
        if column not in header:
            raise DataError(f"{file}: no column {column!r}; video-gc test writes such files")
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
        about=json.loads(accuracy.read_text("utf-8")) if accuracy.is_file() else {},
        paths=[row["path"] for row in rows],
        labels=[row["label"] for row in rows],
        top=[[row[column] for column in tops] for row in rows],
        first_scores=[float(row["score1"]) for row in rows],
        groups=[row["group"] for row in rows] if "group" in header else None,
    )


def shared_videos(runs: Sequence[TestedRun]) -> SharedVideos:
    """The videos of all runs, by path, in the order of the first run.

    A path that a run has several times (parts of one file) counts if all runs have it as often.

    Raises DataError if no video is shared, or labels differ.
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
            f"and {other.paths[0]} …; test both on the same: video-gc test CHECKPOINT --data DIR"
        )
    rows = [_rows_of(shared, paths) for paths in named]
    first = runs[0]
    paths, labels = ([names[row] for row in rows[0]] for names in (first.paths, first.labels))
    for run, own in zip(runs[1:], rows[1:], strict=True):
        for row, label, path in zip(own, labels, paths, strict=True):
            if run.labels[row] != label:
                raise DataError(
                    f"{path}: {label!r} in {first.name}, {run.labels[row]!r} in {run.name}; test "
                    "both on the same list"
                )
    left_out = [len(run.paths) - len(own) for run, own in zip(runs, rows, strict=True)]
    return SharedVideos(paths, labels, rows, left_out, moved, _groups(runs, rows, paths))


def _groups(
    runs: Sequence[TestedRun], rows: Sequence[np.ndarray], paths: Sequence[str]
) -> np.ndarray | None:
    found = list(paths)
    for run, own in zip(runs, rows, strict=True):
        if run.groups:
            found = [run.groups[row] for row in own]
            break
    names, numbers = np.unique(found, return_inverse=True)
    return numbers if len(names) < len(paths) else None


def unlike_tests(tests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Differences between the tests, a line for each. tests: names, and accuracy.json of each."""
    found = []
    known = [(name, how_tested(about)) for name, about in tests if about]
    for meaning in how_tested({}):
        names: dict[str, dict[str, None]] = {}
        for name, settings in known:
            names.setdefault(str(settings[meaning]), {})[name] = None
        if len(names) > 1:
            each = "; ".join(f"{value} in {', '.join(own)}" for value, own in names.items())
            found.append(f"not tested alike, {meaning}: {each}")
    prints = [(name, about) for name, about in tests if about.get("fingerprint")]
    named = [f"{name} ({about['fingerprint']})" for name, about in prints]
    same = [same_videos(prints[0][1], about) for _, about in prints]
    others = [name for name, alike in zip(named, same, strict=True) if alike is False]
    if others:
        found.append(
            f"not tested on the same copy of the videos: {named[0]}, but "
            f"{', '.join(dict.fromkeys(others))}; their figures cannot be compared"
        )
    first = prints[0][1] if prints else {}
    unlike = [
        name
        for name, about in prints
        if about.get("names") == first.get("names")
        and about.get("division") != first.get("division")
    ]
    if unlike:
        found.append(
            f"the same videos are divided into folds differently: {prints[0][0]}, but "
            f"{', '.join(dict.fromkeys(unlike))}; their networks were trained on different videos"
        )
    return found


def same_videos(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Whether two tests are of the same videos; None if that cannot be known.

    one, other: accuracy.json. The fingerprint of folds depends on how videos were divided: where
    that differs (data.group, data.split_seed), names can show that the videos are others.
    """
    same = same_copy(*(str(about.get("fingerprint") or "") for about in (one, other)))
    divisions = one.get("division"), other.get("division")
    if same is False and all(divisions) and divisions[0] != divisions[1]:
        return None if one["names"] == other["names"] else False
    return same


def how_tested(about: Mapping[str, Any]) -> dict[str, Any]:
    """Setting → its value, for all settings in which tests may differ. about: accuracy.json."""
    found = {meaning: about.get(key, before) for key, (meaning, before) in SETTINGS.items()}
    stem = Path(about.get("checkpoint", "best")).stem
    # published weights have their own name and neither of these
    found["checkpoint"] = stem if stem == "last" or stem.startswith("step-") else "best"
    return found


def identical_predictions(side: Sequence[TestedRun]) -> list[str]:
    """A line for each pair of runs with equal predictions: they may be one training."""
    return [
        f"{one.name} and {other.name} predict exactly the same: are they two trainings?"
        for one, other in combinations(side, 2)
        if (one.paths, one.top, one.first_scores) == (other.paths, other.top, other.first_scores)
    ]


def _predictions(place: Path) -> Path:
    if place.is_file():
        return place
    for file in (place / PREDICTIONS, place / "test" / PREDICTIONS):
        if file.is_file():
            return file
    if not place.is_dir():
        others = sorted(path.parts[-3] for path in place.parent.glob(f"*/test/{PREDICTIONS}"))
        known = f"tested are {', '.join(others)}" if others else "video-gc train makes one"
        raise FileNotFoundError(f"{place}: no such run; {known}")
    raise FileNotFoundError(f"{place}: not tested yet; run: video-gc test {checkpoint_in(place)}")


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
    """Paths below their common folder, because data sets are copied from place to place."""
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # mixed relative and absolute paths
        return list(paths)
    return [os.path.relpath(path, folder) if folder else path for path in paths]


def _rows_of(shared: Sequence[str], paths: Sequence[str]) -> np.ndarray:
    rows: dict[str, list[int]] = {}
    for row, path in enumerate(paths):
        rows.setdefault(path, []).append(row)
    return np.array([row for path in shared for row in rows[path]], np.int64)
