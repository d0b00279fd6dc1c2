"""How long a training is: in epochs, or in steps of the optimiser as older papers count."""

import math
from typing import Any

import pytorch_lightning as pl

from video_gc.train.options import TrainConfig
from video_gc.train.recipe.schedule import head_steps


def epochs_of(config: TrainConfig, batches: int) -> int:
    """Epochs that `steps` steps take, the last one begun only; `epochs` where it is not given.

    batches: of the loader, in one epoch.
    """
    if config.steps is None:
        return config.epochs
    per_epoch = math.ceil(batches / config.accumulate)
    return math.ceil(config.steps / min(per_epoch, config.steps_per_epoch or per_epoch))


def about_the_head(config: TrainConfig, batches: int) -> str | None:
    """A sentence, where the training ends before anything but the head is trained.

    batches: as in `epochs_of`.
    """
    per_epoch = math.ceil(batches / config.accumulate)
    per_epoch = min(per_epoch, config.steps_per_epoch or per_epoch)
    alone, whole = head_steps(config.optim, per_epoch), config.steps or config.epochs * per_epoch
    if not 0 < whole <= alone:
        return None
    return (
        f"optim.head_epochs={config.optim.head_epochs:g} is {alone} steps and the training {whole}:"
        " it trains the head alone, and fresh context blocks; train longer, or set "
        "optim.head_epochs=0"
    )


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
