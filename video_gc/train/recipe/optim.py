"""The optimiser, its options, and a learning rate that scales with the batch size."""

from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import torch
from torch import nn

from video_gc.models.context import context_blocks
from video_gc.train.recipe.groups import describe_groups, parameter_groups

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "steps")
UNITS = ("epochs", "steps")
ONLY_WITH = {
    "momentum": ("optimizer", "sgd"),
    "betas": ("optimizer", "adamw"),
    "milestones": ("schedule", "steps"),
    "decay": ("schedule", "steps"),
}
"""Option → the choice that it belongs to."""


@dataclass(kw_only=True)
class OptimConfig:
    """Optimiser, schedule, and the learning rate of each stage."""

    optimizer: str = "sgd"
    """sgd (Nesterov) or adamw"""
    lr: float = 0.1
    """peak learning rate"""
    lr_batch: int | None = None
    """clips per step that `lr` is for; the rate scales with batch_size; null: `lr` unscaled"""
    momentum: float = 0.9
    """of sgd"""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    """adamw: decay of its averages of gradients and of squared gradients"""
    weight_decay: float = 1e-4
    """weight decay, on weights; not on norms, biases and other vectors"""
    schedule: str = "cosine"
    """cosine (half a period over the whole training) or steps"""
    milestones: list[float] = field(default_factory=list)
    """schedule steps: where the rate falls; empty: constant rate"""
    milestones_in: str = "epochs"
    """unit of milestones: epochs (or fractions) or optimiser steps"""
    decay: float = 0.1
    """schedule steps: factor at each milestone"""
    warmup_epochs: float = 0.0
    """epochs of linear warm-up, at most half of the training"""
    warmup_start: float = 0.1
    """learning rate at the start of the warm-up, as a fraction of `lr`"""
    clip_grad: float | None = None
    """maximum L2 norm of all gradients together"""
    freeze: list[str] = field(default_factory=list)
    """stages with frozen weights and batch norm statistics: stem, res2 … res5 (in SlowFast both
    pathways and the laterals behind them; slow.res2: one); their context blocks are trained"""
    layer_decay: float = 1.0
    """factor x on the rate from each stage to the one below: head 1, res5 x, res4 x² …"""
    head_lr: float = 1.0
    """factor on the rate of the head and of fresh context blocks"""
    head_epochs: float = 0.0
    """first epochs in which only the head and fresh context blocks are trained"""

    def __post_init__(self) -> None:
        for name, choices in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("milestones_in", UNITS),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"optim.{name} ({value!r}) must be one of {', '.join(choices)}")
        for name in ("lr", "warmup_start", "head_lr", "decay", "layer_decay"):
            if getattr(self, name) <= 0:
                raise ValueError(f"optim.{name} ({getattr(self, name)}) must be above 0")
        for name in ("momentum", "weight_decay", "warmup_epochs", "head_epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"optim.{name} ({getattr(self, name)}) must not be negative")
        if self.clip_grad is not None and self.clip_grad <= 0:
            raise ValueError(f"optim.clip_grad ({self.clip_grad}) must be above 0, or null")
        if self.warmup_start > 1:
            raise ValueError(f"optim.warmup_start ({self.warmup_start}) must be at most 1")
        if self.layer_decay > 1:
            raise ValueError(f"optim.layer_decay ({self.layer_decay}) must be at most 1")
        if self.lr_batch is not None and self.lr_batch < 1:
            raise ValueError(f"optim.lr_batch ({self.lr_batch}) must be at least 1, or null")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"optim.betas ({self.betas}) must be two numbers in [0, 1)")
        if self.milestones != sorted(set(self.milestones)) or min(self.milestones, default=1) <= 0:
            raise ValueError(f"optim.milestones ({self.milestones}) must rise, from above 0")
        self._check_choices()

    def _check_choices(self) -> None:
        """Raise ValueError for an option that was set but has no effect."""
        for option in fields(self):
            name, value = option.name, getattr(self, option.name)
            if name not in ONLY_WITH:
                continue
            factory = option.default_factory
            default = option.default if factory is MISSING else factory()
            chooser, choice = ONLY_WITH[name]
            if getattr(self, chooser) != choice and value != default:
                raise ValueError(
                    f"optim.{name} ({value}) has no effect with optim.{chooser}="
                    f"{getattr(self, chooser)}: set optim.{chooser}={choice}, or "
                    f"optim.{name}={str(default).replace(' ', '')}, the default"
                )

    @property
    def by_stage(self) -> bool:
        """Whether stages are trained differently."""
        return self.layer_decay != 1 or self.head_lr != 1 or self.head_epochs > 0


def effective_lr(config: OptimConfig, batch_size: int) -> tuple[float, str]:
    """The peak rate for `batch_size` clips a step, and a sentence that explains it.

    With `lr_batch` it is proportional to the clips (Goyal et al., 2017, section 2.1).
    """
    if config.lr_batch is None:
        return config.lr, f"learning rate {config.lr:g} as given, for {batch_size} clips a step"
    if config.lr_batch == batch_size:
        return (
            config.lr,
            f"learning rate {config.lr:g}, meant for {batch_size} clips a step as here",
        )
    lr = config.lr * batch_size / config.lr_batch
    return lr, (
        f"learning rate {lr:g} = {config.lr:g} × {batch_size} / {config.lr_batch}: "
        f"optim.lr is for {config.lr_batch} clips a step, this run has {batch_size}"
    )


def build_optimizer(
    model: nn.Module, config: OptimConfig, *, fresh: bool = True
) -> torch.optim.Optimizer:
    """The optimiser of all parameters that require a gradient; `lr` is not scaled.

    fresh: whether the context blocks start untrained.
    """
    groups = _groups(model, config, fresh=fresh)
    if config.optimizer == "adamw":
        first, second = config.betas
        return torch.optim.AdamW(groups, lr=config.lr, betas=(first, second))
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0
    )


def describe_optim(
    model: nn.Module, config: OptimConfig, *, fresh: bool = True, pretrained: bool = True
) -> list[str]:
    """Sentences on weight decay, frozen stages and the rates of the stages.

    fresh: as in `build_optimizer`. pretrained: whether the network has weights of another training.
    """
    lines = describe_groups(model, _groups(model, config, fresh=fresh))
    if config.head_epochs:
        what = "head and context blocks" if fresh and context_blocks(model) else "head"
        lines.append(f"first the {what} alone, optim.head_epochs={config.head_epochs:g}")
    if config.freeze and not pretrained:
        lines.append("the frozen stages have random weights; set model.weights, or optim.freeze=[]")
    return lines


def _groups(model: nn.Module, config: OptimConfig, *, fresh: bool) -> list[dict[str, Any]]:
    return parameter_groups(
        model,
        lr=config.lr,
        weight_decay=config.weight_decay,
        by_stage=config.by_stage,
        layer_decay=config.layer_decay,
        head_lr=config.head_lr,
        fresh=fresh,
    )
