"""Multi-view testing: every view's score, put together per video."""

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from video_gc.atomic import atomic_path, write_text
from video_gc.data.augment import sided_labels, some_names
from video_gc.data.dataset import VideoViews
from video_gc.data.index import VideoIndex
from video_gc.data.loader import view_loader
from video_gc.data.source import need_each_label
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.engine.metrics import (
    Accuracy,
    Precision,
    accuracy,
    average_precisions,
    confusion,
    precision,
)
from video_gc.engine.troubles import TroubleLog
from video_gc.progress import progress_bar, say

FUSIONS = ("mean", "max")


@dataclass(kw_only=True)
class ViewConfig:
    """The views that a video is tested with."""

    clips: int = 10
    """clips spread over the video"""
    crops: int = 3
    """1 (centre), 3 along the longer side, or 10: corners and centre, each also mirrored"""
    micro_batch: int = 8
    """views in one forward pass"""
    fuse: str = "mean"
    """a video's score of a class: the mean over its views, or the max, as PySlowFast tests Charades
    (an action that lasts a moment is in few of the views)"""

    def __post_init__(self) -> None:
        for name in ("clips", "micro_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"test.{name} ({getattr(self, name)}) must be at least 1")
        if self.crops not in (1, 3, 10):
            raise ValueError(
                f"test.crops ({self.crops}) must be 1 or 3, or 10 (with mirrored ones)"
            )
        if self.fuse not in FUSIONS:
            raise ValueError(f"test.fuse ({self.fuse!r}) must be one of {', '.join(FUSIONS)}")


@dataclass(frozen=True)
class Scores:
    """Scores of a set of videos, and what they amount to."""

    index: VideoIndex
    scores: Tensor
    """(V, classes): probability, mean or maximum over the views of each video; 0 where not scored.
    Of a multi-label set each class has its own (sigmoid), else they share one (softmax)."""
    views: Tensor
    """(V,): views that were scored; 0 for a damaged video"""
    clip_level: Accuracy | Precision
    """over single views"""
    video_level: Accuracy | Precision
    """over each video's views together"""

    @property
    def not_scored(self) -> int:
        """Videos that could not be read."""
        return int((self.views == 0).sum())


def score_views(
    model: nn.Module,
    views: VideoViews,
    normalisation: Normalisation,
    *,
    micro_batch: int,
    workers: int,
    device: torch.device,
    log: TroubleLog,
    fuse: str = "mean",
) -> Scores:
    """Score every view in micro-batches; each video is decoded once.

    The softmax of each view, or the sigmoid where labels are several, is averaged per video in
    fp32 (or its maximum taken: `fuse`). A video that fails half-way is not scored at all.

    Raises, before anything is scored, DataError for a video without label, ImportError or
    ValueError where this machine cannot decode as `views` asks.
    """
    index, classes = views.index, len(views.index.names)
    _check_videos(views)
    totals = torch.zeros(len(index), classes)
    counts = torch.zeros(len(index), dtype=torch.long)
    clip_scores, clip_videos = [], []
    failed: set[int] = set()
    model = model.to(device).eval()
    with progress_bar() as progress, torch.inference_mode():
        expected = len(index) * views.clips * views.crops
        bar = progress.add_task("Testing views", total=expected)
        for batch in view_loader(views, micro_batch=micro_batch, workers=workers):
            log.add(batch.troubles)
            failed |= {trouble.video for trouble in batch.troubles if trouble.kind == "damaged"}
            if batch.clips is None:
                continue
            batch = batch.to(device)
            assert batch.clips is not None
            clips = prepare_clips(batch.clips, normalisation, batch.flips, colours=batch.colours)
            scores = probabilities(model(clips), multi_label=index.multi_label).cpu()
            videos = batch.videos.cpu()
            if fuse == "max":
                for video, score in zip(videos.tolist(), scores, strict=True):
                    totals[video] = torch.maximum(totals[video], score)
            else:
                totals.index_add_(0, videos, scores)
            counts.index_add_(0, videos, torch.ones_like(videos))
            clip_scores.append(scores)
            clip_videos.append(videos)
            progress.advance(bar, len(scores))
        for video in failed:
            progress.advance(bar, views.clips * views.crops - int(counts[video]))
    if failed:
        rows = torch.tensor(sorted(failed))
        totals[rows], counts[rows] = 0, 0
    if fuse == "mean":
        totals /= counts.clamp(min=1).unsqueeze(1)
    scored = counts > 0
    views_scores = torch.cat([*clip_scores, torch.zeros(0, classes)])
    views_videos = torch.cat([*clip_videos, torch.zeros(0, dtype=torch.long)])
    kept = scored[views_videos]
    return Scores(
        index=index,
        scores=totals,
        views=counts,
        clip_level=_level(index, views_scores[kept], views_videos[kept]),
        video_level=_level(index, totals[scored], scored.nonzero().squeeze(1)),
    )


def probabilities(logits: Tensor, *, multi_label: bool) -> Tensor:
    """(N, classes) in fp32: softmax; sigmoid where a video has several labels."""
    return logits.float().sigmoid() if multi_label else logits.float().softmax(1)


def write_results(result: Scores, directory: Path, *, about: dict[str, object]) -> list[Path]:
    """Write predictions.csv, accuracy.json and confusion.png to `directory`; return their paths.

    Several labels have no confusion matrix; they get classes.csv, the precision of each class.
    """
    directory.mkdir(parents=True, exist_ok=True)
    summary = about | {
        "videos": len(result.index),
        "not_scored": result.not_scored,
        "video_level": asdict(result.video_level),
        "clip_level": asdict(result.clip_level),
    }
    if result.index.multi_label:
        classes = write_classes(result, directory / "classes.csv")
    else:
        classes = draw_confusion(result, directory / "confusion.png")
    return [
        write_predictions(result, directory / "predictions.csv"),
        write_text(directory / "accuracy.json", json.dumps(summary, indent=2)),
        classes,
    ]


def write_predictions(result: Scores, file: Path) -> Path:
    """One line a scored video: path, label (several: a;b), top-5 names and scores, views."""
    names = result.index.names
    count = min(5, len(names))
    scores, classes = result.scores.topk(count, dim=1)
    header = ["path", "label"]
    header += [f"{what}{rank}" for rank in range(1, count + 1) for what in ("top", "score")]
    with atomic_path(file) as part, part.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*header, "views"])
        for row, path in enumerate(result.index.paths):
            if not result.views[row]:
                continue
            ranked = zip(classes[row].tolist(), scores[row].tolist(), strict=True)
            cells = [cell for number, score in ranked for cell in (names[number], f"{score:.6f}")]
            label = ";".join(result.index.label_names(row))
            writer.writerow([path, label, *cells, int(result.views[row])])
    return file


def write_classes(result: Scores, file: Path) -> Path:
    """One line a class: name, videos that have it, average precision (empty where none has it)."""
    rows = (result.views > 0).nonzero().squeeze(1)
    labels = _targets(result.index, rows)
    each = average_precisions(result.scores[rows], labels).tolist()
    counts = labels.sum(0).int().tolist()
    with atomic_path(file) as part, part.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["class", "videos", "average_precision"])
        for name, count, figure in zip(result.index.names, counts, each, strict=True):
            writer.writerow([name, count, f"{figure:.6f}" if count else ""])
    return file


def draw_confusion(result: Scores, file: Path) -> Path:
    """The confusion matrix of the scored videos, each row in shares of its class."""
    scored = result.views > 0
    labels = torch.from_numpy(result.index.labels)
    counts = confusion(result.scores[scored], labels[scored])
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    names = list(result.index.names)
    few = len(names) <= 30
    side = max(4.0, 0.55 * len(names)) if few else 12.0
    figure = Figure(figsize=(side + 1.5, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if few:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(len(names)), names, parse_math=False)
        for row in range(len(names)):
            for column in range(len(names)):
                if counts[row, column]:
                    colour = "white" if shares[row, column] > 0.5 else "black"
                    text = str(int(counts[row, column]))
                    axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    with atomic_path(file) as part:
        figure.savefig(part, dpi=120)
    return file


def _check_videos(views: VideoViews) -> None:
    """What would otherwise be found after the first views, or after the last."""
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


def _level(index: VideoIndex, scores: Tensor, videos: Tensor) -> Accuracy | Precision:
    """What scores (n, classes) of views or videos amount to; videos (n,) are their rows."""
    labels = _targets(index, videos)
    return precision(scores, labels) if index.multi_label else accuracy(scores, labels)


def _targets(index: VideoIndex, rows: Tensor) -> Tensor:
    """The labels of some rows: (n,), or multi-hot (n, classes)."""
    if not index.multi_label:
        return torch.from_numpy(index.labels)[rows]
    hot = [torch.from_numpy(index.target(int(row))) for row in rows]
    return torch.stack(hot) if hot else torch.zeros(0, len(index.names))
