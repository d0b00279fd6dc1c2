"""Scores of windows → segments: when each class happens.

Each class by itself, so segments of two classes may overlap. Background needs no class: it is where
no class has a segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from video_gc.deploy.contract import Contract

MOST_OVERLAP = 0.95


@dataclass(kw_only=True)
class SegmentOptions:
    """How windows become segments."""

    overlap: float = 0.5
    """share of a window that the next one sees too, in [0, 0.95]"""
    threshold: float = 0.5
    """a segment reaches this score, in (0, 1]"""
    leave: float | None = None
    """a segment ends where its score falls below; default: 0.8 of the threshold"""
    smooth: int = 3
    """scores are means over so many windows, an odd number; 1: not smoothed"""
    min_length: float = 0.0
    """shorter segments are left out, s"""

    def __post_init__(self) -> None:
        check_overlap(self.overlap)
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold ({self.threshold:g}) must be in (0, 1]")
        if self.leave is not None and not 0 < self.leave <= self.threshold:
            raise ValueError(
                f"leave ({self.leave:g}) must be above 0 and at most the threshold "
                f"({self.threshold:g})"
            )
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise ValueError(f"smooth ({self.smooth}) must be 1, 3, 5, …: as many before as after")
        if not self.min_length >= 0:
            raise ValueError(f"min_length ({self.min_length:g}) must be at least 0 s")


@dataclass(frozen=True)
class Segment:
    """A class from `start` to `end`, in seconds; the score is the mean of its smoothed scores."""

    label: str
    score: float
    start: float
    end: float


def check_overlap(overlap: float) -> None:
    """Raise ValueError for an overlap of windows that is not in [0, 0.95]."""
    if not 0 <= overlap <= MOST_OVERLAP:
        raise ValueError(f"overlap ({overlap:g}) must be in [0, {MOST_OVERLAP}]")


def check_windows(contract: Contract) -> None:
    """Raise ValueError for a network that sees a whole video at once."""
    if contract.sampling == "segments":
        raise ValueError(
            "the network sees frames of a whole video at once (clip.sampling=segments), so there "
            "are no windows; train with clip.sampling=dense"
        )


def find_segments(
    scores: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    names: Sequence[str],
    options: SegmentOptions,
) -> list[Segment]:
    """The segments in order of their starts.

    scores: (K, classes) in 0…1; start, end: (K,) seconds of the windows, rising; names: of the
        classes.

    A segment is a run of windows with scores of at least `leave`, one of which reaches
    `threshold`: the hysteresis of edge detectors (Canny, PAMI 1986), which treats both ends alike.
    """
    leave = 0.8 * options.threshold if options.leave is None else options.leave
    smoothed, edges = smooth(scores, options.smooth), borders(start, end)
    found = []
    for number, name in enumerate(names):
        score = smoothed[:, number]
        runs, count = ndimage.label(score >= leave)
        for (run,) in ndimage.find_objects(runs, count):
            first, last = float(edges[run.start]), float(edges[run.stop])
            lasts = round(last - first, 6)  # 2.3 - 0.3 is a little less than 2
            if score[run].max() >= options.threshold and lasts >= options.min_length:
                found.append(Segment(name, float(score[run].mean()), first, last))
    return sorted(found, key=lambda segment: (segment.start, segment.end))


def smooth(scores: np.ndarray, windows: int) -> np.ndarray:
    """(K, classes): the mean over each window and its neighbours; fewer at both ends.

    Rounded to 6 digits, so that a mean of equal scores is this score.
    """
    sums = np.concatenate([np.zeros((1, scores.shape[1])), scores.cumsum(0, dtype=np.float64)])
    places, half = np.arange(len(scores)), windows // 2
    first, stop = np.maximum(places - half, 0), np.minimum(places + half + 1, len(scores))
    return ((sums[stop] - sums[first]) / (stop - first)[:, None]).round(6)


def borders(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(K + 1,) seconds: window k speaks for the time from border k to border k + 1.

    Borders lie in the middle between the centres of neighbours; without overlap they are the
    windows' own ends.
    """
    centre = (start + end) / 2
    return np.concatenate([start[:1], (centre[:-1] + centre[1:]) / 2, end[-1:]])
