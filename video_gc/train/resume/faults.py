"""What goes wrong in a training, said so that it can be mended."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from video_gc.atomic import atomic_path
from video_gc.outputs import fill_csv

NOT_FINITE = "not_finite.csv"


def lacking(model: nn.Module) -> str | None:
    """The first weight or buffer with a NaN or infinite number in it."""
    named = [*model.named_parameters(), *model.named_buffers()]
    floating = [(name, value) for name, value in named if value.is_floating_point()]
    if all(torch.stack([value.detach().isfinite().all() for _, value in floating]).tolist()):
        return None
    return next(name for name, value in floating if not value.detach().isfinite().all())


def write_not_finite(file: Path, step: int, paths: Iterable[Path]) -> None:
    """List the videos of the batch after which a number was not finite: step, path."""
    with atomic_path(file) as part:
        fill_csv(part, ["step", "path"], ((step, path) for path in paths))


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
