"""From two tested runs, or two groups of them, to a verdict."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from video_gc.analysis.compare.bootstrap import RESAMPLES, Difference, differences
from video_gc.analysis.compare.mcnemar import McNemar, mcnemar
from video_gc.analysis.compare.resampled_accuracy import NAMES, accuracy_figures, precision_figures
from video_gc.analysis.compare.scores import multi_hot
from video_gc.analysis.compare.tested import SharedVideos, TestedRun, read_tested, shared_videos
from video_gc.analysis.compare.verdict import verdict, warnings_about, word_for

LEVEL = 0.05


@dataclass(frozen=True)
class Changes:
    """Which videos A and B get right, and what they take them for."""

    right_a: np.ndarray
    """(V,): share of A's runs that get the video right; 0 or 1 of one run"""
    right_b: np.ndarray
    said_a: list[str]
    """the class that most of A's runs say"""
    said_b: list[str]
    test: McNemar
    """of several runs, the sign test over the videos' shares, which is McNemar's with one each"""

    @property
    def wins(self) -> int:
        """Videos that B gets right more often than A."""
        return int((self.right_b > self.right_a).sum())

    @property
    def losses(self) -> int:
        """Videos that A gets right more often than B."""
        return int((self.right_b < self.right_a).sum())


@dataclass(frozen=True)
class Comparison:
    """Two sides over the same videos."""

    a: list[TestedRun]
    b: list[TestedRun]
    videos: SharedVideos
    figures: dict[str, Difference]
    """top-1, top-5 and mean class; mAP of a multi-label set. The first one decides"""
    drawn: np.ndarray
    """(resamples,): the resampled difference of the first figure, points"""
    changes: Changes | None
    """None for a multi-label set"""
    warnings: list[str]

    @property
    def trainings(self) -> tuple[int, int]:
        """Runs of A and of B."""
        return len(self.a), len(self.b)

    @property
    def title_a(self) -> str:
        """What A is called."""
        return _title(self.a)

    @property
    def title_b(self) -> str:
        """What B is called."""
        return _title(self.b)

    @property
    def word(self) -> str:
        """What B is: better, worse, or noise."""
        return word_for(self._first[1], self._seen_by_test)

    @property
    def verdict(self) -> str:
        """The first figure in a sentence."""
        return self.verdict_on(f"A ({self.title_a})", f"B ({self.title_b})")

    def verdict_on(self, a: str, b: str) -> str:
        """The same with other names for the sides."""
        name, first = self._first
        return verdict(
            name,
            first,
            names=(a, b),
            videos=len(self.videos.paths),
            test=self._seen_by_test,
            trainings=self.trainings,
        )

    @property
    def _first(self) -> tuple[str, Difference]:
        return next(iter(self.figures.items()))

    @property
    def _seen_by_test(self) -> bool | None:
        return None if self.changes is None else self.changes.test.mid_p < LEVEL


def compare_runs(
    a: Sequence[Path], b: Sequence[Path], *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compare tested runs: run directories, folders of test results, or predictions.csv files.

    a, b: one run each, or several trainings (seeds) of the same network.

    Raises FileNotFoundError for a run that was not tested, ValueError for one that is given twice,
    DataError where the runs share no video or disagree on a label.
    """
    side_a, side_b = [read_tested(place) for place in a], [read_tested(place) for place in b]
    runs = [*side_a, *side_b]
    times = Counter(run.file.resolve() for run in runs)
    for run in runs:
        if times[run.file.resolve()] > 1:
            raise ValueError(f"{run.file}: is given twice; name two different tests")
    videos = shared_videos(runs)
    if any(run.multi_label for run in runs):
        names: tuple[str, ...] = ("mAP",)
        kinds, sizes = precision_figures(*multi_hot(runs, videos))
        changes = None
    else:
        names = NAMES
        right1, right5 = _right(runs, videos)
        classes = np.unique(videos.labels, return_inverse=True)[1]
        kinds, sizes = accuracy_figures(classes, right1, right5)
        changes = _changes(runs, videos, right1, len(side_a))
    found, drawn = differences(
        kinds, sizes, (len(side_a), len(side_b)), resamples=resamples, seed=seed
    )
    return Comparison(
        a=side_a,
        b=side_b,
        videos=videos,
        figures=dict(zip(names, found, strict=True)),
        drawn=drawn[0],
        changes=changes,
        warnings=warnings_about(side_a, side_b, videos),
    )


def _right(runs: Sequence[TestedRun], videos: SharedVideos) -> tuple[np.ndarray, np.ndarray]:
    """(runs, V) each: whether the label came first, and whether it was among the first five."""
    tops = [[run.top[row] for row in rows] for run, rows in zip(runs, videos.rows, strict=True)]
    first = [
        [top[0] == label for top, label in zip(each, videos.labels, strict=True)] for each in tops
    ]
    among = [
        [label in top for top, label in zip(each, videos.labels, strict=True)] for each in tops
    ]
    return np.array(first), np.array(among)


def _changes(
    runs: Sequence[TestedRun], videos: SharedVideos, right: np.ndarray, runs_a: int
) -> Changes:
    shares = [side.mean(0) for side in (right[:runs_a], right[runs_a:])]
    said = []
    for some in (slice(None, runs_a), slice(runs_a, None)):
        each = zip(runs[some], videos.rows[some], strict=True)
        tops = zip(*([run.top[row][0] for row in rows] for run, rows in each), strict=True)
        said.append([Counter(names).most_common(1)[0][0] for names in tops])
    wins, losses = (shares[1] > shares[0]).sum(), (shares[1] < shares[0]).sum()
    return Changes(shares[0], shares[1], said[0], said[1], mcnemar(int(wins), int(losses)))


def _title(side: Sequence[TestedRun]) -> str:
    if len(side) == 1:
        return side[0].name
    return f"{side[0].name} and {len(side) - 1} more"
