"""Training, from top to bottom: a config becomes a run directory with checkpoints.

`train` → `run` prepares → `fit`: epochs → `train_epoch`: steps → `optimiser_step`: forward,
backward, clip, step, schedule, average → `validate` → `save`.
"""

import math
import secrets
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import seed_everything
from torch import Tensor

from video_gc.data.batches.batch import Batch
from video_gc.data.batches.sampler import EpochSampler
from video_gc.data.batches.workers import end_workers, guarded_workers
from video_gc.data.splits import Splits, data_manifest, open_splits, read_splits, write_splits
from video_gc.deploy.inference_network import has_bf16
from video_gc.locks import locked
from video_gc.models.weights.reading.read import read_file
from video_gc.progress import say
from video_gc.train.checkpoint import KEY
from video_gc.train.display import Display
from video_gc.train.distributed.strategy import all_parameters, say_about_norms, share_buffers
from video_gc.train.distributed.world import (
    World,
    from_first,
    joined,
    largest,
    need_shared,
    this_world,
    to_all,
    wait_for_all,
)
from video_gc.train.inputs import check_same_videos
from video_gc.train.logs import check_logger, finalized, learning_rates
from video_gc.train.network import build_network
from video_gc.train.options import TrainConfig, decoding_of
from video_gc.train.recipe.averaging import decay_at, pick_weights, update_average
from video_gc.train.recipe.groups import drop_gradients
from video_gc.train.recipe.precision import begun_in
from video_gc.train.resume import checkpoint_files as files
from video_gc.train.resume.not_finite import NOT_FINITE, lacking, not_finite, write_not_finite
from video_gc.train.resume.run_directory import (
    LOGS,
    SPLITS,
    begin_run,
    finish_run,
    is_finished,
    last_checkpoint,
)
from video_gc.train.resume.signals import Stopped, StopSignals, requeue
from video_gc.train.resume.state import LoopState, restored_state, total
from video_gc.train.resume.weights_file import SUFFIX, write_weights
from video_gc.train.training import PREFIXES, Training, build_training, on_gpu, restore, saved
from video_gc.train.validation import (
    ValidationFigures,
    all_figures,
    say_rising_loss,
    validation_step,
)

BEFORE_VALIDATION = 60.0
"""A checkpoint is also written before a validation if the last is older than this, in s."""


def train(config: TrainConfig) -> Path:
    """Train, alone or as one of several processes, and return the run directory.

    It holds config.yaml, versions.yaml, splits/ (the videos of train, val and test),
    checkpoints/ (last.ckpt, best.ckpt, best.safetensors), logs/ (CSV and TensorBoard) and, if a
    file could not be read, skipped.csv; if some were read otherwise (short), notes.csv.

    An existing run is resumed exactly; a finished one is not changed. Nothing is written before
    options, data and network are checked. In a directory without a checkpoint the run starts from
    the beginning.

    Raises FileExistsError if the run exists and `resume` is off, ValueError if it exists with
    another config or other videos, BlockingIOError if another process trains in it,
    DataError or FileNotFoundError for unusable data, ImportError for a decoder or logger that is
    not installed, FloatingPointError for a loss that is NaN, ChildProcessError or OSError for a
    decoding worker that died, Stopped after a signal.
    """
    world, asked = this_world(), None
    lock = locked(config.directory) if world.first else nullcontext()
    signals = StopSignals(alone=world.size == 1)
    with joined(world, gpu=on_gpu(config)), lock:
        try:
            with signals.heard():
                run(config, world, signals)
        except Stopped as stopped:  # on all processes at the same step: no failure
            asked = stopped
    if asked is not None:
        if world.first:
            requeue(asked.signal)
        raise asked
    return config.directory


def run(config: TrainConfig, world: World, signals: StopSignals) -> None:
    """Check everything, then build it and train."""
    directory, options, gpu = config.directory, asdict(config), on_gpu(config)
    check_logger(config.logger)
    from_first(world, lambda: config.check_inputs(world.size))
    defaults = asdict(TrainConfig())
    last = from_first(
        world, lambda: last_checkpoint(directory, options, defaults, resume=config.resume)
    )
    kept: dict[str, Any] | None = None
    state = LoopState(run_id=secrets.token_hex(4))
    known: dict[str, str] = {}
    if last is not None:
        need_shared(last)
        if is_finished(directory):
            say(f"{directory}: this run is finished; there is nothing to do")
            return
        kept = files.read_training(last)
        state = restored_state(kept["loop"]["processes"], world.rank, world.size)
        known = kept[KEY]["fingerprint"]
        config = replace(config, precision=begun_in(kept[KEY]["config"], gpu=gpu))
    seed_everything(config.seed, verbose=False)
    if last is None:
        splits = from_first(world, lambda: open_splits(config.data, config.fold))
    else:
        splits = from_first(world, lambda: kept_splits(config, known))
    [lacking] = largest(world, not has_bf16(torch.device("cuda" if gpu else "cpu")))
    network = build_network(config, splits, resumed=last is not None, gpu=gpu, bf16=not lacking)
    decoding_of(config.data).check_decoder(splits.train.path(0))
    wait_for_all(world)  # a process that cannot decode raises before anything is written
    if last is None:
        from_first(world, lambda: begin(directory, options, splits, network.precision, gpu=gpu))
        need_shared(directory / SPLITS)
        splits = read_splits(directory / SPLITS)  # memory-mapped: loader processes share it
    else:
        say(f"{directory}: resuming from {last.name} ({position(state, config)})")
        if world.first:
            files.set_aside(last.parent, last)
    say_about_norms(config.norm.kind, world, config.batch_size, config.accumulate)
    training = build_training(config, world, signals, splits, network, state, known)
    with finalized(training.fabric.loggers), guarded_workers(config.data.workers):
        if kept is not None:
            restore(training, kept)
            kept = None
        [stop] = largest(world, signals.wanted)
        if stop:
            stop_run(training, stop)
        signals.training = True
        with Display.opened() as training.display:
            fit(training)
        signals.training = False
    if world.first:
        finish_run(directory, epochs=training.length.epochs, steps=state.step)


def kept_splits(config: TrainConfig, known: dict[str, str]) -> Splits:
    """The videos that the run kept. known: their fingerprints in its checkpoint."""
    splits = read_splits(config.directory / SPLITS, data_manifest(config.data))
    check_same_videos(config.directory, known, splits, config.data)
    return splits


def begin(
    directory: Path, options: dict[str, Any], splits: Splits, precision: str, *, gpu: bool
) -> None:
    """Write the files that describe the run."""
    begin_run(directory, options, precision, gpu=gpu)
    write_splits(splits, directory / SPLITS)


def position(state: LoopState, config: TrainConfig) -> str:
    """The position of a run in words."""
    if config.steps is not None:
        return f"step {state.step} of {config.steps}, epoch {state.epoch + 1}"
    return f"step {state.step}, epoch {state.epoch + 1} of {config.epochs}"


def fit(training: Training) -> None:
    """Train the remaining epochs, with a validation after each.

    Raises OSError if the last checkpoint could not be written.
    """
    state, length = training.state, training.length
    file = files.step_file(training.folder, state.step)
    if training.world.first and file.is_file():  # the run may have ended before it did this
        training.not_saved = files.point_last(file)
        if state.step == state.best_step and not training.not_saved:
            keep_best(training, file)
        need_saved(training)
    while not state.validated or (state.epoch + 1 < length.epochs and state.step < length.steps):
        if state.validated:
            state.begin_next_epoch()
        train_epoch(training)
        validate(training)
    training.skipped.finish()
    need_saved(training)


def need_saved(training: Training) -> None:
    """Raise OSError if the newest checkpoint could not be written."""
    if training.not_saved:
        raise OSError(f"{training.folder}: {training.not_saved}; free some space and rerun")


def train_epoch(training: Training) -> None:
    """Take the remaining steps of this epoch, with checkpoints in between.

    Raises Stopped at the step in which a signal came, FloatingPointError for a loss that is not
    finite.
    """
    state, loader = training.state, training.loader
    start = state.epoch * training.length.steps_per_epoch
    end = min(start + training.length.steps_per_epoch, training.length.steps)
    if state.batches == 0:
        training.fabric.log_dict(learning_rates(training.optimizer), state.step)
    training.train_mode()
    if state.step == end:  # stopped before or during its validation
        return
    assert isinstance(loader.sampler, EpochSampler)
    # no worker may be decoding a batch that nobody takes when the next epoch begins
    stop = (end - start) * training.config.accumulate
    loader.sampler.set_epoch(state.epoch, start=state.batches, stop=stop)
    batches = iter(loader)
    what = f"Epoch {state.epoch + 1}/{training.length.epochs}"
    todo = range(state.step, end)
    for _ in training.display.track(todo, what, end - start, state.step - start):
        bad = optimiser_step(training, batches)
        found, stop, save_now = largest(
            training.world, len(bad), training.signals.wanted, save_is_due(training, end)
        )
        if found:
            raise report_not_finite(training, "the loss is NaN or infinite", bad)
        if stop or save_now:
            save(training)
        if stop:
            stop_run(training, stop)


def optimiser_step(training: Training, batches: Iterator[Batch]) -> list[Tensor]:
    """Forward and backward of each part of a step, then one step of the optimiser.

    Returns the videos (rows) of each part whose loss is not finite.
    """
    config, fabric, state = training.config, training.fabric, training.state
    losses, training.videos = [], []
    training.optimizer.zero_grad()
    for part in range(1, config.accumulate + 1):
        batch = next(batches)
        training.skipped.add(batch.problems)
        batch = batch.to(fabric.device)
        with fabric.no_backward_sync(training.network, enabled=part < config.accumulate):
            with fabric.autocast(), training.sound_bf16():
                loss, logits = training.objective.training_step(training.network, batch, state.step)
            fabric.backward(loss / config.accumulate)
        state.sums.add(loss, logits, batch.labels)
        losses.append(loss.detach())
        training.videos.append(batch.videos)
    waiting = training.waiting()
    drop_gradients(waiting)
    if config.optim.clip_grad is not None:
        limit = config.optim.clip_grad
        fabric.clip_gradients(
            training.network, training.optimizer, max_norm=limit, error_if_nonfinite=False
        )
    training.optimizer.step()
    training.schedule.step()
    if training.average is not None and config.ema is not None:
        update_average(training.average, training.model, decay_at(state.step, config.ema))
    state.step += 1
    state.batches += config.accumulate
    if waiting and not training.waiting():  # the epochs that train the head alone are over
        training.train_mode()
    sound = torch.stack(losses).isfinite().tolist()
    return [rows for rows, fine in zip(training.videos, sound, strict=True) if not fine]


def save_is_due(training: Training, end: int) -> bool:
    """Whether to write a checkpoint after this step. end: the last step of the epoch."""
    config, step = training.config.checkpoint, training.state.step
    waited = time.monotonic() - training.saved_at
    if step == end:  # the next checkpoint follows validation
        return waited > BEFORE_VALIDATION
    every, minutes = config.every_steps, config.every_minutes
    due = every is not None and step % every == 0
    return due or (minutes is not None and waited >= 60 * minutes)


def validate(training: Training) -> None:
    """Validate, log the metrics of the epoch, and save a checkpoint, perhaps the best.

    Raises DataError if no validation video could be read, Stopped after a signal.
    """
    state, world, device = training.state, training.world, training.fabric.device
    networks = {PREFIXES[name]: network for name, network in training.networks.items()}
    objective = training.objective
    kind = {"multi_label": objective.multi_label}
    figures = {
        name: ValidationFigures(objective.num_classes, **kind, device=device) for name in networks
    }
    trained: dict[str, Tensor] = {}
    with torch.no_grad(), training.fabric.autocast(), all_parameters(networks.values()):
        for network in networks.values():
            share_buffers(network, world)  # all processes validate what the first saves
        if training.precise is not None:
            trained = training.precise.compute(device, training.display)
        for network in networks.values():
            network.eval()
        for batch in training.display.track(training.views, "Validation", len(training.views)):
            training.skipped.add(batch.problems)
            validation_step(networks, figures, batch.to(device), objective)
            if training.signals.wanted and world.size == 1:  # several stop later, together
                stop_run(training, training.signals.wanted)
    training.skipped.exchange()
    found = all_figures(figures)
    means = total(to_all(state.sums.on_cpu(), world)).means(**kind)
    training.fabric.log_dict(found | {"epoch": state.epoch}, state.step - 1)
    training.fabric.log_dict(means | {"epoch": state.epoch}, state.step - 1)
    training.display.epoch(state.epoch + 1, training.length.epochs, means | found)
    before, score = replace(state), found[training.monitor]
    state.validated = True
    if state.best is None or math.isnan(state.best) or score > state.best:
        state.best, state.best_step = score, state.step
    file = save(training, trained)
    if world.first and state.best_step == state.step:
        if not training.not_saved:
            keep_best(training, file)
        if training.not_saved:  # best.ckpt is still the previous one
            state.best, state.best_step = before.best, before.best_step
    if world.first:
        say_rising_loss(training.config.directory / LOGS)
    if training.precise is not None:
        training.precise.put(trained)
    [stop] = largest(world, training.signals.wanted)
    if stop:
        stop_run(training, stop)


def save(training: Training, trained: dict[str, Tensor] | None = None) -> Path:
    """Write a checkpoint after this step if all its numbers are finite. trained: see `saved`."""
    wrong = next(filter(None, to_all(lacking(training.networks), training.world)), None)
    if wrong is not None:
        raise report_not_finite(training, f"{wrong} is NaN or infinite", training.videos)
    content = saved(training, trained or {})
    file = files.step_file(training.folder, training.state.step)
    if training.world.first:
        keep = training.config.checkpoint.keep
        training.not_saved = files.save_or_keep(content, file, keep=keep)
    if not training.not_saved:
        training.saved_step = training.state.step
    wait_for_all(training.world)  # no process continues before the file is complete
    training.saved_at = time.monotonic()
    return file


def keep_best(training: Training, file: Path) -> None:
    """Make `file` the best checkpoint, and write its weights to a file of their own."""
    training.not_saved = files.keep_best(file)
    if training.not_saved:
        return
    # the validated weights: averaged if there is an average, with precise statistics
    kept = read_file(file, mapped=True)
    weights = training.folder / f"best{SUFFIX}"
    try:
        write_weights(pick_weights(kept["state_dict"]), kept[KEY], weights)
    except OSError as error:
        say(f"{error}; {file.name} also has the weights", style="yellow")


def report_not_finite(training: Training, what: str, bad: list[Tensor]) -> FloatingPointError:
    """The error for a number that is not finite; a file in the run lists the batch's videos."""
    file, step = training.config.directory / NOT_FINITE, training.state.step
    parts = to_all([int(row) for videos in bad for row in videos], training.world)
    if training.world.first:
        path_of = training.splits.train.path
        write_not_finite(file, step, [path_of(row) for part in parts for row in part])
    stands = next(files.candidates(training.folder), None)
    return not_finite(what, step, file, stands.name if stands else None)


def stop_run(training: Training, number: int) -> None:
    """End after a signal. Raises Stopped."""
    step = training.saved_step
    where = f"from step {step}" if step else "from the beginning"
    say(f"Stopped; rerun the command to resume {where}")
    end_workers()  # before the loaders close, each waiting for its own
    raise Stopped(number)
