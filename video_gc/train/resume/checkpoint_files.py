"""Checkpoint files: written completely or not at all; the newest undamaged one is found.

`step-00000120.ckpt` is written after 120 optimiser steps. `last.ckpt` is a link to the newest;
`best.ckpt` holds the best.
"""

import errno
import io
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from video_gc.atomic import durable_file, part_name, remove_stale_parts
from video_gc.models.weights.reading.read import read_file
from video_gc.progress import say
from video_gc.train.checkpoint import KEY, check_format
from video_gc.train.checkpoint_paths import BEST, LAST

STEPS = "step-*.ckpt"
FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up"}


def save_or_keep(checkpoint: dict[str, Any], file: Path, *, keep: int) -> str:
    """Write a checkpoint, point last.ckpt to it and remove all but `keep`.

    If that fails, say so and keep the older ones. Returns the message, empty on success. Raises
    OSError if there is no older one: the run could train to its end and keep nothing.
    """
    try:
        write_checkpoint(checkpoint, file)
    except OSError as error:
        why = _reason(error)
        older = next(iter(candidates(file.parent)), None)
        if older is None:
            raise OSError(
                f"{file}: the first checkpoint could not be written ({why}), and nothing would "
                "be kept; free some space, or give another directory with runs=DIR",
            ) from error
        said = f"{file.name} could not be written ({why}); {older.name} is kept"
        say(f"{file.parent}: {said}", style="yellow")
        return said
    said = point_last(file)
    if not said:  # else last.ckpt may be a link to the oldest
        remove_old(file, keep)
    return said


def write_checkpoint(checkpoint: dict[str, Any], file: Path) -> None:
    """Write it completely or not at all. Raises OSError."""
    content = io.BytesIO()  # torch.save to a file turns a full disk into a RuntimeError
    torch.save(checkpoint, content)
    with durable_file(file) as stream:
        stream.write(content.getbuffer())


def read_training(file: Path) -> dict[str, Any]:
    """The content of a checkpoint for resuming, tensors on the CPU.

    Raises ValueError for one that has weights alone.
    """
    found: dict[str, Any] = read_file(file)
    if "loop" not in found:
        raise ValueError(
            f"{file}: has no state of a training to resume; start from its weights with "
            "model.weights=CHECKPOINT name=OTHER"
        )
    return found


def step_file(folder: Path, step: int) -> Path:
    """The checkpoint after so many optimiser steps."""
    return folder / f"step-{step:08d}.ckpt"


def point_last(file: Path) -> str:
    """Make last.ckpt a link to `file`, or a copy if the file system has no links.

    Returns the message if it could not be written; then it is still the previous one.
    """
    return _link_or_copy(file, LAST, lambda part: part.symlink_to(file.name))


def keep_best(file: Path) -> str:
    """Make `file` best.ckpt; `file` may be removed afterwards. Returns as `point_last`."""
    return _link_or_copy(file, BEST, lambda part: os.link(file, part))


def remove_old(file: Path, keep: int) -> None:
    """Remove all but `file`, just written, and the newest others, `keep` in all; the best stays."""
    others = set(file.parent.glob(STEPS)) - {file}
    for other in sorted(others, reverse=True)[keep - 1 :]:
        other.unlink(missing_ok=True)


def candidates(folder: Path) -> Iterator[Path]:
    """Checkpoints of a run, newest first; the best last, since it may be old."""
    steps = sorted(folder.glob(STEPS), reverse=True)
    yield from steps
    known = {file.name for file in steps}
    for name in (LAST, BEST):
        file = folder / name
        if file.is_file() and file.resolve().name not in known:
            yield file


def newest_valid(folder: Path) -> Path | None:
    """The newest readable checkpoint; damaged ones are named and renamed.

    None if there are no checkpoints. Raises ValueError for one of a newer version of video_gc, or
    if all are damaged.
    """
    damaged = []
    for file in candidates(folder):
        reason = damage(file)
        if reason is None:
            return file
        say(f"{file}: damaged ({reason}); the checkpoint before it is used", style="yellow")
        damaged.append(file)
    if damaged:
        raise ValueError(
            f"{folder}: all {len(damaged)} checkpoints are damaged; give name=OTHER to start anew"
        )
    return None


def damage(file: Path) -> str | None:
    """The damage of a checkpoint, after reading every byte; None if there is none.

    Raises ValueError for one of a newer version of video_gc, which is not damaged.
    """
    try:
        with zipfile.ZipFile(file) as records:  # read_file does not verify checksums
            broken = records.testzip()
        if broken is not None:
            return f"{broken} does not match its checksum"
        kept = read_file(file, mapped=True)[KEY]
    except Exception as error:  # a damaged file can make the readers raise anything
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    check_format(file, kept)
    return None


def set_aside(folder: Path, used: Path) -> None:
    """Rename checkpoints newer than the `used` one, and remove unfinished files.

    best.ckpt, or a last.ckpt that is a copy, is used if all numbered ones are damaged.
    """
    for file in sorted(folder.glob(STEPS)):
        if file.name > used.name or not used.match(STEPS):
            file.rename(file.with_suffix(".damaged"))
    remove_stale_parts(folder)


def _link_or_copy(file: Path, name: str, link: Callable[[Path], None]) -> str:
    """Give `file` a second name. link: makes a link to it under a temporary name."""
    target = file.with_name(name)
    part = part_name(target)
    try:
        link(part)
        os.replace(part, target)
    except OSError:
        try:
            with file.open("rb") as source, durable_file(target) as stream:
                shutil.copyfileobj(source, stream)
        except OSError as error:
            said = f"{name} could not be written ({_reason(error)}); {file.name} has the same"
            say(f"{file.parent}: {said}", style="yellow")
            return said
    finally:  # renaming a hard link over another of the same file leaves both
        part.unlink(missing_ok=True)
    return ""


def _reason(error: OSError) -> str:
    """The words for why a file could not be written."""
    return FULL.get(error.errno or 0, error.strerror or str(error))
