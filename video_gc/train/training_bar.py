"""What a training shows: Lightning's bar, or a line per epoch where there is no terminal."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

from video_gc.progress import console, say

T = TypeVar("T")
FIGURES = (
    "train/loss",
    "train/top1",
    "val/loss",
    "val/top1",
    "val/mAP",
    "val_ema/top1",
    "val_ema/mAP",
)


class TrainingBar(RichProgressBar):
    """Counts epochs from 1."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}"

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning: after validation."""
        super().on_train_epoch_end(trainer, pl_module)
        if not console.is_terminal:
            seen = trainer.callback_metrics
            figures = ", ".join(
                f"{name} {float(seen[name]):.3f}" for name in FIGURES if name in seen
            )
            say(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {figures}")

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Iterate under a bar of its own, which goes when that is done."""
        if self.is_disabled or self.progress is None:
            yield from items
            return
        bar = self._add_task(total, description)
        try:
            for number, item in enumerate(items, 1):
                self._update(bar, number)
                yield item
        finally:
            self.progress.update(bar, visible=False)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What stands beside the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}
