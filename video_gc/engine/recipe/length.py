"""How long a training is: in epochs, or in steps of the optimiser as older papers count."""

import math
from typing import Any

import pytorch_lightning as pl

from video_gc.engine.options import TrainConfig


def epochs_of(config: TrainConfig, batches: int) -> int:
    """Epochs that `steps` steps take, the last one begun only; `epochs` where it is not given.

    batches: of the loader, in one epoch.
    """
    if config.steps is None:
        return config.epochs
    per_epoch = math.ceil(batches / config.accumulate)
    return math.ceil(config.steps / min(per_epoch, config.steps_per_epoch or per_epoch))


class LastStep(pl.Callback):
    """Lightning callback: validate after the last step, in the middle of an epoch too.

    Trainer(max_steps=…) alone would end without validation and without a checkpoint.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(
        self, trainer: pl.Trainer, _module: pl.LightningModule, *_args: Any
    ) -> None:
        """Lightning: after each batch, before it looks whether to validate."""
        if trainer.global_step >= self.steps:
            trainer.should_stop = True
