"""Optimisers and the learning-rate schedule: warm-up, then half a cosine."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

OPTIMIZERS = ("sgd", "adamw")


@dataclass(kw_only=True)
class OptimConfig:
    """Optimiser and schedule."""

    optimizer: str = "sgd"
    """sgd (Nesterov) or adamw"""
    lr: float = 0.1
    """peak learning rate, for the batch size of the recipe"""
    momentum: float = 0.9
    """of sgd"""
    weight_decay: float = 1e-4
    """on weights; none on biases and norms"""
    warmup_epochs: float = 0.0
    """epochs of linear warm-up"""
    warmup_start: float = 0.1
    """learning rate at the start of the warm-up, as a part of `lr`"""
    clip_grad: float | None = None
    """largest L2 norm of all gradients together"""

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"optim.optimizer ({self.optimizer!r}) must be one of {', '.join(OPTIMIZERS)}"
            )
        for name in ("lr", "warmup_start"):
            if getattr(self, name) <= 0:
                raise ValueError(f"optim.{name} ({getattr(self, name)}) must be above 0")
        if self.clip_grad is not None and self.clip_grad <= 0:
            raise ValueError(f"optim.clip_grad ({self.clip_grad}) must be above 0, or null")
        if self.warmup_start > 1:
            raise ValueError(f"optim.warmup_start ({self.warmup_start}) is a part of lr, at most 1")


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """Two groups of parameters: matrices and kernels decay, vectors do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    build: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(
            groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0
        ),
        "adamw": lambda: torch.optim.AdamW(groups, lr=config.lr),
    }
    return build[config.optimizer]()


def build_schedule(
    optimizer: torch.optim.Optimizer, config: OptimConfig, *, epochs: int, steps_per_epoch: int
) -> LRScheduler:
    """One step of the schedule per step of the optimiser."""
    total = max(epochs * steps_per_epoch, 1)
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total - 1)
    cosine = CosineAnnealingLR(optimizer, max(total - warmup, 1))
    if not warmup:
        return cosine
    rising = LinearLR(optimizer, config.warmup_start, total_iters=warmup)
    return SequentialLR(optimizer, [rising, cosine], milestones=[warmup])
