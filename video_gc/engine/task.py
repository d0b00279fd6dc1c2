"""One batch: model, loss and metrics. Lightning runs the loop around it."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from video_gc.data.annotations import DataError
from video_gc.data.dataset import Batch
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.engine.optim import OptimConfig, build_optimizer, build_schedule


class RecognitionTask(pl.LightningModule):
    """Cross-entropy on clips; top-1 and top-5 of one centre view per validation video."""

    def __init__(
        self,
        model: nn.Module,
        *,
        num_classes: int,
        normalisation: Normalisation,
        optim: OptimConfig,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last_3d)
        self.normalisation, self.optim = normalisation, optim
        self.label_smoothing = label_smoothing
        self.train_top1 = MulticlassAccuracy(num_classes, average="micro")
        self.val_top1 = MulticlassAccuracy(num_classes, average="micro")
        self.val_top5 = MulticlassAccuracy(num_classes, average="micro", top_k=min(5, num_classes))

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        """The loss. Raises DataError for a batch of which no video could be read."""
        if batch.clips is None:
            last = batch.troubles[-1].reason
            raise DataError(f"none of {len(batch.troubles)} videos could be read, at last {last}")
        logits = self.model(prepare_clips(batch.clips, self.normalisation, batch.flips))
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        size = len(batch.labels)
        self.train_top1(logits, batch.labels)
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=size)
        self.log("train/top1", self.train_top1, prog_bar=True, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch: Batch, _batch_index: int) -> None:
        """Count right answers over single views."""
        if batch.clips is None:
            return
        logits = self.model(prepare_clips(batch.clips, self.normalisation))
        size = len(batch.labels)
        self.val_top1(logits, batch.labels)
        self.val_top5(logits, batch.labels)
        self.log("val/loss", F.cross_entropy(logits, batch.labels), batch_size=size)
        self.log("val/top1", self.val_top1, prog_bar=True)
        self.log("val/top5", self.val_top5)

    def on_validation_epoch_end(self) -> None:
        """Raise DataError where not one validation video could be read."""
        if not self.val_top1.update_called:
            raise DataError("no validation video could be read; skipped.csv in the run lists why")

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
