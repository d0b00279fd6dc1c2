"""From a batch to the loss: colours, augmentation, mixing, forward pass, target."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.data.augment import AugmentConfig, mix_clips
from video_gc.data.batches.batch import Batch
from video_gc.data.index import DataError
from video_gc.data.transforms import Normalisation, prepare_clips


def balanced_weights(counts: Tensor) -> Tensor:
    """The weight (classes,) of each class for its number of videos (classes,): V / (C n).

    V: all videos, C: classes that have some, n: those of the class. All classes then weigh alike,
    and the mean over the videos is 1 (King and Zeng, Political Analysis 9, 2001). A class without
    videos gets 0.
    """
    counts = counts.float()
    there = counts > 0
    return torch.where(there, counts.sum() / (there.sum() * counts.clamp(min=1)), 0.0)


@dataclass(frozen=True)
class Objective:
    """The loss of a training, and the transforms before it."""

    num_classes: int
    normalisation: Normalisation
    augment: AugmentConfig | None = None
    label_smoothing: float = 0.0
    multi_label: bool = False
    class_weights: Tensor | None = None
    """(classes,): how much a training clip of each class counts, see `balanced_weights`"""

    def training_step(self, network: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Tensor]:
        """The mean loss () of a batch and the logits (N, classes).

        step: of the optimiser; mixing depends on it.
        Raises DataError if no video of the batch could be read.
        """
        if batch.clips is None:
            last = batch.problems[-1].reason
            raise DataError(f"none of {len(batch.problems)} videos could be read; the last: {last}")
        clips, labels = self.prepare(batch), batch.labels
        if self.augment is not None:
            clips, labels = mix_clips(
                clips,
                labels,
                self.augment,
                classes=self.num_classes,
                # from this batch: parts of a step and processes draw separately
                seed=int(batch.seeds[0]),
                step=step,
            )
        logits = network(clips)
        if self.class_weights is None:
            return self.loss(logits, labels, self.label_smoothing), logits
        weights = self.class_weights.to(logits.device)
        each = F.cross_entropy(
            logits.float(), labels, label_smoothing=self.label_smoothing, reduction="none"
        )
        # a mixed clip counts as its classes do; over the number of clips, not the sum of weights:
        # so parts of a step and processes add up
        own = weights[labels] if labels.ndim == 1 else labels.float() @ weights
        return (each * own).mean(), logits

    def prepare(self, batch: Batch) -> Tensor:
        """The augmented clips of a training batch, before mixing."""
        assert batch.clips is not None
        return prepare_clips(
            batch.clips,
            self.normalisation,
            batch.flips,
            colours=batch.colours,
            augment=self.augment,
            seeds=batch.seeds,
        )

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy; with several labels, binary cross-entropy of each class.

        labels: (N,), or (N, classes): the shares of mixed clips, or 0 and 1 for several labels.
        Smoothing moves the latter towards 1/2: y (1 − s) + s / 2.
        """
        if not self.multi_label:
            return F.cross_entropy(logits, labels, label_smoothing=smoothing)
        target = labels * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))
