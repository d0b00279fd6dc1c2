"""From a batch to the loss: colours, augmentation, mixing, the network's answer, the target."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.data.augment import AugmentConfig, mix_clips
from video_gc.data.dataset import Batch
from video_gc.data.index import DataError
from video_gc.data.transforms import Normalisation, prepare_clips


@dataclass(frozen=True)
class Objective:
    """What the network is trained for."""

    num_classes: int
    normalisation: Normalisation
    augment: AugmentConfig | None = None
    label_smoothing: float = 0.0
    multi_label: bool = False

    def training_step(self, network: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Tensor]:
        """The mean loss () of a batch and the logits (N, classes).

        step: of the optimiser, from which what is mixed is drawn.
        Raises DataError for a batch of which no video could be read.
        """
        if batch.clips is None:
            last = batch.problems[-1].reason
            raise DataError(f"none of {len(batch.problems)} videos could be read, at last {last}")
        clips, labels = self.prepare(batch), batch.labels
        if self.augment is not None:
            clips, labels = mix_clips(
                clips,
                labels,
                self.augment,
                classes=self.num_classes,
                # of this very batch: parts of a step and processes draw each their own
                seed=int(batch.seeds[0]),
                step=step,
            )
        logits = network(clips)
        return self.loss(logits, labels, self.label_smoothing), logits

    def prepare(self, batch: Batch) -> Tensor:
        """The clips of a training batch as the network sees them, before any are mixed."""
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

        labels: (N,), or (N, classes): the shares of mixed clips, or 0 and 1 where labels are
        several. Smoothing of those moves each towards 1/2: y (1 − s) + s / 2.
        """
        if not self.multi_label:
            return F.cross_entropy(logits, labels, label_smoothing=smoothing)
        target = labels * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))
