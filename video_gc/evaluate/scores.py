"""The scores of a set of videos, and their metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from video_gc.data.dataset import VideoProblem
from video_gc.data.index import VideoIndex
from video_gc.evaluate.metrics import (
    Accuracy,
    Precision,
    accuracy,
    calibration_error,
    precision,
)
from video_gc.evaluate.ranking import ranking


@dataclass(frozen=True)
class VideoScore:
    """The scores of one video, by each of the networks."""

    row: int
    """row in the index"""
    views: int
    """views that were scored; 0 for a damaged video"""
    scores: np.ndarray
    """float32 (networks, classes), over all views together"""
    hits: np.ndarray | None = None
    """int64 (networks, 2): views with a correct top-1, or top-5; for one label per video"""
    each: np.ndarray | None = None
    """float32 (networks, views, classes), only with several labels: mAP needs every score"""
    problems: list[VideoProblem] = field(default_factory=list)


@dataclass(frozen=True)
class Scores:
    """The scores of a set of videos, and their metrics."""

    index: VideoIndex
    scores: Tensor
    """(V, classes): probability, mean or maximum over the views of each video; 0 if not scored.
    With several labels it is a sigmoid per class, otherwise a softmax over classes."""
    views: Tensor
    """(V,): views that were scored; 0 for a damaged video"""
    clip_level: Accuracy | Precision
    """over single views"""
    video_level: Accuracy | Precision
    """over each video's views together"""
    calibration: float | None = None
    """of `scores`, see `calibration_error`; None for several labels per video"""
    problems: list[VideoProblem] = field(default_factory=list)
    """of every video, in the order of the index"""

    @property
    def not_scored(self) -> int:
        """Number of unreadable videos."""
        return int((self.views == 0).sum())

    @property
    def rows(self) -> Tensor:
        """(S,): the rows of the index that were scored."""
        return (self.views > 0).nonzero().squeeze(1)

    @property
    def targets(self) -> Tensor:
        """The labels of the scored videos: (S,), or multi-hot (S, classes)."""
        return _targets(self.index, self.rows)

    @property
    def best(self) -> tuple[Tensor, Tensor]:
        """Score and number of the best class of each scored video: (S,) and (S,)."""
        scores, classes = ranking(self.scores[self.rows], 1)
        return scores[:, 0].contiguous(), classes[:, 0].contiguous()


def put_together(index: VideoIndex, videos: Sequence[VideoScore]) -> list[Scores]:
    """The scores of each network, for `videos` in any order; missing videos count as not scored.

    Raises RuntimeError for a repeated video.
    """
    videos = sorted(videos, key=lambda video: video.row)
    rows = [video.row for video in videos]
    twice = [row for row, next_one in pairwise(rows) if row == next_one]
    if twice:
        raise RuntimeError(f"{index.path(twice[0])} was scored twice; please report this")
    networks = len(videos[0].scores) if videos else 1
    return [_of_network(index, videos, number) for number in range(networks)]


def _of_network(index: VideoIndex, videos: Sequence[VideoScore], number: int) -> Scores:
    scores = torch.zeros(len(index), len(index.names))
    views = torch.zeros(len(index), dtype=torch.long)
    for video in videos:
        scores[video.row] = torch.from_numpy(video.scores[number].copy())
        views[video.row] = video.views
    rows = (views > 0).nonzero().squeeze(1)
    targets = _targets(index, rows)
    scored = [video for video in videos if video.views]
    if index.multi_label:
        each = [video.each[number] for video in scored if video.each is not None]
        single = np.concatenate([np.zeros((0, len(index.names)), np.float32), *each])
        clip_level: Accuracy | Precision = precision(
            torch.from_numpy(single), targets.repeat_interleave(views[rows], dim=0)
        )
        video_level: Accuracy | Precision = precision(scores[rows], targets)
        calibration = None
    else:
        hits = [video.hits[number] for video in scored if video.hits is not None]
        clip_level = _of_hits(np.array(hits).reshape(-1, 2), views[rows].numpy(), targets.numpy())
        video_level = accuracy(scores[rows], targets)
        calibration = calibration_error(scores[rows], targets)
    problems = [problem for video in videos for problem in video.problems]
    return Scores(index, scores, views, clip_level, video_level, calibration, problems)


def _of_hits(hits: np.ndarray, views: np.ndarray, labels: np.ndarray) -> Accuracy:
    """Metrics over single views, from the correct ones (V, 2) among `views` (V,) of each video."""
    count = int(views.sum())
    if not count:
        return Accuracy(float("nan"), float("nan"), float("nan"), 0)
    top1, top5 = (int(number) / count for number in hits.sum(0))
    within = np.bincount(labels, hits[:, 0]), np.bincount(labels, views)
    occurring = within[1] > 0
    mean_class = float((within[0][occurring] / within[1][occurring]).mean())
    return Accuracy(top1, top5, mean_class, count)


def _targets(index: VideoIndex, rows: Tensor) -> Tensor:
    """The labels of some rows: (n,), or multi-hot (n, classes)."""
    if not index.multi_label:
        return torch.from_numpy(index.labels)[rows]
    hot = [torch.from_numpy(index.target(int(row))) for row in rows]
    return torch.stack(hot) if hot else torch.zeros(0, len(index.names))
