"""95 % intervals of means over clips: a bootstrap over videos.

Each resample draws as many videos as there are, with replacement. The percentile interval is
widened about the mean by Student's t over the normal quantile, since it is too narrow where videos
are few (Hesterberg, The American Statistician 69, 2015).
"""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from video_gc.analysis.compare.bootstrap import NORMAL, t_quantile

RESAMPLES = 2000
CELLS_AT_ONCE = 2_000_000
"""Numbers in one array of resampled counts."""


def number_videos(videos: Sequence[Hashable]) -> np.ndarray:
    """0, 1, 2, … for each video, in the order of their first clips."""
    numbers = {video: number for number, video in enumerate(dict.fromkeys(videos))}
    return np.array([numbers[video] for video in videos], np.int64)


def mean_intervals(
    values: np.ndarray, videos: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the intervals of each column's mean: (clips, K), (clips,) → (K,), (K,).

    Raises ValueError with fewer than two videos.
    """
    clips = np.bincount(videos)
    sums = np.zeros((len(clips), values.shape[1]))
    np.add.at(sums, videos, values)
    drawn = [
        (counts @ sums) / (counts @ clips)[:, None]
        for counts in _draws(len(clips), seed, resamples)
    ]
    return _ends(np.concatenate(drawn), values.mean(0), len(clips))


def pair_interval(
    distances: np.ndarray, videos: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """The mean of distances (clips, clips) over pairs of two videos, and its interval.

    Raises ValueError with fewer than two videos.
    """
    several = int(videos.max()) + 1
    sums, pairs = np.zeros((several, several)), np.zeros((several, several))
    np.add.at(sums, (videos[:, None], videos[None]), distances)
    np.add.at(pairs, (videos[:, None], videos[None]), 1.0)
    for table in (sums, pairs):
        np.fill_diagonal(table, 0)
    mean = sums.sum() / pairs.sum()
    drawn = []
    for counts in _draws(several, seed, resamples):
        totals = np.einsum("rv,vw,rw->r", counts, pairs, counts, optimize=True)
        some = totals > 0  # a draw of one video alone has no pair
        drawn.append(np.einsum("rv,vw,rw->r", counts, sums, counts, optimize=True)[some])
        drawn[-1] /= totals[some]
    low, high = _ends(np.concatenate(drawn)[:, None], np.array([mean]), several)
    return float(mean), float(low[0]), float(high[0])


def _draws(videos: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each video was drawn: arrays (some resamples, videos)."""
    if videos < 2:
        raise ValueError(f"an interval needs two videos or more, not {videos}")
    random = np.random.default_rng(seed)
    step = max(1, CELLS_AT_ONCE // videos)
    shares = np.full(videos, 1 / videos)
    for start in range(0, resamples, step):
        yield random.multinomial(videos, shares, size=min(step, resamples - start)).astype(float)


def _ends(drawn: np.ndarray, mean: np.ndarray, videos: int) -> tuple[np.ndarray, np.ndarray]:
    factor = t_quantile(videos - 1) / NORMAL
    low, high = mean + factor * (np.percentile(drawn, [2.5, 97.5], axis=0) - mean)
    return low, high
