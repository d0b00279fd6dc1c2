"""One batch: model, loss and metrics. Lightning runs the loop around it."""

import math
from typing import Any, Self

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MultilabelAveragePrecision

from video_gc.data.annotations import DataError
from video_gc.data.augment import AugmentConfig, mix_clips
from video_gc.data.dataset import Batch
from video_gc.data.transforms import Normalisation, prepare_clips
from video_gc.train.ranks.shards import ValidationFigures, metrics_in
from video_gc.train.recipe.averaging import averaged_copy, decay_at, update_average
from video_gc.train.recipe.groups import drop_gradients, keep_still, waiting_parameters
from video_gc.train.recipe.optim import OptimConfig, build_optimizer
from video_gc.train.recipe.schedule import build_schedule, head_steps


class RecognitionTask(pl.LightningModule):
    """Loss on clips; top-1 and top-5, or mAP, of one centre view per validation video.

    ema: decay of averaged weights (the module `average`), validated beside the trained ones as
        val_ema/…
    """

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
        fresh_context: bool = True,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        self.fresh_context, self.head_steps = fresh_context, 0
        self.model = model.to(memory_format=torch.channels_last_3d)
        self.normalisation, self.optim, self.augment = normalisation, optim, augment
        self.label_smoothing, self.multi_label = label_smoothing, multi_label
        self.num_classes, self.seed = num_classes, seed
        self.ema, self.average = ema, None if ema is None else averaged_copy(self.model)

        def figures(training: bool) -> dict[str, Metric]:
            return metrics(num_classes, multi_label=multi_label, training=training)

        self.train_metrics = nn.ModuleDict(figures(training=True))
        self.val_figures = nn.ModuleDict(
            {
                name: ValidationFigures(figures(training=False), num_classes)
                for name in self.networks
            }
        )

    @property
    def networks(self) -> dict[str, nn.Module]:
        """What is validated, by the name of its figures."""
        return {"val": self.model} | ({} if self.average is None else {"val_ema": self.average})

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        """The loss. Raises DataError for a batch of which no video could be read."""
        if batch.clips is None:
            last = batch.troubles[-1].reason
            raise DataError(f"none of {len(batch.troubles)} videos could be read, at last {last}")
        clips, labels = self.prepare(batch), batch.labels
        if self.augment is not None:
            clips, labels = mix_clips(
                clips,
                labels,
                self.augment,
                classes=self.num_classes,
                # of this very batch: parts of a step and processes draw each their own
                seed=int(batch.seeds[0]),
                step=self.global_step,
            )
        logits = self.model(clips)
        loss = self.loss(logits, labels, self.label_smoothing)
        size = len(batch.labels)
        about: Any = {"prog_bar": True, "on_step": False, "on_epoch": True}
        self.log("train/loss", loss, batch_size=size, sync_dist=True, **about)
        for name, metric in metrics_in(self.train_metrics).items():
            metric(logits, batch.labels)
            self.log(f"train/{name}", metric, **about)
        return loss

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

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """A step, and the average after it, before any callback can write a checkpoint."""
        super().optimizer_step(*arguments, **options)
        if self.average is not None and self.ema is not None:
            update_average(self.average, self.model, decay_at(self.global_step, self.ema))

    def validation_step(self, batch: Batch, _batch_index: int) -> None:
        """Count right answers over single views."""
        if batch.clips is None:
            return
        clips = prepare_clips(batch.clips, self.normalisation, batch.flips, colours=batch.colours)
        for name, network in self.networks.items():
            with torch.compiler.set_stance("force_eager"):  # its shapes are not those of training
                logits = network(clips)
            # torchmetrics would leave logits as they are in a batch in which all lie in [0, 1]
            scores = logits.float().sigmoid() if self.multi_label else logits
            figures = self.val_figures[name]
            assert isinstance(figures, ValidationFigures)
            figures.update(self.loss(logits, batch.labels), scores, batch.labels.long())

    def on_validation_epoch_end(self) -> None:
        """Raise DataError where not one validation video could be read."""
        for name, counted in self.val_figures.items():
            assert isinstance(counted, ValidationFigures)
            figures = counted.finish()
            if not figures:
                raise DataError(
                    "no validation video could be read; skipped.csv in the run lists why"
                )
            for figure, value in figures.items():
                self.log(f"{name}/{figure}", value, prog_bar=figure not in ("loss", "top5"))

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
        optimizer = build_optimizer(self.model, self.optim, fresh=self.fresh_context)
        steps = int(self.trainer.estimated_stepping_batches)  # this sets up the loaders
        per_epoch = math.ceil(
            self.trainer.num_training_batches / self.trainer.accumulate_grad_batches
        )
        self.head_steps = head_steps(self.optim, per_epoch)
        schedule = build_schedule(optimizer, self.optim, steps=steps, steps_per_epoch=per_epoch)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_train_start(self) -> None:
        """Lightning calls train() itself no more, and a resumed run knows its step only now."""
        self.train()

    def on_train_batch_start(self, _batch: Batch, _batch_index: int) -> None:
        """The head has been trained alone long enough: let the batch norms go too."""
        if self.head_steps and self.global_step == self.head_steps:
            self.train()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep still what waits for the head."""
        if self.global_step < self.head_steps:
            drop_gradients(waiting_parameters(optimizer))

    def train(self, mode: bool = True) -> Self:
        """As of any module, but the batch norms of what stands still stay in eval mode."""
        super().train(mode)
        if mode and self.global_step < self.head_steps:
            keep_still(self.model, waiting_parameters(self.trainer.optimizers[0]))
        elif mode:
            keep_still(self.model)
        if self.average is not None:
            for mine, theirs in zip(self.average.modules(), self.model.modules(), strict=True):
                mine.training = theirs.training  # its statistics stand still where theirs do
        return self

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
