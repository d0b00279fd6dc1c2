"""When a run writes its checkpoints, which is the best, and where a signal or a fault stops it."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from video_gc.data.batches.workers import end_workers
from video_gc.data.dataset import Batch
from video_gc.models.weights.reading.read import read_file
from video_gc.progress import say
from video_gc.train.checkpoint import CheckpointContents, described
from video_gc.train.ranks.world import World, to_all
from video_gc.train.recipe.averaging import pick_weights
from video_gc.train.resume import files
from video_gc.train.resume.agreement import Agreement
from video_gc.train.resume.faults import is_finite, lacking, not_finite, write_not_finite
from video_gc.train.resume.loops import (
    after_validation,
    before_validation,
    epoch_ends,
    load_positions,
    step_ends,
)
from video_gc.train.resume.options import CheckpointConfig
from video_gc.train.resume.signals import Stopped, StopSignals
from video_gc.train.resume.weights import SUFFIX, write_weights

BEFORE_VALIDATION = 60.0
"""Seconds since the last checkpoint after which there is one before a validation, too."""


class Checkpoints(pl.callbacks.Checkpoint):
    """Lightning callback: a checkpoint after validations and, as `config` says, inside epochs.

    All fall on steps of the optimiser, when every process has agreed. A signal is answered there
    with a checkpoint and `Stopped`; a loss that is no number with FloatingPointError and none.

    writer: what writes; monitor: the figure whose highest value makes the best checkpoint;
    path_of: row of the training videos → file.
    """

    def __init__(
        self,
        folder: Path,
        config: CheckpointConfig,
        world: World,
        *,
        monitor: str,
        contents: CheckpointContents,
        writer: files.CheckpointFiles,
        path_of: Callable[[int], Path],
        faults: Path,
    ) -> None:
        self.folder, self.config, self.world, self.monitor = folder, config, world, monitor
        self.contents, self.writer, self.path_of, self.faults = contents, writer, path_of, faults
        self.signals, self.agreement = StopSignals(), Agreement(world)
        self.best: float | None = None
        self.best_step = self.saved_step = -1
        self.saved_at = 0.0
        self.validated = False
        self.bad: list[Tensor] = []
        self.videos: Tensor | None = None

    @property
    def state_key(self) -> str:
        """Lightning: the name of the state."""
        return "video_gc.checkpoints"

    def state_dict(self) -> dict[str, Any]:
        """Lightning: before a checkpoint is written."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning: while a checkpoint is restored."""
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Lightning: everything is restored, no step is done."""
        load_positions(trainer)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step
        file = files.step_file(self.folder, trainer.global_step)
        if trainer.is_global_zero and trainer.global_step == self.best_step and file.is_file():
            self._keep_best(file)  # the end may have come between the two
        self.signals.listen()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        _index: int,
    ) -> None:
        """Lightning: after a batch, a whole step or a part of one."""
        self.videos = batch.videos
        if not is_finite(_loss(outputs)):
            self.bad.append(batch.videos)
        if not step_ends(trainer):
            return
        ends = epoch_ends(trainer)
        bad, stop, save = self.agreement.largest(
            len(self.bad), self.signals.wanted, self._due(trainer, ends)
        )
        if bad:
            raise self._not_finite(trainer, "the loss is NaN or infinite")
        if (stop or save) and not trainer.should_stop:
            self._save(trainer, module, validated=False)
        if stop:
            self._stop(stop)

    def on_validation_batch_end(self, *_: Any) -> None:
        """Lightning: after a batch. Several processes stop together, after the last of them all."""
        if self.signals.wanted and self.world.size == 1:
            self._stop(self.signals.wanted)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Lightning: after the validation of an epoch."""
        if trainer.sanity_checking or not (epoch_ends(trainer) or trainer.should_stop):
            return
        score = float(trainer.callback_metrics[self.monitor])
        before = self.best, self.best_step
        better = self.best is None or math.isnan(self.best) or score > self.best
        if better:
            self.best, self.best_step = score, trainer.global_step
        file = self._save(trainer, module, validated=True)
        if better and trainer.is_global_zero:
            if self.writer.failed is None:
                self._keep_best(file)
            else:  # best.ckpt is still the one before
                self.best, self.best_step = before
        [stop] = self.agreement.largest(self.signals.wanted)
        if stop:
            self._stop(stop)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning: the position, as it has to be read again."""
        if self.validated:
            after_validation(checkpoint["loops"])
        elif epoch_ends(trainer):
            before_validation(checkpoint["loops"])

    def on_fit_end(self, *_: Any) -> None:
        """Lightning: at the end. Raises OSError where the last checkpoint could not be written."""
        if self.writer.failed is not None:
            raise OSError(f"{self.folder}: {self.writer.said}; free some space and start again")

    def _due(self, trainer: pl.Trainer, ends: bool) -> bool:
        steps, waited = trainer.global_step, time.monotonic() - self.saved_at
        if trainer.should_stop:  # the last step of all; from here none would validate any more
            return False
        if ends:  # the next one comes after validation
            return waited > BEFORE_VALIDATION
        every, minutes = self.config.every_steps, self.config.every_minutes
        due = every is not None and steps % every == 0
        return due or (minutes is not None and waited >= 60 * minutes)

    def _save(self, trainer: pl.Trainer, module: pl.LightningModule, *, validated: bool) -> Path:
        wrong = next(filter(None, to_all(lacking(module), self.world)), None)
        if wrong is not None:
            self.bad.extend([] if self.videos is None else [self.videos])
            raise self._not_finite(trainer, f"{wrong} is NaN or infinite")
        file = files.step_file(self.folder, trainer.global_step)
        self.validated = validated
        trainer.save_checkpoint(file)
        self.saved_at = time.monotonic()
        if self.writer.failed is None:
            self.saved_step = trainer.global_step
            if trainer.is_global_zero:
                files.point_last(file)
                files.remove_old(self.folder, self.config.keep)
        return file

    def _keep_best(self, file: Path) -> None:
        files.keep_best(file)
        # as they were validated: averaged where there is an average, with precise statistics
        kept = read_file(file, mapped=True)["state_dict"]
        weights = self.folder / f"best{SUFFIX}"
        try:
            write_weights(pick_weights(kept), described(self.contents), weights)
        except OSError as error:
            say(f"{error}; {file.name} has the weights, too", style="yellow")

    def _not_finite(self, trainer: pl.Trainer, what: str) -> FloatingPointError:
        parts = to_all([int(row) for videos in self.bad for row in videos], self.world)
        if trainer.is_global_zero:
            paths = [self.path_of(row) for part in parts for row in part]
            write_not_finite(self.faults, trainer.global_step, paths)
        stands = next(files.candidates(self.folder), None)
        return not_finite(what, trainer.global_step, self.faults, stands.name if stands else None)

    def _stop(self, number: int) -> None:
        where = f"from step {self.saved_step}" if self.saved_step else "from the beginning"
        say(f"Stopped; the same command goes on {where}")
        end_workers()  # before Lightning takes the loaders down, and waits for each
        raise Stopped(number)


def _loss(outputs: Any) -> Tensor:
    return outputs["loss"] if isinstance(outputs, dict) else outputs
