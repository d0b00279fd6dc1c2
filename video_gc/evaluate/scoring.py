"""Every view's score, put together per video, in micro-batches of one fixed size."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from video_gc.data.augment import sided_labels, some_names
from video_gc.data.batches.loader import view_loader
from video_gc.data.batches.view_batches import micro_batch_size
from video_gc.data.dataset import Batch, Trouble, VideoViews
from video_gc.data.skipped_videos import SkippedVideos
from video_gc.data.source import need_each_label
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.deploy.inference_network import fast_network
from video_gc.evaluate.metrics import ranking
from video_gc.evaluate.scores import Scores, VideoScore, put_together
from video_gc.progress import progress_bar, say

Network: TypeAlias = Callable[[Tensor], Tensor]
"""Clips (N, C, T, H, W) → logits (N, classes)."""


@dataclass
class _Seen:
    """What is known of a video so far."""

    parts: list[np.ndarray] = field(default_factory=list)
    count: int = 0
    troubles: list[Trouble] = field(default_factory=list)


def probabilities(logits: Tensor, *, multi_label: bool) -> Tensor:
    """(N, classes) in fp32: softmax; sigmoid where a video has several labels."""
    return logits.float().sigmoid() if multi_label else logits.float().softmax(1)


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
    """Score the videos of `views.rows`, each decoded once for all networks; in no certain order.

    Every forward pass sees the same number of views, all of one video: what is missing in its last
    micro-batch is filled with copies whose scores are thrown away. So a video's scores are the same
    bit for bit, whoever scores it. A video that fails half-way is not scored at all.

    advance: called with the number of views that were just done.

    Raises FloatingPointError, naming video and layer, for scores that are NaN or infinite.
    """
    every = views.clips * views.crops
    size, seen = micro_batch_size(every, micro_batch), dict[int, _Seen]()
    cuda = device.type == "cuda"
    loader = view_loader(views, micro_batch=micro_batch, workers=workers, pin_memory=cuda)
    for batch in loader:
        damaged = next((t.video for t in batch.troubles if t.kind == "damaged"), None)
        row = int(batch.videos[0]) if damaged is None else damaged
        video = seen.setdefault(row, _Seen())
        video.troubles += batch.troubles
        if damaged is not None:
            classes = len(views.index.names)
            nothing = np.zeros((len(networks), classes), np.float32)
            yield VideoScore(row, 0, nothing, troubles=seen.pop(row).troubles)
            advance(every - video.count)
            continue
        try:
            part = _scores_of(
                networks, batch.to(device), normalisation, size, views.index.multi_label
            )
        except FloatingPointError as error:
            raise FloatingPointError(f"{views.index.path(row)}: {error}") from error
        video.parts.append(part)
        video.count += part.shape[1]
        advance(part.shape[1])
        if video.count == every:
            yield _fused(row, views, seen.pop(row), fuse)


def score_views(
    model: nn.Module,
    views: VideoViews,
    normalisation: Normalisation,
    *,
    micro_batch: int,
    workers: int,
    device: torch.device,
    log: SkippedVideos,
    fuse: str = "mean",
    precision: str = "fp32",
    backend: str = "auto",
) -> Scores:
    """`score_videos` of one network in one process, with a bar, put together.

    Raises, before anything is scored, DataError for a video without label, ImportError or
    ValueError where this machine cannot decode as `views` asks.
    """
    check_videos(views)
    done = []
    clip = views.clip
    network = fast_network(
        model,
        (clip.frames, clip.test_crop, clip.test_crop),
        device=device,
        precision=precision,
        backend=backend,
        micro_batch=micro_batch_size(views.clips * views.crops, micro_batch),
    )
    with view_bar(len(views.rows), views.clips * views.crops) as (advance, count):
        for score in score_videos(
            [network], views, normalisation, micro_batch=micro_batch, workers=workers,
            device=device, fuse=fuse, advance=advance,
        ):  # fmt: skip
            log.add(score.troubles)
            done.append(score)
            count()
    return put_together(views.index, done)[0]


@contextmanager
def view_bar(
    videos: int, each: int, scored: int = 0
) -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """Bars of videos and of views; yields what counts views, and what counts one video.

    scored: videos of an earlier start, beside the `videos` with `each` views that are to be done.
    """
    with progress_bar() as progress:
        rows = progress.add_task("Testing videos", total=scored + videos, completed=scored)
        views = progress.add_task("Testing views", total=videos * each)
        yield partial(progress.advance, views), partial(progress.advance, rows)


def check_videos(views: VideoViews) -> None:
    """What would otherwise be found after the first views, or after the last.

    Raises as `score_views`.
    """
    index = views.index
    need_each_label(index)
    if len(index):
        views.decoding.check_decoder(index.path(0))
    sided = sided_labels(index.names) if views.crops == 10 else []
    if sided:
        mirrored = some_names(index.names, sided)
        say(
            f"10 crops mirror classes whose names have a side, too: {mirrored}; 3 crops do not",
            style="yellow",
        )


@torch.inference_mode()
def _scores_of(
    networks: Sequence[Network],
    batch: Batch,
    normalisation: Normalisation,
    size: int,
    multi_label: bool,
) -> np.ndarray:
    """float32 (networks, n, classes) of a batch with n ≤ size clips."""
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
        return VideoScore(row, video.count, fused, each=each, troubles=video.troubles)
    best = ranking(torch.from_numpy(each), 5)[1]
    right = (best == int(views.index.labels[row])).long()
    hits = torch.stack([right[..., 0].sum(1), right.sum((1, 2))], 1)
    return VideoScore(row, video.count, fused, hits=hits.numpy(), troubles=video.troubles)
