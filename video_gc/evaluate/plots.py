"""Pictures of test results: calibration, hard classes, confused classes.

The functions take plain data; they know no checkpoints or indices. `class_accuracy` and
`confusion_matrix` are figures, for a file or a page.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import max_pool2d
from torchmetrics.functional.classification import binary_calibration_error

from video_gc.data.sampling import frame_range, segment_frames
from video_gc.decode.open import open_video
from video_gc.escape import short_name
from video_gc.evaluate.confusions import ConfusedPair, Example
from video_gc.outputs import output_path
from video_gc.pictures.figures import save_picture
from video_gc.progress import counted, track

BINS = 15
"""Bins of the confidence (Guo et al., On calibration of modern neural networks, ICML 2017)."""
CELLS = 1500
"""Drawn cells of a confusion matrix in each direction, at most: more are no pixel each."""
FEW = 30
"""A confusion matrix of up to so many classes has names and numbers."""
WORST_AND_BEST = 30
"""Number of classes drawn at either end."""
FRAMES = 4
"""Frames of one video."""
HEIGHT, WIDTH = 96, 128
"""Size of a frame in pixels; wider frames are cropped left and right, narrower ones stay narrow."""
SOFT = "#8aa1b8"


def draw_calibration(confidence: Tensor, correct: Tensor, file: Path) -> Path:
    """A reliability diagram: the accuracy at each confidence.

    confidence (V,): in 0…1, of the first class; correct (V,): whether it was the label. The
    expected calibration error (ECE) is the mean distance of the bars to the diagonal, weighted by
    videos. Raises ValueError without videos.
    """
    if not len(confidence):
        raise ValueError(f"{file}: no video was scored, so there is nothing to draw")
    edges = torch.linspace(0, 1, BINS + 1)
    sure = confidence.detach().cpu().float()
    # the last bin includes 1
    places = (torch.bucketize(sure, edges, right=True) - 1).clamp(0, BINS - 1)
    counts = torch.bincount(places, minlength=BINS)
    filled = counts.clamp(min=1)
    rates = torch.bincount(places, correct.cpu().float(), BINS) / filled
    means = torch.bincount(places, sure, BINS) / filled
    error = float(binary_calibration_error(sure, correct.cpu().long(), n_bins=BINS, norm="l1"))
    figure = Figure(figsize=(5, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    shown, width = counts > 0, 1 / BINS
    left, heights = edges[:-1][shown].numpy(), rates[shown].numpy()
    upper.bar(left, heights, width, align="edge", color=SOFT, edgecolor="white", label="right")
    upper.plot(means[shown].numpy(), heights, "o", ms=4, color="black", label="mean confidence")
    upper.plot([0, 1], [0, 1], ":", color="black", lw=1)
    gap = float(sure.mean() - correct.cpu().float().mean())
    word = "too sure" if gap > 0 else "too careful"
    upper.set_title(
        f"expected calibration error {error:.3f}; on average {abs(gap):.3f} {word}", fontsize=10
    )
    upper.set(ylabel="share of correct videos", ylim=(0, 1), xlim=(0, 1))
    upper.legend(frameon=False, loc="upper left")
    lower.bar(left, counts[shown].numpy(), width, align="edge", color=SOFT, edgecolor="white")
    lower.set(xlabel="confidence of the first class", ylabel="videos")
    return save(figure, file)


def class_accuracy(names: Sequence[str], counts: Tensor) -> Figure:
    """A bar per class, the hardest at the top; of more than 60 classes the 30 at either end.

    counts: videos (true, predicted). Classes without videos are not drawn; raises ValueError if
    none has one.
    """
    videos = counts.sum(1)
    shares = counts.diag() / videos.clamp(min=1)
    ranked = sorted(
        (share, name, count)
        for name, share, count in zip(names, shares.tolist(), videos.tolist(), strict=True)
        if count
    )
    if not ranked:
        raise ValueError("no class has a video, so there is nothing to draw")
    hidden = ranked[WORST_AND_BEST:-WORST_AND_BEST] if len(ranked) > 2 * WORST_AND_BEST else []
    shown = [*ranked[:WORST_AND_BEST], *ranked[-WORST_AND_BEST:]] if hidden else ranked
    places = np.arange(len(shown))
    if hidden:
        places[WORST_AND_BEST:] += 2
    figure = Figure(figsize=(8, 1.2 + 0.22 * (places[-1] + 1)), layout="constrained")
    axes = figure.subplots()
    lengths = [100 * share for share, _, _ in shown]
    bars = axes.barh(places, lengths, color=SOFT)
    axes.bar_label(bars, [f"{length:.0f}" for length in lengths], padding=3, fontsize=8)
    if hidden:
        text = f"… {len(hidden)} classes from {hidden[0][0]:.0%} to {hidden[-1][0]:.0%} …"
        axes.text(50, WORST_AND_BEST + 0.5, text, ha="center", va="center")
    mean = 100 * sum(share for share, _, _ in ranked) / len(ranked)
    axes.axvline(mean, color="black", lw=1, ls=":")
    labels = [f"{short_name(name)} ({count})" for _, name, count in shown]
    axes.set_yticks(places, labels, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set(
        xlim=(0, 108),
        xlabel=f"top-1 accuracy, per cent (videos of the class); mean class: {mean:.1f}",
    )
    return figure


def confusion_matrix(names: Sequence[str], counts: Tensor) -> Figure:
    """The confusion matrix, each row as shares of its class. counts: (true, predicted).

    Of very many classes a cell is the largest of some, so that none disappears.
    """
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    cells = max_pool2d(shares[None], -(-len(names) // CELLS), ceil_mode=True)[0]
    few = len(names) <= FEW
    side = max(4.0, 0.55 * len(names)) if few else 12.0
    figure = Figure(figsize=(side + 1.5, side), layout="constrained")
    axes = figure.subplots()
    sides = -0.5, len(names) - 0.5
    axes.imshow(cells.numpy(), cmap="Blues", vmin=0, vmax=1, extent=(*sides, *sides[::-1]))
    axes.set(xlabel="predicted", ylabel="true")
    if few:
        shown, places = [short_name(name) for name in names], range(len(names))
        axes.set_xticks(
            places, shown, rotation=45, ha="right", rotation_mode="anchor", parse_math=False
        )
        axes.set_yticks(places, shown, parse_math=False)
        for row, column in counts.nonzero().tolist():
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(int(counts[row, column]))
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    return figure


def draw_confused_pairs(pairs: Sequence[ConfusedPair], file: Path) -> Path:
    """The confused pairs with frames: a row for each, its `examples` side by side.

    Each video shows four frames, from its start to its end. An unreadable video is a grey box.
    Raises ValueError without pairs.
    """
    if not pairs:
        raise ValueError(f"{file}: no video was mistaken, so there is nothing to draw")
    columns = max(1, *(len(pair.examples) for pair in pairs))
    figure = Figure(figsize=(4.6 * columns, 1.7 * len(pairs)), layout="constrained")
    grid = figure.subplots(len(pairs), columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    work = [
        (axes, example)
        for row, pair in zip(grid, pairs, strict=True)
        for axes, example in zip(row, pair.examples, strict=False)
    ]
    for axes, example in track(work, "Drawing confused pairs", len(work)):
        _draw_example(axes, example)
    for row, pair in zip(grid, pairs, strict=True):
        text = (
            f"{short_name(pair.true)}  taken for  {short_name(pair.predicted)}:  "
            f"{pair.count} of {counted(pair.of, 'video')}"
        )
        row[0].set_title(text, loc="left", fontsize=14, weight="bold", parse_math=False)
    return save(figure, file)


def _draw_example(axes: Any, example: Example) -> None:
    frames = _frames(example)
    if frames is None:
        axes.imshow(np.full((HEIGHT, FRAMES * WIDTH, 3), 200, np.uint8))
        middle, text = (FRAMES * WIDTH / 2, HEIGHT / 2), "cannot be read"
        axes.text(*middle, text, ha="center", va="center", fontsize=9)
    else:
        axes.imshow(np.concatenate(list(frames), axis=1))
    axes.set(xlim=(0, FRAMES * WIDTH), ylim=(HEIGHT, 0))  # one scale for all
    name = "/".join(Path(example.path).parts[-2:])
    axes.text(
        0,
        -0.03,
        short_name(name),
        transform=axes.transAxes,
        va="top",
        fontsize=11,
        parse_math=False,
    )


def _frames(example: Example) -> np.ndarray | None:
    """uint8 (FRAMES, H, W, 3), from the middles of equal parts; None for an unreadable video."""
    try:
        with open_video(example.path) as reader:
            part = frame_range(reader.times, reader.rate, example.segment)
            indices = part.first + segment_frames(part.count, np.full(FRAMES, 0.5))
            height, width = reader.size
            size = HEIGHT, max(1, round(width * HEIGHT / height))
            frames = reader.read(indices.tolist(), size=size)
    except Exception:  # a file can make decoders raise anything; draw the others
        return None
    left = max(0, size[1] - WIDTH) // 2
    return frames[:, :, left : left + WIDTH]


def save(figure: Figure, file: Path) -> Path:
    """Write a PNG; returns its path."""
    with output_path(file) as part:
        save_picture(figure, part)
    return file
