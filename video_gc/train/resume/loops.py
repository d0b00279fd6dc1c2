"""The position that Lightning keeps in a checkpoint, put so that it goes on rightly.

Source: pytorch_lightning/loops (fit_loop, training_epoch_loop, evaluation_loop), 2.6.
"""

from typing import Any

import pytorch_lightning as pl

EPOCH, VALIDATION = "epoch_loop.batch_progress", "epoch_loop.val_loop.batch_progress"


def step_ends(trainer: pl.Trainer) -> bool:
    """Whether the optimiser has stepped after this batch, and no part of a step is pending."""
    return not trainer.fit_loop.epoch_loop._should_accumulate()


def epoch_ends(trainer: pl.Trainer) -> bool:
    """Whether this batch is the last of its epoch."""
    return trainer.fit_loop.epoch_loop._num_ready_batches_reached()


def load_positions(trainer: pl.Trainer) -> None:
    """Tell the loader where it was left.

    Lightning does so only in a fit loop that has not set up its loaders, which it does earlier,
    to count the steps for the schedule.
    """
    loop = trainer.fit_loop
    if loop._combined_loader_states_to_load and loop._combined_loader is not None:
        loop._combined_loader._load_state_dicts(loop._combined_loader_states_to_load)
        loop._combined_loader_states_to_load = []


def logged_step(loops: dict[str, Any]) -> int:
    """The step that nothing which was logged before the checkpoint is beyond."""
    return int(loops["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"])


def before_validation(loops: dict[str, Any]) -> None:
    """Let the resumed run begin with the validation of the epoch that has just been trained.

    Lightning would skip it: for a checkpoint after the last batch it goes on with the next epoch.
    """
    fit = loops["fit_loop"]
    for part in ("total", "current"):
        batches = fit[EPOCH][part]
        batches["completed"] = batches["processed"]
        # one batch begun and not finished: Lightning's mark of an unfinished validation
        fit[VALIDATION][part] = {"ready": 1, "started": 1, "processed": 0, "completed": 0}


def after_validation(loops: dict[str, Any]) -> None:
    """Let the resumed run not validate again, also where this validation was itself resumed."""
    progress = loops["fit_loop"][VALIDATION]
    count = progress["total"]["completed"]
    progress["total"] = dict.fromkeys(("ready", "started", "processed", "completed"), count)
