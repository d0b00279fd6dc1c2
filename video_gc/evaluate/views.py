"""The score of every view of a video, in micro-batches of one fixed size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from video_gc.data.annotations.needed_labels import need_each_label
from video_gc.data.augment import sided_labels, some_names
from video_gc.data.batches.batch import Batch
from video_gc.data.batches.loader import micro_batch_size, view_loader
from video_gc.data.dataset import VideoProblem, VideoViews
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.evaluate.ranking import probabilities, ranking
from video_gc.evaluate.scores import VideoScore
from video_gc.progress import say

Network: TypeAlias = Callable[[Tensor], Tensor]
"""Clips (N, C, T, H, W) → logits (N, classes)."""


@dataclass
class _Seen:
    """The scores of a video so far."""

    parts: list[np.ndarray] = field(default_factory=list)
    """float32 (networks, n, classes) of each micro-batch"""
    count: int = 0
    """views"""
    problems: list[VideoProblem] = field(default_factory=list)


def check_videos(views: VideoViews) -> None:
    """Find errors before scoring starts.

    Raises DataError for a video without label, ImportError or ValueError if this machine cannot
    decode as `views` says.
    """
    index = views.index
    need_each_label(index)
    if len(index):
        views.decoding.check_decoder(index.path(0))
    sided = sided_labels(index.names) if views.crops == 10 else []
    if sided:
        mirrored = some_names(index.names, sided)
        say(
            f"10 crops also mirror classes whose names have a side: {mirrored}; 3 crops do not",
            style="yellow",
        )


def score_videos(
    networks: Sequence[Network],
    views: VideoViews,
    normalisation: Normalisation,
    *,
    micro_batch: int,
    workers: int,
    device: torch.device,
    fuse: str = "mean",
    advance: Callable[[int], None] = lambda views: None,
) -> Iterator[VideoScore]:
    """Score the videos of `views.rows`, each decoded once for all networks, in any order.

    Every forward pass has the same number of views, all of one video: its last micro-batch is
    padded with copies whose scores are dropped. So a video's scores are bit-identical on every
    process. A video that fails half-way is not scored.

    fuse: mean or max over the views. advance: called with the number of finished views.

    Raises FloatingPointError, naming video and layer, for scores that are NaN or infinite.
    """
    every, index = views.clips * views.crops, views.index
    size, seen = micro_batch_size(every, micro_batch), dict[int, _Seen]()
    cuda = device.type == "cuda"
    loader = view_loader(
        views, micro_batch=micro_batch, workers=workers, pin_memory=cuda, device=device
    )
    for batch in loader:
        damaged = next((t.video for t in batch.problems if t.kind == "damaged"), None)
        row = int(batch.videos[0]) if damaged is None else damaged
        video = seen.setdefault(row, _Seen())
        video.problems += batch.problems
        if damaged is not None:
            nothing = np.zeros((len(networks), len(index.names)), np.float32)
            yield VideoScore(row, 0, nothing, problems=seen.pop(row).problems)
            advance(every - video.count)
            continue
        try:
            part = _scores(networks, batch.to(device), size, normalisation, index.multi_label)
        except FloatingPointError as error:
            raise FloatingPointError(f"{index.path(row)}: {error}") from error
        video.parts.append(part)
        video.count += len(batch.videos)
        advance(len(batch.videos))
        if video.count == every:
            yield _fused(row, views, seen.pop(row), fuse)


@torch.inference_mode()
def _scores(
    networks: Sequence[Network],
    batch: Batch,
    size: int,
    normalisation: Normalisation,
    multi_label: bool,
) -> np.ndarray:
    """float32 (networks, n, classes) of a batch of n ≤ `size` clips, padded with its last clip."""
    assert batch.clips is not None
    count = len(batch.clips)
    filled = torch.arange(size).clamp(max=count - 1)
    clips = prepare_clips(
        batch.clips[filled] if count < size else batch.clips,
        normalisation,
        batch.flips[filled],
        colours=batch.colours[filled],
    )
    each = [probabilities(network(clips)[:count], multi_label=multi_label) for network in networks]
    return torch.stack(each).cpu().numpy()


def _fused(row: int, views: VideoViews, video: _Seen, fuse: str) -> VideoScore:
    each = np.concatenate(video.parts, axis=1)
    fused = each.max(1) if fuse == "max" else each.mean(1, dtype=np.float64).astype(np.float32)
    if views.index.multi_label:
        return VideoScore(row, video.count, fused, each=each, problems=video.problems)
    best = ranking(torch.from_numpy(each), 5)[1]
    right = (best == int(views.index.labels[row])).long()
    hits = torch.stack([right[..., 0].sum(1), right.sum((1, 2))], 1)
    return VideoScore(row, video.count, fused, hits=hits.numpy(), problems=video.problems)
