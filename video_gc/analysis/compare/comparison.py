"""A verdict on two tested runs, or two groups of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from video_gc.analysis.compare.bootstrap import (
    NAMES,
    RESAMPLES,
    Difference,
    Figures,
    accuracy_figures,
    differences,
    levels,
    precision_figures,
)
from video_gc.analysis.compare.folds import pool_folds
from video_gc.analysis.compare.mcnemar import McNemar, mcnemar
from video_gc.analysis.compare.multi_label import multi_hot
from video_gc.analysis.compare.predictions import (
    SharedVideos,
    TestedRun,
    identical_predictions,
    read_tested,
    shared_videos,
    unlike_tests,
)
from video_gc.evaluate.selection import CHOSE, is_optimistic, selection_note

LEVEL = 0.05
SEVERAL = "give several with --a RUN… --b RUN…"


@dataclass(frozen=True)
class Changes:
    """Which videos A and B get right, and the classes they predict."""

    right_a: np.ndarray
    """(V,): share of A's runs that get the video right; 0 or 1 for one run"""
    right_b: np.ndarray
    said_a: list[str]
    """the class predicted by most of A's runs"""
    said_b: list[str]
    groups: np.ndarray | None = None
    """(V,): number of each video's group; None if all are alone"""

    @property
    def wins(self) -> int:
        """Videos that B gets right more often than A."""
        return int((self.right_b > self.right_a).sum())

    @property
    def losses(self) -> int:
        """Videos that A gets right more often than B."""
        return int((self.right_b < self.right_a).sum())

    @property
    def test(self) -> McNemar:
        """McNemar's with one run each; with several, the sign test over the videos' shares; with
        groups, over the sums of their videos, because those are not independent."""
        if self.groups is None:
            return mcnemar(self.wins, self.losses)
        gains = np.bincount(self.groups, self.right_b - self.right_a).round(9)
        return mcnemar(int((gains > 0).sum()), int((gains < 0).sum()))


@dataclass(frozen=True)
class Comparison:
    """Two sides over the same videos."""

    a: list[TestedRun]
    b: list[TestedRun]
    videos: SharedVideos
    figures: dict[str, Difference]
    """top-1, top-5 (of more than five classes) and mean class; mAP for a multi-label set. The first
    one decides"""
    drawn: np.ndarray
    """(resamples,): the resampled difference of the first figure, points"""
    changes: Changes | None
    """None for a multi-label set"""

    @property
    def trainings(self) -> tuple[int, int]:
        """Number of runs of A and of B."""
        return len(self.a), len(self.b)

    @property
    def training(self) -> str:
        """What a run is: one training, or those of all folds with one seed."""
        return "seed" if any(run.folds for run in (*self.a, *self.b)) else "training"

    @property
    def titles(self) -> tuple[str, str]:
        """The names of A and B."""
        a, b = (
            side[0].name + (f" and {len(side) - 1} more" if len(side) > 1 else "")
            for side in (self.a, self.b)
        )
        return a, b

    @property
    def first(self) -> tuple[str, Difference]:
        """The figure that decides, and its name."""
        return next(iter(self.figures.items()))

    @property
    def word(self) -> str:
        """B's result: better, worse, or noise.

        Bootstrap and test must agree: the bootstrap alone claims too much with a handful of
        videos.
        """
        found = self.first[1]
        unseen = self.changes is not None and self.changes.test.mid_p >= LEVEL
        if not found.sure or unseen:
            return "noise"
        return "better" if found.difference > 0 else "worse"

    @property
    def name_of_test(self) -> str:
        """The name of the test of `changes`."""
        if self.videos.groups is not None:
            return "the sign test over the groups"
        return "McNemar's test" if self.trainings == (1, 1) else "the sign test over the videos"

    @property
    def verdict(self) -> str:
        """The first figure as a sentence."""
        return self.verdict_on(f"A ({self.titles[0]})", f"B ({self.titles[1]})")

    def verdict_on(self, a: str, b: str) -> str:
        """The same sentence with other names for the sides."""
        name, found = self.first
        single = self.trainings == (1, 1)
        text = (
            f"{b} − {a}: {found.difference:+.2f} points of {name}"
            f"{' on the validation videos that chose the checkpoint' * self.optimistic} "
            f"(95 % interval {found.low:+.2f} to {found.high:+.2f}), {self.word}"
        )
        if self.word != "noise":
            about = (
                f"; with one {self.training} each this is about two networks, not about two methods"
            )
            return f"{text}{about if single else ''}."
        if found.sure:
            text += f": {self.name_of_test} finds no difference"
        videos = self.videos.counted
        if single:
            text += f"; {videos} {'show' if len(self.videos.paths) != 1 else 'shows'}"
        else:
            text += f"; {videos} and {len(self.a)} + {len(self.b)} {self.training}s show"
        text += f" a difference of {found.detectable:.1f} points or more"
        return f"{text} (4 times in 5); a smaller one needs more videos or seeds."

    @property
    def counted(self) -> str:
        """`200 videos of 40 groups`, and whether they chose a checkpoint."""
        return f"{self.videos.counted}{f' ({CHOSE})' * self.optimistic}"

    @property
    def optimistic(self) -> bool:
        """Whether these videos chose the checkpoint of a run."""
        return any(is_optimistic(run.about) for run in (*self.a, *self.b))

    @property
    def warnings(self) -> list[str]:
        """The limits of the comparison, and differences between the tests of the two sides."""
        runs = [*self.a, *self.b]
        found = []
        if self.trainings == (1, 1):
            found.append(
                f"one {self.training} each: the interval is about these two networks and does not "
                f"include the spread over seeds ({SEVERAL})"
            )
        elif 1 in self.trainings:
            side = "AB"[self.trainings.index(1)]
            found.append(
                f"{side} is one {self.training}: its spread is not in the interval ({SEVERAL})"
            )
        found += [f"{run.name}: {note}" for run in runs if (note := selection_note(run.about))]
        if unknown := ", ".join(run.name for run in runs if not run.about):
            found.append(f"no accuracy.json, so the test's settings are unknown: {unknown}")
        found += unlike_tests([(run.name, run.about) for run in runs])
        found += identical_predictions(self.a) + identical_predictions(self.b)
        for run, left_out in zip(runs, self.videos.left_out, strict=True):
            if left_out:
                found.append(f"{run.name}: {left_out} videos that another run lacks are left out")
        if self.videos.moved:
            found.append(
                f"the videos of {runs[0].name} are in another folder than those of another run: "
                "they are matched by their paths below the common folder"
            )
        return found


def compare_runs(
    a: Sequence[Path], b: Sequence[Path], *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compare tested runs: run directories, folders of test results, or predictions.csv files.

    a, b: one run each, or several trainings (seeds) of the same network; all folds of a run count
        as one training.

    Raises FileNotFoundError for an untested run, and as `pool_folds` and `compare_tests`.
    """
    read = [[read_tested(place) for place in side] for side in (a, b)]
    sides = (pool_folds(side) if len(side) > 1 else side for side in read)
    return compare_tests(*sides, resamples=resamples, seed=seed)


def compare_tests(
    a: Sequence[TestedRun], b: Sequence[TestedRun], *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compare runs already read.

    Raises ValueError for a run given twice, DataError if the runs share no video or disagree on a
    label.
    """
    runs = [*a, *b]
    file, times = Counter(run.file.resolve() for run in runs).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{file}: is given twice; name two different tests")
    videos = shared_videos(runs)
    said = _said(runs, videos)
    names, kinds, sizes = _figures(runs, videos, said)
    changes = None
    if names == NAMES:
        right = _right(said, videos, 1)
        changes = Changes(
            right_a=right[: len(a)].mean(0),
            right_b=right[len(a) :].mean(0),
            said_a=_most_said(said[: len(a)]),
            said_b=_most_said(said[len(a) :]),
            groups=videos.groups,
        )
    found, drawn = differences(kinds, sizes, (len(a), len(b)), resamples=resamples, seed=seed)
    figures = dict(zip(names, found, strict=True))
    if not any(run.tells_top5 for run in runs):
        figures.pop("top-5", None)
    return Comparison(list(a), list(b), videos, figures, drawn[0], changes)


def intervals_of(
    runs: Sequence[TestedRun], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Difference]:
    """Figure → its values over the runs' common videos (`b`) with its interval, per cent.

    runs: trainings (seeds) of one network. Raises as `compare_tests`.
    """
    videos = shared_videos(runs)
    names, kinds, sizes = _figures(runs, videos, _said(runs, videos))
    found = levels(kinds, sizes, len(runs), resamples=resamples, seed=seed)
    return dict(zip(names, found, strict=True))


Said = list[list[list[str]]]
"""The best classes of each video, of each run."""


def _figures(
    runs: Sequence[TestedRun], videos: SharedVideos, said: Said
) -> tuple[tuple[str, ...], Figures, np.ndarray]:
    """The names of the figures, and the arguments of `differences`."""
    if any(run.multi_label for run in runs):
        return ("mAP",), *precision_figures(*multi_hot(runs, videos), videos.groups)
    classes = np.unique(videos.labels, return_inverse=True)[1]
    right1, right5 = (_right(said, videos, first) for first in (1, 5))
    return NAMES, *accuracy_figures(classes, right1, right5, videos.groups)


def _said(runs: Sequence[TestedRun], videos: SharedVideos) -> Said:
    return [[run.top[row] for row in rows] for run, rows in zip(runs, videos.rows, strict=True)]


def _right(said: Said, videos: SharedVideos, first: int) -> np.ndarray:
    """(runs, V): whether the label is among the `first` classes."""
    return np.array([
        [label in top[:first] for label, top in zip(videos.labels, own, strict=True)]
        for own in said
    ])  # fmt: skip


def _most_said(runs: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    """The class predicted by most runs for each video. runs: the best classes of each run."""
    tops = zip(*([top[0] for top in run] for run in runs), strict=True)
    return [Counter(names).most_common(1)[0][0] for names in tops]
