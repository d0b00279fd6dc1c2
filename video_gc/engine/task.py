"""One batch: model, loss and metrics. Lightning runs the loop around it."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MultilabelAveragePrecision

from video_gc.data.annotations import DataError
from video_gc.data.augment import AugmentConfig
from video_gc.data.dataset import Batch
from video_gc.data.mixing import mix_clips
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.engine.ranks.shards import ValidationFigures
from video_gc.engine.recipe.optim import OptimConfig, build_optimizer, build_schedule


class RecognitionTask(pl.LightningModule):
    """Loss on clips; top-1 and top-5, or mAP, of one centre view per validation video."""

    def __init__(
        self,
        model: nn.Module,
        *,
        num_classes: int,
        normalisation: Normalisation,
        optim: OptimConfig,
        label_smoothing: float = 0.0,
        multi_label: bool = False,
        augment: AugmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last_3d)
        self.normalisation, self.optim, self.augment = normalisation, optim, augment
        self.label_smoothing, self.multi_label = label_smoothing, multi_label
        self.num_classes, self.seed = num_classes, seed
        self.train_metrics = nn.ModuleDict(
            metrics(num_classes, multi_label=multi_label, training=True)
        )
        self.val_figures = ValidationFigures(
            metrics(num_classes, multi_label=multi_label, training=False), num_classes
        )

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        """The loss. Raises DataError for a batch of which no video could be read."""
        if batch.clips is None:
            last = batch.troubles[-1].reason
            raise DataError(f"none of {len(batch.troubles)} videos could be read, at last {last}")
        clips = prepare_clips(
            batch.clips,
            self.normalisation,
            batch.flips,
            colours=batch.colours,
            augment=self.augment,
            seeds=batch.seeds,
        )
        labels = batch.labels
        if self.augment is not None:
            clips, labels = mix_clips(
                clips,
                labels,
                self.augment,
                classes=self.num_classes,
                seed=self.seed,
                step=self.global_step,
            )
        logits = self.model(clips)
        loss = self.loss(logits, labels, self.label_smoothing)
        size = len(batch.labels)
        about: Any = {"prog_bar": True, "on_step": False, "on_epoch": True}
        self.log("train/loss", loss, batch_size=size, sync_dist=True, **about)
        for name, metric in _metrics(self.train_metrics):
            metric(logits, batch.labels)
            self.log(f"train/{name}", metric, **about)
        return loss

    def validation_step(self, batch: Batch, _batch_index: int) -> None:
        """Count right answers over single views."""
        if batch.clips is None:
            return
        clips = prepare_clips(batch.clips, self.normalisation, batch.flips, colours=batch.colours)
        logits = self.model(clips)
        # torchmetrics would leave logits as they are in a batch in which all lie in [0, 1]
        scores = logits.float().sigmoid() if self.multi_label else logits
        self.val_figures.update(self.loss(logits, batch.labels), scores, batch.labels.long())

    def on_validation_epoch_end(self) -> None:
        """Raise DataError where not one validation video could be read."""
        figures = self.val_figures.finish()
        if not figures:
            raise DataError("no validation video could be read; skipped.csv in the run lists why")
        for name, value in figures.items():
            self.log(f"val/{name}", value, prog_bar=name not in ("loss", "top5"))

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy; with several labels, binary cross-entropy of each class.

        labels: (N,), or (N, classes): the shares of mixed clips, or 0 and 1 where labels are
        several. Smoothing of those moves each towards 1/2: y (1 − s) + s / 2.
        """
        if not self.multi_label:
            return F.cross_entropy(logits, labels, label_smoothing=smoothing)
        target = labels * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))

    def configure_optimizers(self) -> Any:
        """Optimiser, and the schedule step by step."""
        optimizer = build_optimizer(self.model, self.optim)
        epochs = self.trainer.max_epochs or 1
        steps = int(self.trainer.estimated_stepping_batches) // epochs
        schedule = build_schedule(optimizer, self.optim, epochs=epochs, steps_per_epoch=steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, _dataloader_index: int
    ) -> Batch:
        """Move the tensors of a batch."""
        return batch.to(device)


def metrics(num_classes: int, *, multi_label: bool, training: bool) -> dict[str, Metric]:
    """What is counted during training, by the name that it is logged under.

    A multi-label set has no figure on training clips: mAP would keep the scores of a whole epoch.
    """
    if multi_label:
        return {} if training else {"mAP": MultilabelAveragePrecision(num_classes)}
    found: dict[str, Metric] = {"top1": MulticlassAccuracy(num_classes, average="micro")}
    if not training:
        five = min(5, num_classes)
        found["top5"] = MulticlassAccuracy(num_classes, average="micro", top_k=five)
    return found


def _metrics(modules: nn.ModuleDict) -> list[tuple[str, Metric]]:
    return [(name, metric) for name, metric in modules.items() if isinstance(metric, Metric)]
