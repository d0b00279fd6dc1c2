"""The CSV log of a run: one file however often the run was stopped, without a row lost or twice."""

import csv
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment

from video_gc.atomic import atomic_path


class RunLog(CSVLogger):
    """LOGS/csv/version_0/metrics.csv, which goes on where it stood at the checkpoint."""

    def __init__(self, logs: Path) -> None:
        super().__init__(logs, "csv", version=0)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Lightning: the writer, on the first process."""
        if self._experiment is None:
            self._experiment = _Rows(self.log_dir)
        return self._experiment


class KeepLog(pl.Callback):
    """The number of rows in each checkpoint; what was logged after it goes when the run goes on."""

    def __init__(self, rows: RunLog) -> None:
        self.rows = rows

    def state_dict(self) -> dict[str, Any]:
        """Lightning: before a checkpoint is written; the log is on the first process."""
        rows = self.rows.experiment
        if not isinstance(rows, _Rows):
            return {"rows": 0}
        rows.save()  # some callbacks only note their rows
        return {"rows": rows.written}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning: while a checkpoint is restored."""
        rows = self.rows.experiment
        if isinstance(rows, _Rows):
            rows.cut(state_dict["rows"])


class _Rows(ExperimentWriter):
    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self.written = 0
        self.cut(None)

    def cut(self, count: int | None) -> None:
        """Keep the first `count` rows of the file, all by default."""
        file = Path(self.metrics_file_path)
        if not file.is_file():
            return
        with file.open(newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)[:count]
            names = list(reader.fieldnames or ())
        self._replace(names, rows)
        self.metrics_keys, self.written = names, len(rows)

    def save(self) -> None:
        """Append what is new."""
        new = len(self.metrics)
        super().save()
        self.written += new

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        with Path(self.metrics_file_path).open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        self._replace(fieldnames, rows)

    def _replace(self, names: list[str], rows: list[dict[str, Any]]) -> None:
        with (
            atomic_path(Path(self.metrics_file_path)) as part,
            part.open("w", newline="") as stream,
        ):
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)

    def _check_log_dir_exists(self) -> None:
        """What is there is ours: a run that goes on."""
