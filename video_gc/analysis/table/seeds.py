"""A row's figures over its seeds: mean and how far it may be off."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from video_gc.analysis.table.run import Run

LEVELS = {"video": "video_level", "clip": "clip_level"}
KINDS = {"top1": "top-1", "top5": "top-5", "mAP": "mAP"}


@dataclass(frozen=True)
class Figure:
    """One figure of one row, per cent."""

    values: list[float]
    """of each seed"""
    mean: float
    error: float | None
    kind: str | None
    """of error: sd, the standard deviation over seeds; se, the standard error of one training
    from the number of its videos; None where neither is known (one training: mAP, and shares of 0
    and 100 %)"""


def figures(runs: Sequence[Run]) -> dict[str, Figure]:
    """`top1 video`, `top5 clip`, `mAP video`, … → figure, of those that all runs have."""
    found = {}
    for kind in KINDS:
        for level, key in LEVELS.items():
            shares = [run.about[key].get(kind) for run in runs]
            if shares and all(isinstance(share, float | int) for share in shares):
                videos = int(runs[0].about["video_level"].get("count", 0))
                found[f"{kind} {level}"] = figure(shares, None if kind == "mAP" else videos)
    return found


def figure(shares: Sequence[float], videos: int | None) -> Figure:
    """shares: 0…1 of each seed. videos: how many each share is of, None where no error follows.

    With one seed the error is √(p (1 - p) / videos), of views too: those of a video are not
    independent. At p = 0 and 1 this is 0, which is no error but the want of one: none is given.
    """
    values = [100 * share for share in shares]
    mean = fmean(values)
    if len(values) > 1:
        return Figure(values, mean, stdev(values), "sd")
    if not videos or not 0 < shares[0] < 1:
        return Figure(values, mean, None, None)
    return Figure(values, mean, 100 * math.sqrt(shares[0] * (1 - shares[0]) / videos), "se")
