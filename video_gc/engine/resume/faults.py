"""What goes wrong in a training, said so that it can be mended."""

import csv
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from video_gc.atomic import atomic_path

NOT_FINITE = "not_finite.csv"
SHARED_MEMORY = Path("/dev/shm")
KILLED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)", re.DOTALL)
NO_ROOM = re.compile(
    r"out of shared memory|Bus error|unable to (?:mmap|write to file|open shared memory|allocate"
    r" shared memory|resize file)|No space left on device",
)


def lacking(model: nn.Module) -> str | None:
    """The first weight or buffer with a NaN or infinite number in it."""
    named = [*model.named_parameters(), *model.named_buffers()]
    floating = [(name, value) for name, value in named if value.is_floating_point()]
    if all(torch.stack([value.detach().isfinite().all() for _, value in floating]).tolist()):
        return None
    return next(name for name, value in floating if not value.detach().isfinite().all())


def write_not_finite(file: Path, step: int, paths: Iterable[Path]) -> None:
    """List the videos of the batch after which a number was not finite: step, path."""
    with atomic_path(file) as part, part.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["step", "path"])
        writer.writerows((step, path) for path in paths)


def not_finite(what: str, step: int, file: Path, stands: str | None) -> FloatingPointError:
    """The error of a loss or weight that is NaN or infinite."""
    return FloatingPointError(
        f"{what} at step {step}; {file} lists the videos of that batch. "
        f"{f'{stands} is from before it. ' if stands else ''}"
        "Try a lower optim.lr, optim.clip_grad=1 or precision=fp32, with name=OTHER"
    )


def is_finite(loss: Tensor) -> bool:
    """Whether the loss is a number."""
    return bool(loss.detach().isfinite().all())


def explain(error: RuntimeError, workers: int) -> OSError | None:
    """What the loader's error means and what helps; None for another error."""
    text = str(error)
    killed = KILLED.search(text)
    if NO_ROOM.search(text) and (killed or "DataLoader worker" in text):
        room = (
            f", {shutil.disk_usage(SHARED_MEMORY).total >> 20} MiB"
            if SHARED_MEMORY.is_dir()
            else ""
        )
        return OSError(
            f"no room for a batch in shared memory ({SHARED_MEMORY}{room}): make it larger (docker "
            "run --shm-size=8g, or mount -o remount,size=8g /dev/shm), or set data.workers=0; "
            "the same command goes on from the last checkpoint"
        )
    if killed:
        how = killed[2].strip().rstrip(".")
        return ChildProcessError(
            f"decoding worker {killed[1]} {how.splitlines()[0]}: most likely the memory ran out "
            f"and the kernel chose it; set fewer workers than data.workers={workers}, or a smaller "
            "batch_size; the same command goes on from the last checkpoint"
        )
    return None
