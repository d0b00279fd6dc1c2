"""Learning rates as functions of the optimiser step alone, so a resumed run has the same rates.

Half a cosine over the whole training, and a linear warm-up to its value at the end of the warm-up:
Feichtenhofer et al., SlowFast, ICCV 2019, section 4.1, and PySlowFast's lr_policy.py; steps:
Wang et al., Non-local neural networks, CVPR 2018, section 4.1.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from functools import partial

import torch
from torch.optim.lr_scheduler import LambdaLR

from video_gc.train.recipe.optim import OptimConfig


def build_schedule(
    optimizer: torch.optim.Optimizer, config: OptimConfig, *, steps: int, steps_per_epoch: int
) -> LambdaLR:
    """The rates of all groups, as fractions of their peaks; call `step()` once per optimiser step.

    steps: optimiser steps of the whole training.
    """
    warmup = min(config.warmup_epochs * steps_per_epoch, steps / 2)
    after: Callable[[float], float]
    if config.schedule == "steps":
        unit = steps_per_epoch if config.milestones_in == "epochs" else 1
        at = [round(milestone * unit) for milestone in config.milestones]
        after = partial(falling, milestones=at, decay=config.decay)
    else:
        after = partial(half_cosine, steps=max(steps, 1))
    # a function, not an object with attributes: LambdaLR would write those into the checkpoint
    return LambdaLR(optimizer, lambda step: warmed(step, after, warmup, config.warmup_start))


def half_cosine(step: float, steps: int) -> float:
    """(1 + cos(π step / steps)) / 2."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def falling(step: float, milestones: list[int], decay: float) -> float:
    """1, times `decay` for each milestone that `step` has reached."""
    return decay ** bisect_right(milestones, step)


def warmed(step: float, after: Callable[[float], float], warmup: float, start: float) -> float:
    """`after(step)`; before `warmup`, a straight line from `start` to `after(warmup)`."""
    if step >= warmup:
        return after(step)
    return start + (after(warmup) - start) * step / warmup


def head_steps(config: OptimConfig, steps_per_epoch: int) -> int:
    """First steps in which only the head and fresh context blocks are trained."""
    return round(config.head_epochs * steps_per_epoch)


def about_the_head(config: OptimConfig, *, steps: int, steps_per_epoch: int) -> str | None:
    """A warning if a training of so many steps ends before more than the head is trained."""
    alone = head_steps(config, steps_per_epoch)
    if not 0 < steps <= alone:
        return None
    return (
        f"optim.head_epochs={config.head_epochs:g} is {alone} steps and the training {steps}:"
        " it trains only the head and fresh context blocks; train longer, or set "
        "optim.head_epochs=0"
    )
