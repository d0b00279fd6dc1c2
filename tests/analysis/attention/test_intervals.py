import numpy as np
import pytest

from video_gc.analysis.attention.intervals import mean_intervals, number_videos, pair_interval


def test_the_interval_covers_the_truth_and_clips_of_one_video_count_as_one() -> None:
    random = np.random.default_rng(0)
    videos = number_videos([name for name in "abcdefghijkl" for _ in range(4)])
    hits = np.zeros(2)
    for trial in range(200):
        values = 5 + random.normal(size=12).repeat(4) + 0.1 * random.normal(size=48)
        for way, numbers in enumerate((videos, np.arange(48))):
            low, high = mean_intervals(values[:, None], numbers, seed=trial, resamples=300)
            hits[way] += low[0] < 5 < high[0]
    assert hits[0] / 200 > 0.9
    assert hits[1] / 200 < 0.8  # as if they were independent


def test_pairs_of_one_video_are_left_out() -> None:
    videos = number_videos(["a", "b", "a", "c"])
    assert videos.tolist() == [0, 1, 0, 2]
    distances = np.where(videos[:, None] == videos[None], 100.0, 2.0)
    assert pair_interval(distances, videos) == (2, 2, 2)


def test_one_video_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two videos"):
        mean_intervals(np.ones((3, 1)), np.zeros(3, int))
