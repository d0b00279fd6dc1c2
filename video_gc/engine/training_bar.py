"""What a training shows: Lightning's bar, or a line per epoch where there is no terminal."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

from video_gc.progress import console, say

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

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What stands beside the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}
