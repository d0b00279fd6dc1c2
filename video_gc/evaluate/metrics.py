"""Metrics from scores: top-1, top-5, mean over classes, calibration; mAP for several labels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_average_precision,
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from video_gc.evaluate.ranking import ranking

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Accuracy:
    """Shares in 0…1, and the number that they are of."""

    top1: float
    top5: float
    mean_class: float
    """mean of the top-1 accuracy of each class that occurs"""
    count: int

    @property
    def figures(self) -> dict[str, float]:
        """Heading → share, for a table."""
        return {"top-1": self.top1, "top-5": self.top5, "mean class": self.mean_class}


@dataclass(frozen=True)
class Precision:
    """Metrics for several labels per video: shares in 0…1, and the number that they are of."""

    mAP: float  # noqa: N815 - the name that everybody uses
    """mean of the average precision of each class that occurs"""
    classes: int
    """classes that occur"""
    count: int

    @property
    def figures(self) -> dict[str, float]:
        """Heading → share, for a table."""
        return {"mAP": self.mAP}


def accuracy(scores: Tensor, labels: Tensor) -> Accuracy:
    """scores (N, classes), labels (N,). With k < 5 classes top-5 is top-k."""
    count, classes = scores.shape
    if not count:
        return Accuracy(float("nan"), float("nan"), float("nan"), 0)
    best = ranking(scores, 5)[1]
    top1 = multiclass_accuracy(best[:, 0], labels, classes, average="micro")
    top5 = (best == labels[:, None]).any(1).float().mean()
    each = multiclass_accuracy(best[:, 0], labels, classes, average="none")
    return Accuracy(float(top1), float(top5), float(each[labels.unique()].mean()), count)


def precision(scores: Tensor, labels: Tensor) -> Precision:
    """scores (N, classes), labels (N, classes) of 0 and 1; mAP is NaN if no label is 1."""
    each = average_precisions(scores, labels)
    occurring = ~each.isnan()
    return Precision(float(each[occurring].mean()), int(occurring.sum()), len(scores))


def average_precisions(scores: Tensor, labels: Tensor) -> Tensor:
    """(classes,): the average precision of each class; NaN without videos. As `precision`.

    It is the area under the steps of the precision-recall curve, as in scikit-learn and
    PySlowFast.
    """
    found = torch.full((scores.shape[1],), float("nan"))
    for number in labels.any(0).nonzero().flatten().tolist():
        found[number] = binary_average_precision(scores[:, number], labels[:, number].long())
    return found


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Counts (true class, predicted class)."""
    return multiclass_confusion_matrix(ranking(scores, 1)[1][:, 0], labels, scores.shape[1])


def calibration_error(scores: Tensor, labels: Tensor) -> float:
    """Expected calibration error in 0…1: the distance between the score of the best class and the
    share of correct ones; mean over 15 bins of that score, weighted by videos (Guo et al. 2017).

    scores (N, classes) in 0…1, labels (N,). NaN if N is 0.
    """
    if not len(scores):
        return float("nan")
    classes = scores.shape[1]
    error = multiclass_calibration_error(
        scores, labels, classes, n_bins=CALIBRATION_BINS, norm="l1"
    )
    return float(error)
