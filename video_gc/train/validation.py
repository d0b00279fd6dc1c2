"""Validation: one centre view of each video, scored once on any number of processes."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, SumMetric
from torchmetrics.classification import MulticlassAccuracy, MultilabelAveragePrecision

from video_gc.data.batches.batch import Batch
from video_gc.data.index import DataError
from video_gc.data.transforms import prepare_clips
from video_gc.progress import say
from video_gc.train.distributed.world import World
from video_gc.train.resume.run_directory import read_metrics
from video_gc.train.step import Objective

RISING = 5
"""Epochs with a higher validation loss before a note says so."""


def validation_step(
    networks: dict[str, nn.Module],
    figures: dict[str, "ValidationFigures"],
    batch: Batch,
    objective: Objective,
) -> None:
    """Add a batch of views to the metrics of each network."""
    if batch.clips is None:
        return
    clips = prepare_clips(batch.clips, objective.normalisation, batch.flips, colours=batch.colours)
    for name, network in networks.items():
        with torch.compiler.set_stance("force_eager"):  # shapes differ from those of training
            logits = network(clips)
        # torchmetrics applies no softmax to a batch of logits that all lie in [0, 1]
        scores = logits.float().sigmoid() if objective.multi_label else logits
        loss = objective.loss(logits, batch.labels)
        figures[name].update(loss, scores, batch.labels.long())


def all_figures(figures: dict[str, "ValidationFigures"]) -> dict[str, float]:
    """val/loss, val/top1, … over all processes; equal on each of them.

    Raises DataError if no validation video could be read.
    """
    found: dict[str, float] = {}
    for name, counted in figures.items():
        values = counted.finish()
        if not values:
            raise DataError("no validation video could be read; skipped.csv in the run lists why")
        found |= {f"{name}/{figure}": value for figure, value in values.items()}
    return found


def validation_metrics(num_classes: int, *, multi_label: bool) -> dict[str, Metric]:
    """mAP if videos have several labels, else top-1 and top-5."""
    if multi_label:
        return {"mAP": MultilabelAveragePrecision(num_classes)}
    five = min(5, num_classes)
    return {
        "top1": MulticlassAccuracy(num_classes, average="micro"),
        "top5": MulticlassAccuracy(num_classes, average="micro", top_k=five),
    }


class ValidationFigures:
    """The loss and the metrics of one pass over the validation videos, over all processes."""

    def __init__(
        self, num_classes: int, *, multi_label: bool, device: torch.device | None = None
    ) -> None:
        self.classes = num_classes
        self.metrics = validation_metrics(num_classes, multi_label=multi_label)
        # in double precision the order of the videos has no effect
        self.loss = MeanMetric(nan_strategy="disable").set_dtype(torch.float64)
        self.videos = SumMetric().set_dtype(torch.float64)
        for metric in self._all():
            metric.to(device or torch.device("cpu"))

    def update(self, loss: Tensor, scores: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss (), scores (N, classes), labels (N,) or (N, classes)."""
        self.loss.update(loss.double(), len(labels))
        self.videos.update(len(labels))
        for metric in self.metrics.values():
            metric.update(scores, labels)

    def finish(self) -> dict[str, float]:
        """The metrics over all processes, equal on each; resets them.

        Empty if no process could read a video.
        """
        found: dict[str, float] = {}
        with warnings.catch_warnings():  # from torchmetrics, if this process has scored nothing
            warnings.filterwarnings("ignore", message=".*called before the ``update``")
            if self.videos.compute():
                found["loss"] = float(self.loss.compute().float())
                for name, metric in self.metrics.items():
                    _give_shape(metric, self.classes)
                    found[name] = float(metric.compute())
        for metric in self._all():
            metric.reset()
        return found

    def _all(self) -> Iterable[Metric]:
        return (self.loss, self.videos, *self.metrics.values())


def say_rising_loss(logs: Path) -> None:
    """Print `rising_loss` after the epoch from which it holds. logs: of the run."""
    metrics = read_metrics(logs)
    before = {name: values[:-1] for name, values in metrics.items()}
    if (note := rising_loss(metrics)) and not rising_loss(before):
        say(note, style="yellow")


def rising_loss(metrics: Mapping[str, Sequence[tuple[int, float]]]) -> str | None:
    """A note if the validation loss has been a tenth above its lowest for `RISING` epochs or more.

    metrics: val/loss, … → (epoch, value) of each epoch; the loss of averaged weights comes first.
    """
    losses = metrics.get("val_ema/loss") or metrics.get("val/loss") or []
    if not losses:
        return None
    epoch, lowest = min(losses, key=lambda one: one[1])
    above = [value > 1.1 * lowest for _, value in losses[-RISING:]]
    if losses[-1][0] - epoch < RISING or not all(above):
        return None
    return (
        f"The validation loss was lowest in epoch {epoch} ({lowest:.3f}) and has been more than a "
        f"tenth higher for {RISING} epochs or more (now {losses[-1][1]:.3f}): the network learns "
        "its training clips by heart. More clips, augment=light or fewer epochs may help; "
        "best.ckpt is of the epoch with the best validation score"
    )


def shard(count: int, world: World, group: int) -> list[int]:
    """The rows that this process scores: groups of neighbouring rows, dealt out in rotation.

    A group has the same videos on any number of processes, so a batch of whole groups gives the
    same bits.
    """
    return [row for row in range(count) if row // group % world.size == world.rank]


def _give_shape(metric: Metric, classes: int) -> None:
    """Let a process that scored nothing gather (0, classes): all need two dimensions."""
    if dist.is_initialized() and isinstance(metric, MultilabelAveragePrecision):
        for name, dtype in (("preds", torch.float32), ("target", torch.long)):
            if not getattr(metric, name):
                empty = torch.zeros(0, classes, dtype=dtype, device=metric.device)
                setattr(metric, name, [empty])
