"""Validation over several processes: whose videos are whose, and figures of all of them."""

import warnings

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, SumMetric
from torchmetrics.classification import MultilabelAveragePrecision

from video_gc.train.ranks.world import World


def shard(count: int, world: World, group: int) -> list[int]:
    """The rows that this process scores: groups of neighbours in turn, each row on one process.

    A group has the same videos whatever the number of processes, so that a batch that holds whole
    groups gives the same bits.
    """
    return [row for row in range(count) if row // group % world.size == world.rank]


class ValidationFigures(nn.Module):
    """The loss and the metrics of one pass over the validation videos, of all processes."""

    def __init__(self, metrics: dict[str, Metric], classes: int) -> None:
        super().__init__()
        self.metrics, self.classes = nn.ModuleDict(metrics), classes
        # in double precision the order of the videos does not show
        self.loss = MeanMetric(nan_strategy="disable").set_dtype(torch.float64)
        self.videos = SumMetric().set_dtype(torch.float64)

    def update(self, loss: Tensor, scores: Tensor, labels: Tensor) -> None:
        """Count a batch: its mean loss (), scores (N, classes), labels (N,) or (N, classes)."""
        self.loss.update(loss.double(), len(labels))
        self.videos.update(len(labels))
        for metric in metrics_in(self.metrics).values():
            metric.update(scores, labels)

    def finish(self) -> dict[str, float]:
        """What was counted on all processes, the same on each, and begin anew.

        Empty where no video could be read on any of them.
        """
        found: dict[str, float] = {}
        with warnings.catch_warnings():  # of torchmetrics, where this process has scored nothing
            warnings.filterwarnings("ignore", message=".*called before the ``update``")
            if self.videos.compute():
                found["loss"] = float(self.loss.compute())
                for name, metric in metrics_in(self.metrics).items():
                    _give_shape(metric, self.classes)
                    found[name] = float(metric.compute())
        for metric in (self.loss, self.videos, *metrics_in(self.metrics).values()):
            metric.reset()
        return found


def metrics_in(modules: nn.ModuleDict) -> dict[str, Metric]:
    """Those of a ModuleDict, which knows its values as modules only."""
    return {name: metric for name, metric in modules.items() if isinstance(metric, Metric)}


def _give_shape(metric: Metric, classes: int) -> None:
    """Let a process that scored nothing gather (0, classes), for all must have two dimensions."""
    if dist.is_initialized() and isinstance(metric, MultilabelAveragePrecision):
        for name, dtype in (("preds", torch.float32), ("target", torch.long)):
            if not getattr(metric, name):
                empty = torch.zeros(0, classes, dtype=dtype, device=metric.device)
                setattr(metric, name, [empty])
