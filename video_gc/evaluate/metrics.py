"""Figures from scores: top-1, top-5, the mean over classes, calibration; mAP of several labels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_average_precision,
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Accuracy:
    """Shares in 0…1, with how many they are of."""

    top1: float
    top5: float
    mean_class: float
    """mean over the classes that occur of the top-1 accuracy within a class"""
    count: int

    @property
    def figures(self) -> dict[str, float]:
        """Heading → share, for a table."""
        return {"top-1": self.top1, "top-5": self.top5, "mean class": self.mean_class}


@dataclass(frozen=True)
class Precision:
    """What counts where a video has several labels: shares in 0…1, with how many they are of."""

    mAP: float  # noqa: N815 - the name that everybody uses
    """mean over the classes that occur of the average precision"""
    classes: int
    """classes that occur"""
    count: int

    @property
    def figures(self) -> dict[str, float]:
        """Heading → share, for a table."""
        return {"mAP": self.mAP}


def probabilities(logits: Tensor, *, multi_label: bool) -> Tensor:
    """(N, classes) in fp32: softmax; sigmoid where a video has several labels."""
    return logits.float().sigmoid() if multi_label else logits.float().softmax(1)


def ranking(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest scores (…, classes) and their classes, fewer where there are fewer.

    Of equal scores the class of the smaller number comes first, in every figure, file and picture.
    """
    values, classes = scores.sort(dim=-1, descending=True, stable=True)
    return values[..., :count], classes[..., :count]


def accuracy(scores: Tensor, labels: Tensor) -> Accuracy:
    """scores (N, classes), labels (N,). Top-5 is top-k where there are only k < 5 classes."""
    count, classes = scores.shape
    if not count:
        return Accuracy(float("nan"), float("nan"), float("nan"), 0)
    best = ranking(scores, 5)[1]
    top1 = multiclass_accuracy(best[:, 0], labels, classes, average="micro")
    top5 = (best == labels[:, None]).any(1).float().mean()
    each = multiclass_accuracy(best[:, 0], labels, classes, average="none")
    return Accuracy(float(top1), float(top5), float(each[labels.unique()].mean()), count)


def precision(scores: Tensor, labels: Tensor) -> Precision:
    """scores (N, classes), labels (N, classes) of 0 and 1; mAP is NaN where no label is 1."""
    each = average_precisions(scores, labels)
    occurring = ~each.isnan()
    return Precision(float(each[occurring].mean()), int(occurring.sum()), len(scores))


def average_precisions(scores: Tensor, labels: Tensor) -> Tensor:
    """(classes,): the average precision of each class, NaN where none has it. As `precision`.

    It is the area under the steps of the precision-recall curve, as scikit-learn and PySlowFast
    count it.
    """
    found = torch.full((scores.shape[1],), float("nan"))
    for number in labels.any(0).nonzero().flatten().tolist():
        found[number] = binary_average_precision(scores[:, number], labels[:, number].long())
    return found


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Counts (true class, predicted class)."""
    return multiclass_confusion_matrix(ranking(scores, 1)[1][:, 0], labels, scores.shape[1])


def calibration_error(scores: Tensor, labels: Tensor) -> float:
    """Expected calibration error: how far the score of the best class is from how often it is
    right, in 0…1; the mean over 15 bins of that score, weighted by their videos (Guo et al. 2017).

    scores (N, classes) in 0…1, labels (N,). NaN where N is 0.
    """
    if not len(scores):
        return float("nan")
    classes = scores.shape[1]
    error = multiclass_calibration_error(
        scores, labels, classes, n_bins=CALIBRATION_BINS, norm="l1"
    )
    return float(error)
