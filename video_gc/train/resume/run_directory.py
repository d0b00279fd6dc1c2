"""A run directory: whether it is new, resumed or started again, and the files that describe it."""

import csv
import platform
import shlex
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning_fabric
import torch
import yaml

from video_gc.atomic import write_text
from video_gc.data.skipped_videos import NOTES, SKIPPED
from video_gc.progress import say
from video_gc.train.checkpoint_paths import CHECKPOINTS, LAST
from video_gc.train.resume.checkpoint_files import newest_valid
from video_gc.train.resume.not_finite import NOT_FINITE

CONFIG, VERSIONS = "config.yaml", "versions.yaml"
LOGS, SPLITS, FINISHED = "logs", "splits", "finished.yaml"
OURS = {CONFIG, VERSIONS, CHECKPOINTS, LOGS, SPLITS, SKIPPED, NOTES, NOT_FINITE}
"""Files that a training writes before its first checkpoint, and the checkpoints' folder."""
AROUND = {"cell.json", "cell.log"}
"""Files that tools/ablate.py writes before and after a training."""
MAY_CHANGE = {
    *("resume", "runs", "name", "logger", "strategy", "data.workers", "data.decoder"),
    *("data.decode_device", "data.transfer", "checkpoint.every_steps"),
    *("checkpoint.every_minutes", "checkpoint.keep"),
}
"""Options that do not change the trained network; those of `test` do not either."""
BLOCK_OPTIONS = "model.context.options."
LIBRARIES = ("torch", "torchvision", "pytorchvideo", "av", "numpy", "fvcore")


def last_checkpoint(
    directory: Path, options: dict[str, Any], defaults: dict[str, Any], *, resume: bool
) -> Path | None:
    """The newest undamaged checkpoint; None for a run without checkpoints.

    options: of this run. defaults: for options that are newer than the run. Writes nothing.

    Raises FileExistsError if the run exists and `resume` is off, or the directory is no run;
    ValueError if the run was started with other options, or no checkpoint is usable.
    """
    if not (directory / CONFIG).is_file():
        if directory.exists() and not _is_empty(directory):
            raise FileExistsError(f"{directory}: holds something other than a run; give name=OTHER")
        return None
    folder = directory / CHECKPOINTS
    # a hidden file is an unfinished first checkpoint
    if all(file.name.startswith(".") for file in folder.glob("*.ckpt")):
        _check_aborted(directory)
        return None
    if not resume:
        raise FileExistsError(
            f"{directory}: this run exists; leave out resume=false to resume it, or give name=OTHER"
        )
    started = _with_defaults(defaults, yaml.safe_load((directory / CONFIG).read_text("utf-8")))
    differing = [
        d
        for d in _differences(started, options)
        if d[0] not in MAY_CHANGE and not d[0].startswith("test.")
    ]
    foreign = [f"{n} ({old})" for n, old, _ in differing if _lacks(options, n) and old is not None]
    if foreign:
        raise ValueError(
            f"{directory}: was started by a version of video_gc with options that this one lacks: "
            f"{', '.join(foreign)}; resume it with that version, or give name=OTHER"
        )
    changed = [f"{name}: {old} → {new}" for name, old, new in differing]
    if changed and {name for name, _, _ in differing} <= {"epochs", "steps"}:
        raise ValueError(_longer(directory, differing, changed))
    if changed:
        raise ValueError(
            f"{directory}: was started with other options ({'; '.join(changed)}); give the old "
            "values, or name=OTHER (and model.weights=CHECKPOINT to start from its weights)"
        )
    found = newest_valid(folder)
    if found is None:
        raise FileExistsError(f"{directory}: has no checkpoint to resume from; give name=OTHER")
    return found


def _longer(
    directory: Path, differing: Sequence[tuple[str, Any, Any]], changed: Sequence[str]
) -> str:
    """The message for a run that is to be longer or shorter than it was started."""
    last = shlex.quote(f"model.weights={directory / CHECKPOINTS / LAST}")
    name, old, new = differing[0]
    more = f" {name}={new - old}" if old and new and new > old else ""
    return (
        f"{directory}: was started with another length ({'; '.join(changed)}), on which its "
        "learning rates depend, so it cannot go on exactly; train on from its weights in a run of "
        f"its own: give the same options with name=OTHER {last}{more}"
    )


def is_finished(directory: Path) -> bool:
    """Whether the run is finished."""
    return (directory / FINISHED).is_file()


def finish_run(directory: Path, *, epochs: int, steps: int) -> None:
    """Note that the run is finished."""
    write_text(directory / FINISHED, yaml.safe_dump({"epochs": epochs, "steps": steps}))


def begin_run(directory: Path, options: dict[str, Any], precision: str, *, gpu: bool) -> None:
    """Describe the run in its directory; remove the files of an aborted attempt.

    precision: fp32 or bf16, as taken. gpu: whether it trains on one.
    """
    if (directory / CONFIG).is_file():
        say(f"{directory}: an earlier attempt left no checkpoint; starting from the beginning")
        for name in (LOGS, SPLITS):
            shutil.rmtree(directory / name, ignore_errors=True)
        for name in (SKIPPED, NOTES, NOT_FINITE):
            (directory / name).unlink(missing_ok=True)
    write_text(directory / CONFIG, yaml.safe_dump(options, sort_keys=False))
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    versions |= {name: version(name) for name in LIBRARIES}
    versions |= {"lightning-fabric": lightning_fabric.__version__, "precision": precision}
    if gpu:
        versions["gpu"] = torch.cuda.get_device_name()
    write_text(directory / VERSIONS, yaml.safe_dump(versions, sort_keys=False))


def _is_empty(directory: Path) -> bool:
    """Whether it holds only locks and the files of tools/ablate.py."""
    return all(path.name[0] == "." or path.name in AROUND for path in directory.iterdir())


def read_metrics(logs: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric → (epoch, value), from all CSV logs of a run; a resumed run has several."""
    found: dict[str, dict[int, float]] = {}
    for file in sorted(
        logs.glob("csv/version_*/metrics.csv"), key=lambda f: int(f.parent.name[8:])
    ):
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                for name, value in row.items():
                    if value and name not in ("epoch", "step") and row.get("epoch"):
                        found.setdefault(name, {})[int(float(row["epoch"])) + 1] = float(value)
    return {name: sorted(values.items()) for name, values in found.items()}


def logged_epochs(logs: Path) -> int:
    """How many epochs have metrics in the logs of a run; 0 without logs."""
    return max((values[-1][0] for values in read_metrics(logs).values()), default=0)


def _check_aborted(directory: Path) -> None:
    """Raise FileExistsError if removing the directory's files would lose something."""
    names = sorted(path.name for path in directory.iterdir())
    others = [name for name in names if name not in OURS | AROUND and name[0] != "."]
    if others:
        raise FileExistsError(
            f"{directory}: has no checkpoint, but holds {others[0]}; give name=OTHER"
        )
    for file in (directory / LOGS).rglob("metrics.csv"):
        with file.open(encoding="utf-8") as stream:
            if "val/" in stream.readline():  # a checkpoint follows a validation
                raise FileExistsError(
                    f"{directory}: was trained, but its checkpoints are gone; delete it, or give "
                    "name=OTHER"
                )


def _with_defaults(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """`given`, with the defaults for options that are newer than it."""
    return defaults | {
        name: _with_defaults(defaults[name], value)
        if isinstance(value, dict) and isinstance(defaults.get(name), dict)
        else value
        for name, value in given.items()
    }


def _lacks(options: dict[str, Any], name: str) -> bool:
    """Whether no option has this name; options of a block are not checked."""
    if name.startswith(BLOCK_OPTIONS):
        return False
    found: Any = options
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            return True
        found = found[part]
    return False


def _differences(old: Any, new: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """(option, old value, new value) of all differences."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            found
            for key in sorted(old.keys() | new.keys())
            for found in _differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if old == new else [(name, old, new)]
