"""Checkpoint files: written completely or not at all; the newest undamaged one is found.

`step-00000120.ckpt` is written after 120 optimiser steps. `last.ckpt` is a link to the newest;
`best.ckpt` holds the best.
"""

import errno
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from video_gc.atomic import atomic_path, part_name, remove_stale_parts
from video_gc.models.weights.reading.read import read_file
from video_gc.progress import say
from video_gc.train.checkpoint import KEY, check_format
from video_gc.train.checkpoint_paths import BEST, LAST

STEPS = "step-*.ckpt"
FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up"}


def save_or_keep(checkpoint: dict[str, Any], file: Path) -> str:
    """Write a checkpoint; if that fails, say so and keep the older one.

    Returns the message, empty on success. Raises OSError if there is no older one: the run could
    train to its end and keep nothing.
    """
    try:
        write_checkpoint(checkpoint, file)
        return ""
    except OSError as error:
        why = FULL.get(error.errno or 0, error.strerror or str(error))
        older = next(iter(candidates(file.parent)), None)
        if older is None:
            raise OSError(
                f"{file}: the first checkpoint could not be written ({why}), and nothing would "
                "be kept; free some space, or give another directory with runs=DIR",
            ) from error
        said = f"{file.name} could not be written ({why}); {older.name} is kept"
        say(f"{file.parent}: {said}", style="yellow")
        return said


def write_checkpoint(checkpoint: dict[str, Any], file: Path) -> None:
    """Write under a temporary name, flush to the disk, and rename. Raises OSError."""
    content = io.BytesIO()  # torch.save to a file turns a full disk into a RuntimeError
    torch.save(checkpoint, content)
    with atomic_path(file) as part, part.open("wb") as stream:
        stream.write(content.getbuffer())
        stream.flush()
        os.fsync(stream.fileno())
    _sync_folder(file.parent)


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


def point_last(file: Path) -> None:
    """Make last.ckpt a link to `file`, or a copy if the file system has no links."""
    last = file.with_name(LAST)
    part = part_name(last)
    try:
        part.symlink_to(file.name)
    except OSError:
        shutil.copyfile(file, part)
    os.replace(part, last)


def keep_best(file: Path) -> None:
    """Make `file` best.ckpt; `file` may be removed afterwards."""
    best = file.with_name(BEST)
    part = part_name(best)
    try:
        os.link(file, part)
    except OSError:
        shutil.copyfile(file, part)
    os.replace(part, best)
    part.unlink(missing_ok=True)  # renaming a hard link over another of the same file leaves both


def remove_old(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints; best.ckpt stays."""
    for file in sorted(folder.glob(STEPS), reverse=True)[keep:]:
        file.unlink(missing_ok=True)


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
    """Rename checkpoints newer than the `used` one, and remove unfinished files."""
    if used.match(STEPS):
        for file in sorted(folder.glob(STEPS)):
            if file.name > used.name:
                file.rename(file.with_suffix(".damaged"))
    remove_stale_parts(folder)


def _sync_folder(folder: Path) -> None:
    """Flush the new name to the disk, to survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot
    finally:
        os.close(handle)
