"""One HTML page about a run: its options, training, accuracy, cost and attention."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor, nn

from video_gc.analysis.attention.maps import attention_maps, shares_map, stretch
from video_gc.analysis.clips import read_view
from video_gc.analysis.html import data_uri, render
from video_gc.analysis.overlay import heat, strip
from video_gc.data.transforms import prepare_clips
from video_gc.escape import readable
from video_gc.evaluate.plots import class_accuracy, confusion_matrix
from video_gc.evaluate.results import DRAWN_PAIRS
from video_gc.evaluate.selection import selection_note
from video_gc.evaluate.tested_videos import classes_in_turn
from video_gc.models.build import build_model
from video_gc.models.context import ContextConfig, context_blocks
from video_gc.models.counts import complexity
from video_gc.outputs import read_csv, write_output
from video_gc.pictures.figures import svg
from video_gc.progress import track
from video_gc.train.checkpoint import CheckpointContents, load_network
from video_gc.train.checkpoint_paths import best_checkpoint
from video_gc.train.resume.run_directory import LOGS, read_metrics
from video_gc.train.validation import rising_loss

EXAMPLES = 6
FRAME_PIXELS = 128  # largest side of a frame in a strip


@dataclass(frozen=True)
class Example:
    """One test video: its label, the prediction, and its frames."""

    name: str
    label: str
    ranked: list[tuple[str, float]]
    frames: str
    """data URI"""
    attention: str | None
    """data URI"""


def write_report(run: Path) -> Path:
    """Write RUN/report.html from a trained and tested run and return its path.

    Raises FileNotFoundError with the command that makes the missing file, ValueError for a run with
    several labels per video.
    """
    tested = read_accuracy(run)
    results = run / "test"
    model, contents = load_network(best_checkpoint(run).with_name(Path(tested["checkpoint"]).name))
    clip = contents.clip
    shape = clip.test_shape
    plain = build_model(
        replace(contents.model, weights=None, context=ContextConfig(), more_context=[])
    )
    rows = read_csv(results / "predictions.csv")[1]
    names, counts = contents.names, _confusions(rows, contents.names)
    right, wrong = choose_examples(rows)
    metrics = read_metrics(run / LOGS)
    blocks = context_blocks(model)
    mapped = _drawn_block(blocks)
    examples = {
        row["path"]: _example(row, model, contents, mapped)
        for row in track(right + wrong, "Drawing examples", len(right + wrong))
    }
    page = render(
        "report.html.j2",
        name=run.name,
        config=contents.config,
        model=contents.model,
        clip=clip,
        blocks=blocks,
        kind=contents.model.context.kind,
        classes=len(names),
        chance=int(counts.sum(1).max()) / len(rows),
        accuracy=tested,
        selection=selection_note(tested),
        rising=rising_loss(metrics),
        curves=svg(draw_curves(metrics), "curves"),
        confusion=svg(confusion_matrix(names, counts), "confusion"),
        accuracies=svg(class_accuracy(names, counts), "classes"),
        calibration=data_uri((results / "calibration.png").read_bytes(), "png"),
        pairs=_pairs(results),
        plain=complexity(plain, shape),
        full=complexity(model, shape),
        mapped=mapped,
        right=[found for row in right if (found := examples[row["path"]])],
        wrong=[found for row in wrong if (found := examples[row["path"]])],
        versions=yaml.safe_load((run / "versions.yaml").read_text("utf-8")),
    )
    return write_output(run / "report.html", page)


def read_accuracy(run: Path) -> dict[str, Any]:
    """accuracy.json of a run's test. Raises as `write_report`."""
    if not run.is_dir():
        others = sorted(
            other.name for other in run.parent.glob("*") if best_checkpoint(other).is_file()
        )
        known = f"there are {', '.join(others)}" if others else "make one with video-gc train"
        raise FileNotFoundError(f"{run}: no such run directory; {known}")
    results = run / "test"
    checkpoint = best_checkpoint(run)
    for needed, command in (
        (checkpoint, "video-gc train"),
        (results / "accuracy.json", f"video-gc test {checkpoint}"),
    ):
        if not needed.is_file():
            raise FileNotFoundError(f"{needed}: not there yet; make it with {command}")
    tested: dict[str, Any] = json.loads((results / "accuracy.json").read_text("utf-8"))
    if "mAP" in tested["video_level"]:
        raise ValueError(
            f"{run}: the report is for videos with one label each; {results}/classes.csv has the "
            "figures of every class"
        )
    return tested


def choose_examples(
    rows: list[dict[str, str]],
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Six right and six wrong rows of predictions.csv, the surest first, from different classes."""
    surest = sorted(rows, key=lambda row: -float(row["score1"]))
    chosen: dict[bool, list[dict[str, str]]] = {True: [], False: []}
    for row in classes_in_turn(surest, lambda row: (row["label"], row["label"] == row["top1"])):
        chosen[row["label"] == row["top1"]].append(row)
    return chosen[True][:EXAMPLES], chosen[False][:EXAMPLES]


def _confusions(rows: list[dict[str, str]], names: Sequence[str]) -> Tensor:
    """Videos (true, predicted) of the rows of predictions.csv, in which names are readable."""
    numbers = {readable(name): number for number, name in enumerate(names)}
    counts = torch.zeros(len(names), len(names), dtype=torch.int64)
    for row in rows:
        counts[numbers[row["label"]], numbers[row["top1"]]] += 1
    return counts


def _pairs(results: Path) -> tuple[str, list[dict[str, str]]] | None:
    """The picture of the confused pairs, a data URI, and their rows; None if no video was wrong."""
    if not (results / "pairs.png").is_file():
        return None
    drawn = read_csv(results / "pairs.csv")[1][:DRAWN_PAIRS]
    return data_uri((results / "pairs.png").read_bytes(), "png"), drawn


def draw_curves(metrics: dict[str, list[tuple[int, float]]]) -> Figure:
    """Loss and top-1 over epochs, of training and validation."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), ("loss", "top1"), strict=True):
        for split, colour in (("train", "#8aa1b8"), ("val", "#c2410c")):
            points = metrics.get(f"{split}/{what}", [])
            if points:
                axes.plot(*zip(*points, strict=True), "o-", ms=3, color=colour, label=split)
        axes.set(xlabel="epoch", title="loss" if what == "loss" else "top-1, single clips")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        if what == "top1":
            axes.set_ylim(0, 1)
    return figure


def _drawn_block(blocks: dict[str, nn.Module]) -> str | None:
    """The drawn block: of those with one map for all positions, the deepest of the finest stage."""
    names = [name for name, block in blocks.items() if shares_map(block)]
    finest = [name for name in names if name.split(".")[-2] == names[0].split(".")[-2]]
    return finest[-1] if finest else None


def _example(
    row: dict[str, str], model: nn.Module, contents: CheckpointContents, block: str | None
) -> Example | None:
    side = contents.clip.test_crop
    try:
        frames = read_view(Path(row["path"]), contents.clip).frames
    except Exception:
        return None  # it was readable in the test but no longer is
    overlay = None
    if block is not None:
        clip = prepare_clips(torch.from_numpy(frames)[None], contents.normalisation)
        attention = stretch(attention_maps(model, clip)[block][0], frames.shape[:3])
        overlay = _jpeg(strip(heat(frames, attention.numpy())), side)
    ranks = range(1, 1 + sum(key.startswith("top") for key in row))
    ranked = [(row[f"top{rank}"], float(row[f"score{rank}"])) for rank in ranks][:3]
    name = "/".join(Path(row["path"]).parts[-2:])
    return Example(name, row["label"], ranked, _jpeg(strip(frames), side), overlay)


def _jpeg(picture: np.ndarray, side: int) -> str:
    image = Image.fromarray(picture)
    if side > FRAME_PIXELS:
        factor = FRAME_PIXELS / side
        image = image.resize((round(image.width * factor), round(image.height * factor)))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return data_uri(stream.getvalue(), "jpeg")
