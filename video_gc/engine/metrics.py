"""Accuracy from scores: top-1, top-5 and the mean over classes."""

from dataclasses import dataclass

from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
)


@dataclass(frozen=True)
class Accuracy:
    """Shares in 0…1, with how many they are of."""

    top1: float
    top5: float
    mean_class: float
    """mean over the classes that occur of the top-1 accuracy within a class"""
    count: int


def accuracy(scores: Tensor, labels: Tensor) -> Accuracy:
    """scores (N, classes), labels (N,). Top-5 is top-k where there are only k < 5 classes."""
    count, classes = scores.shape
    if not count:
        return Accuracy(float("nan"), float("nan"), float("nan"), 0)
    top1 = multiclass_accuracy(scores, labels, classes, average="micro")
    top5 = multiclass_accuracy(scores, labels, classes, average="micro", top_k=min(5, classes))
    each = multiclass_accuracy(scores, labels, classes, average="none")
    return Accuracy(float(top1), float(top5), float(each[labels.unique()].mean()), count)


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Counts (true class, predicted class)."""
    return multiclass_confusion_matrix(scores, labels, scores.shape[1])
