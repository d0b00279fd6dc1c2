"""The optimiser, its options, and a learning rate that follows the size of the batch."""

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
"""Option → the choice without which it has no meaning."""


@dataclass(kw_only=True)
class OptimConfig:
    """Optimiser, schedule, and what is trained how fast."""

    optimizer: str = "sgd"
    """sgd (Nesterov) or adamw"""
    lr: float = 0.1
    """peak learning rate"""
    lr_batch: int | None = None
    """clips in a step that `lr` is for: the rate grows and falls with batch_size; null: as it is"""
    momentum: float = 0.9
    """of sgd"""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    """of adamw: decay of its averages of gradients and of their squares"""
    weight_decay: float = 1e-4
    """on weights; none on norms, biases and other vectors"""
    schedule: str = "cosine"
    """cosine (half of one, over the whole training) or steps"""
    milestones: list[float] = field(default_factory=list)
    """of steps: where the rate falls; none: it stays"""
    milestones_in: str = "epochs"
    """what milestones count: epochs (fractions too) or steps of the optimiser"""
    decay: float = 0.1
    """of steps: factor at each milestone"""
    warmup_epochs: float = 0.0
    """epochs of linear warm-up, at most half of the training"""
    warmup_start: float = 0.1
    """learning rate at the start of the warm-up, as a part of `lr`"""
    clip_grad: float | None = None
    """largest L2 norm of all gradients together"""
    freeze: list[str] = field(default_factory=list)
    """stages that keep their weights and the statistics of their batch norms: stem, res2 … res5
    (in SlowFast both pathways and the laterals behind them, slow.res2 one); their context blocks
    train on"""
    layer_decay: float = 1.0
    """factor on the rate from each stage to the one below it: head 1, res5 x, res4 x² …"""
    head_lr: float = 1.0
    """factor on the rate of the head and of fresh context blocks"""
    head_epochs: float = 0.0
    """epochs at the start in which the head and fresh context blocks alone are trained"""

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
            raise ValueError(f"optim.warmup_start ({self.warmup_start}) is a part of lr, at most 1")
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
        """Raise ValueError for an option that was set, but that nothing here would read."""
        for option in fields(self):
            name, value = option.name, getattr(self, option.name)
            if name not in ONLY_WITH:
                continue
            factory = option.default_factory
            default = option.default if factory is MISSING else factory()
            chooser, choice = ONLY_WITH[name]
            if getattr(self, chooser) != choice and value != default:
                raise ValueError(
                    f"optim.{name} ({value}) means nothing with optim.{chooser}="
                    f"{getattr(self, chooser)}: set optim.{chooser}={choice}, or "
                    f"optim.{name}={str(default).replace(' ', '')}, the default"
                )

    @property
    def by_stage(self) -> bool:
        """Whether stages differ in how they are trained."""
        return self.layer_decay != 1 or self.head_lr != 1 or self.head_epochs > 0


def effective_lr(config: OptimConfig, batch_size: int) -> tuple[float, str]:
    """The peak rate for `batch_size` clips a step, and a sentence that says where it is from.

    It is in proportion to the clips where `lr_batch` is given (Goyal et al., 2017, section 2.1).
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
    """The optimiser of all parameters that require a gradient; `lr` is taken as it stands.

    fresh: whether the context blocks start from nothing, not from trained weights.
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
    """What decays, what stands still and how fast the stages learn, a sentence each.

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
