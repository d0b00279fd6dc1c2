"""Multi-view testing: every view's score, averaged per video."""

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from video_gc.atomic import atomic_path, write_text
from video_gc.data.annotations import VideoIndex
from video_gc.data.dataset import VideoViews
from video_gc.data.loader import view_loader
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.engine.metrics import Accuracy, accuracy, confusion
from video_gc.engine.troubles import TroubleLog
from video_gc.progress import progress_bar


@dataclass(kw_only=True)
class ViewConfig:
    """The views that a video is tested with."""

    clips: int = 10
    """clips spread over the video"""
    crops: int = 3
    """1 (centre) or 3 along the longer side"""
    micro_batch: int = 8
    """views in one forward pass"""

    def __post_init__(self) -> None:
        for name in ("clips", "micro_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"test.{name} ({getattr(self, name)}) must be at least 1")
        if self.crops not in (1, 3):
            raise ValueError(f"test.crops ({self.crops}) must be 1 or 3")


@dataclass(frozen=True)
class Scores:
    """Scores of a set of videos, and what they amount to."""

    index: VideoIndex
    scores: Tensor
    """(V, classes): mean probability over the views of each video; 0 where not scored"""
    views: Tensor
    """(V,): views that were scored; 0 for a damaged video"""
    clip_level: Accuracy
    """over single views"""
    video_level: Accuracy
    """over the mean of each video's views"""

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
) -> Scores:
    """Score every view in micro-batches; each video is decoded once.

    The softmax of each view is averaged per video, in fp32. A video that fails half-way is not
    scored at all.
    """
    index, classes = views.index, len(views.index.names)
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
            clips = prepare_clips(batch.clips.to(device), normalisation)
            scores = model(clips).softmax(1).float().cpu()
            totals.index_add_(0, batch.videos, scores)
            counts.index_add_(0, batch.videos, torch.ones_like(batch.videos))
            clip_scores.append(scores)
            clip_videos.append(batch.videos)
            progress.advance(bar, len(scores))
        for video in failed:
            progress.advance(bar, views.clips * views.crops - int(counts[video]))
    if failed:
        rows = torch.tensor(sorted(failed))
        totals[rows], counts[rows] = 0, 0
    means = totals / counts.clamp(min=1).unsqueeze(1)
    labels = torch.from_numpy(index.labels)
    scored = counts > 0
    views_scores = torch.cat([*clip_scores, torch.zeros(0, classes)])
    views_videos = torch.cat([*clip_videos, torch.zeros(0, dtype=torch.long)])
    kept = scored[views_videos]
    return Scores(
        index=index,
        scores=means,
        views=counts,
        clip_level=accuracy(views_scores[kept], labels[views_videos[kept]]),
        video_level=accuracy(means[scored], labels[scored]),
    )


def write_results(result: Scores, directory: Path, *, about: dict[str, object]) -> list[Path]:
    """Write predictions.csv, accuracy.json and confusion.png to `directory`; return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    summary = about | {
        "videos": len(result.index),
        "not_scored": result.not_scored,
        "video_level": asdict(result.video_level),
        "clip_level": asdict(result.clip_level),
    }
    return [
        write_predictions(result, directory / "predictions.csv"),
        write_text(directory / "accuracy.json", json.dumps(summary, indent=2)),
        draw_confusion(result, directory / "confusion.png"),
    ]


def write_predictions(result: Scores, file: Path) -> Path:
    """One line a scored video: path, label, top-5 names and scores, views."""
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
            label = names[int(result.index.labels[row])]
            writer.writerow([path, label, *cells, int(result.views[row])])
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
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
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
