"""From a batch to the loss: colours, augmentation, mixing, forward pass, target."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.data.augment import AugmentConfig, mix_clips
from video_gc.data.batches.batch import Batch
from video_gc.data.index import DataError
from video_gc.data.transforms import Normalisation, prepare_clips


@dataclass(frozen=True)
class Objective:
    """The loss of a training, and the transforms before it."""

    num_classes: int
    normalisation: Normalisation
    augment: AugmentConfig | None = None
    label_smoothing: float = 0.0
    multi_label: bool = False

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
        return self.loss(logits, labels, self.label_smoothing), logits

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
