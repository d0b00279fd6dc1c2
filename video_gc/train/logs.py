"""The logs of a run: a CSV file, TensorBoard and optionally Weights & Biases."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.loggers import Logger, TensorBoardLogger

from video_gc.atomic import atomic_path
from video_gc.extras import need
from video_gc.progress import say
from video_gc.train.options import TrainConfig
from video_gc.train.resume.signals import Stopped
from video_gc.train.resume.state import LoopState


def check_logger(name: str) -> None:
    """Raise ImportError if the library of a logger is not installed."""
    if name == "wandb":
        need("wandb", "wandb", by="logger=wandb")


def open_loggers(logs: Path, config: TrainConfig, state: LoopState) -> list[Logger]:
    """The loggers of a run on its first process; in a resumed run they continue from `state`."""
    purge = state.step or None  # drop what was logged after the checkpoint
    found: list[Logger] = [
        RowLogger(logs / "csv", state.rows),
        TensorBoardLogger(logs, "tensorboard", "", purge_step=purge),
    ]
    if config.logger == "wandb":
        found.append(WandbLogger(logs, asdict(config), state.run_id))
    return found


@contextmanager
def finalized(loggers: Iterable[Logger]) -> Iterator[None]:
    """Tell the loggers how the block ended: success, aborted (by a signal) or failed.

    An error of a logger is printed: it must not hide the block's own.
    """
    status = "failed"
    try:
        yield
        status = "success"
    except Stopped:
        status = "aborted"
        raise
    finally:
        for logger in loggers:
            try:
                logger.finalize(status)
            except Exception as error:  # the library of a logger may raise anything
                say(f"{type(logger).__name__} could not end its log: {error}", style="yellow")


class RowLogger(Logger):
    """FOLDER/version_0/metrics.csv: one file, however often the run is resumed.

    A resumed run appends to the rows up to its checkpoint, so none is lost or written twice.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        """rows: how many rows of the file to keep."""
        self.file = folder / "version_0" / "metrics.csv"
        self.columns: list[str] = []
        kept: list[dict[str, Any]] = []
        if self.file.is_file():
            with self.file.open(encoding="utf-8", newline="") as stream:
                reader = csv.DictReader(stream)
                kept = list(reader)[:rows]
                self.columns = list(reader.fieldnames or ())
        self.rows = len(kept)
        if self.columns:
            self._write(kept)

    @property
    def name(self) -> str:
        """The folder's name, for Fabric."""
        return "csv"

    @property
    def version(self) -> int:
        """Always the first version, for Fabric."""
        return 0

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Fabric calls this; config.yaml has the hyperparameters."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row."""
        row = {**metrics, "step": step}
        if new := row.keys() - set(self.columns):
            kept: list[dict[str, Any]] = []
            if self.rows:
                with self.file.open(encoding="utf-8", newline="") as stream:
                    kept = list(csv.DictReader(stream))
            self.columns = sorted([*self.columns, *new])
            self._write(kept)
        with self.file.open("a", encoding="utf-8", newline="") as stream:
            csv.DictWriter(stream, self.columns).writerow(row)
        self.rows += 1

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with atomic_path(self.file) as part, part.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, self.columns)
            writer.writeheader()
            writer.writerows(rows)


class WandbLogger(Logger):
    """A run at Weights & Biases; a resumed training continues it under the same id.

    WANDB_MODE=offline keeps it in the run directory; WANDB_PROJECT names the project, video_gc
    by default.
    """

    def __init__(self, logs: Path, config: Mapping[str, Any], run_id: str) -> None:
        import wandb

        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "video_gc"),
            name=config["name"],
            id=run_id,
            resume="allow",
            dir=logs,
            config=dict(config),
        )

    @property
    def name(self) -> str:
        """The run's name, for Fabric."""
        return str(self.run.name)

    @property
    def version(self) -> str:
        """The run's id, for Fabric."""
        return str(self.run.id)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Fabric calls this; the run got the hyperparameters at its start."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the metrics of a step."""
        self.run.log({**metrics, "trainer/global_step": step})

    def finalize(self, status: str) -> None:
        """End the run; one that a signal stopped is not marked as failed."""
        self.run.finish(exit_code=int(status == "failed"))


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Learning rates by group: lr-SGD/weights, …"""
    kind = type(optimizer).__name__
    return {f"lr-{kind}/{group['name']}": group["lr"] for group in optimizer.param_groups}
