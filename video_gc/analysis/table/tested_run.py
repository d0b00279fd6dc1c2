"""One run directory for a table: its options, and its test or the reason for none.

The directories of a run's folds count as one run, whose test is that of all folds.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from video_gc.ablate.cell_name import cell_hash
from video_gc.ablate.status import STATUS
from video_gc.analysis.compare.folds import fold_in, pooled, with_folds_pooled
from video_gc.analysis.compare.predictions import TestedRun, read_tested
from video_gc.analysis.cost.latency import Network
from video_gc.data.index import DataError
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig
from video_gc.train.options import TrainConfig
from video_gc.train.resume.run_directory import CONFIG, LOGS, is_finished, logged_epochs

HERE = {
    "": {"accelerator": "auto"},
    "data": {"decoder": "auto", "decode_device": "cpu", "transfer": "rgb"},
}
"""Options that may be missing on this machine; they change no figure."""


@dataclass(frozen=True)
class Run:
    """One training, and its test."""

    home: Path
    """the run directory"""
    config: TrainConfig | None
    """None if there is none, as for published weights"""
    test: TestedRun | None
    """None if it does not count"""
    problem: str | None = None
    """why it does not count; None if it does"""
    folds: "list[Run]" = field(default_factory=list)
    """of each fold, if it has several"""

    @property
    def name(self) -> str:
        """Of the directory, without the fold."""
        name = self.home.resolve().name
        found = fold_in(name) if self.folds else None
        return found[0] if found else name

    @property
    def homes(self) -> list[Path]:
        """All its directories."""
        return [fold.home for fold in self.folds] or [self.home]

    @property
    def seed(self) -> int | None:
        """Of the training."""
        return None if self.config is None else self.config.seed

    @property
    def about(self) -> dict[str, Any]:
        """accuracy.json; empty if it does not count."""
        return {} if self.test is None else self.test.about

    @property
    def fingerprint(self) -> str:
        """Of the tested videos; empty if unknown."""
        return str(self.about.get("fingerprint") or "")

    @cached_property
    def network(self) -> Network | None:
        """None if unknown."""
        file = self.home / "test" / "classes.csv"
        if self.config is None or not file.is_file():
            return None
        with file.open(newline="", encoding="utf-8") as stream:
            classes = sum(1 for _ in csv.DictReader(stream))
        return replace(self.config.model, num_classes=classes, weights=None), self.config.clip


def is_run(place: Path) -> bool:
    """Whether `place` is a run directory, or a cell of an ablation that was started."""
    files = (CONFIG, STATUS, "test/accuracy.json")
    return any((place / file).is_file() for file in files) or (place / "checkpoints").is_dir()


def read_run(home: Path) -> Run:
    """Read a run directory; `problem` says if it is missing or unreadable."""
    if not home.is_dir():
        return Run(home, None, None, "not trained yet")
    config, test, problem, reading = None, None, None, CONFIG
    try:
        if (home / CONFIG).is_file():
            config = read_config(home / CONFIG)
        reading = STATUS
        problem = _untrained(home, config)
        reading = "test"
        if problem is None:
            test = _tested(home)
    except FileNotFoundError:
        problem = "trained, not tested yet"
    except (ValueError, KeyError, TypeError, DataError, yaml.YAMLError) as error:
        said = str(error) or type(error).__name__
        problem = f"its {reading} cannot be read ({said.splitlines()[0]})"
    return Run(home, config, test, problem)


def pool_runs(runs: Sequence[Run]) -> list[Run]:
    """The runs, with those of one run's folds as one, in the place of the first of them."""
    return with_folds_pooled(runs, _pooled)


def _pooled(folds: Sequence[Run]) -> Run:
    """One run of all folds; `problem` says why it does not count."""
    whole = next((run for run in folds if run.test is not None), folds[0])
    configs = [run.config for run in folds if run.config is not None]
    problems = [f"{run.name}: {run.problem}" for run in folds if run.problem is not None]
    problem = "; ".join(problems) or None
    test = None
    if len({cell_hash(config) for config in configs}) > 1:
        problem = "its folds were trained with different options; train them again"
    elif problem is None:
        try:
            test = pooled([run.test for run in folds if run.test is not None])
        except (DataError, ValueError) as error:
            problem = str(error)
    config = configs[0] if configs else None
    return Run(whole.home, config, test, problem, list(folds))


def read_config(file: Path) -> TrainConfig:
    """A run's config.yaml as dataclasses; options newer than the run get their defaults.

    Raises ValueError, TypeError or yaml.YAMLError for a config of another version.
    """
    return typed_config(yaml.safe_load(file.read_text(encoding="utf-8")))


def typed_config(plain: Any) -> TrainConfig:
    """Plain options as dataclasses; see `read_config`."""
    if not isinstance(plain, dict):
        raise ValueError("no options in it")
    for group, options in HERE.items():
        (plain.setdefault(group, {}) if group else plain).update(options)
    config: TrainConfig = _typed(TrainConfig, plain)
    return config


def seconds_of_all(homes: Sequence[Path]) -> tuple[float, str] | None:
    """`seconds_trained` of all folds together; None if it is unknown for one."""
    found = [seconds_trained(home) for home in homes]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return sum(seconds for seconds, _ in known), " and ".join(sorted({where for _, where in known}))


def seconds_trained(home: Path) -> tuple[float, str] | None:
    """Seconds, and their source: the run's TensorBoard files, or else cell.json.

    From TensorBoard: the sum over files of the last entry's time minus the first's, because each
    process that continued the training has its own file. They come first because cell.json includes
    the test's time, and lacks that of killed jobs and of tools/train.py. None if neither has it.
    """
    seconds = 0.0
    for file in sorted((home / "logs").rglob("events.out.tfevents.*")):
        times = [event.wall_time for event in EventFileLoader(str(file)).Load()]
        seconds += max(times) - min(times) if times else 0.0
    if seconds > 0:
        return seconds, "event files"
    kept = _status(home).get("seconds")
    return (float(kept), f"{STATUS} (with its test)") if kept else None


def _typed(kind: Any, plain: dict[str, Any]) -> Any:
    """`plain` as the dataclass `kind`, recursively."""
    hints, known = get_type_hints(kind), {field.name for field in fields(kind)}
    if foreign := sorted(plain.keys() - known):
        raise ValueError(f"this version has no option {foreign[0]}")
    values = {
        name: _typed(hints[name], value) if is_dataclass(hints[name]) else value
        for name, value in plain.items()
    }
    if kind is ModelConfig:
        more = values.get("more_context", [])
        values["more_context"] = [_typed(ContextConfig, each) for each in more]
    return kind(**values)


def _status(home: Path) -> dict[str, Any]:
    """cell.json; empty if there is none. Raises ValueError for a damaged one."""
    file = home / STATUS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _untrained(home: Path, config: TrainConfig | None) -> str | None:
    """Why the training has not ended, None if it has. Raises ValueError as `_status`."""
    if is_finished(home):
        return None
    cell = _status(home)
    status = cell.get("status")
    if status == "failed":
        return f"failed: {cell.get('reason') or 'reason unknown'}"
    if status == "running":
        return "still running, or killed"
    if status == "finished" or config is None or not (home / "logs").is_dir():
        return None  # the last two: tested without our training
    epochs = logged_epochs(home / LOGS)
    return f"its training has not ended (epoch {epochs} of {config.epochs})"


def _tested(home: Path) -> TestedRun:
    """The test. Raises FileNotFoundError if there is none, ValueError for a damaged one."""
    test = read_tested(home)
    if not test.about:
        raise FileNotFoundError(f"{test.file}: no accuracy.json beside it")
    figure = "mAP" if test.multi_label else "top1"
    for level in ("video_level", "clip_level"):
        if not isinstance(test.about[level][figure], float | int):
            raise ValueError(f"accuracy.json has no {figure} of the {level}")
    return test
