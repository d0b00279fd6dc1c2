"""Errors of a training whose loss or weights are not finite."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

from video_gc.atomic import atomic_path
from video_gc.outputs import fill_csv
from video_gc.train.recipe.averaging import local

NOT_FINITE = "not_finite.csv"


def lacking(networks: Mapping[str, nn.Module]) -> str | None:
    """The first weight or buffer with a NaN or infinite number, of this process's parts."""
    found = {
        f"{prefix}.{name}": local(value)
        for prefix, network in networks.items()
        for name, value in [*network.named_parameters(), *network.named_buffers()]
        if value.is_floating_point()
    }
    sound = torch.stack([value.isfinite().all() for value in found.values()]).tolist()
    return next((name for name, fine in zip(found, sound, strict=True) if not fine), None)


def write_not_finite(file: Path, step: int, paths: Iterable[object]) -> None:
    """List the videos of the batch that led to a non-finite number: step, path."""
    with atomic_path(file) as part:
        fill_csv(part, ["step", "path"], ((step, path) for path in paths))


def not_finite(what: str, step: int, file: Path, stands: str | None) -> FloatingPointError:
    """The error of a loss or weight that is NaN or infinite."""
    return FloatingPointError(
        f"{what} at step {step}; {file} lists the videos of that batch. "
        f"{f'{stands} is from before it. ' if stands else ''}"
        "Try a lower optim.lr, optim.clip_grad=1 or precision=fp32, with name=OTHER"
    )
