"""Batch norms: frozen, over all processes, zero at the end of residual blocks.

Goyal et al., Accurate, large minibatch SGD, 2017, section 5.1 (zero-initialised scale).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from video_gc.backbones.stages import last_norm, residual_blocks
from video_gc.backbones.sync_norms import synchronise_on_cpu
from video_gc.models.context import context_blocks

KINDS = ("batch", "sync", "frozen")


@dataclass(kw_only=True)
class NormConfig:
    """The batch norms of a training."""

    kind: str = "batch"
    """batch; sync (statistics over all processes); frozen (those of the loaded weights, unchanged;
    new norms of context blocks are trained)"""
    zero_init: bool = True
    """start the last norm of each residual block at 0 (Goyal et al., 2017), otherwise at 1;
    model.weights override this"""
    precise: int = 0
    """training batches for recomputing the statistics before each validation; 0: off"""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"norm.kind ({self.kind!r}) must be one of {', '.join(KINDS)}")
        if self.precise < 0:
            raise ValueError(f"norm.precise ({self.precise}) must not be negative")


def prepare_norms(model: nn.Module, config: NormConfig, *, weights: str | None, gpu: bool) -> None:
    """Initialise and convert the batch norms of `model` in place; state_dict names stay.

    weights: the initial weights of the run, also if it is resumed. gpu: whether it trains on one.

    Raises ValueError for frozen norms that would keep residual branches at 0.
    """
    if weights is None:
        if config.kind == "frozen" and config.zero_init:
            raise ValueError(
                "norm.kind=frozen without model.weights would keep every residual branch at 0; "
                "give model.weights, or norm.zero_init=false"
            )
        for block in residual_blocks(model).values():
            scale = last_norm(block).weight
            assert isinstance(scale, nn.Parameter)
            nn.init.constant_(scale, 0.0 if config.zero_init else 1.0)
    if config.kind == "frozen":
        inside = {m for context in context_blocks(model).values() for m in context.modules()}
        freeze_norms(module for module in model.modules() if module not in inside)
    elif config.kind == "sync" and gpu:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    elif config.kind == "sync":
        synchronise_on_cpu(model)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that stays in eval mode."""

    def train(self, _mode: bool = True) -> "FrozenBatchNorm2d":
        """Nothing changes."""
        return super().train(False)


class FrozenBatchNorm3d(nn.BatchNorm3d):
    """Batch norm that stays in eval mode."""

    def train(self, _mode: bool = True) -> "FrozenBatchNorm3d":
        """Nothing changes."""
        return super().train(False)


FROZEN: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: FrozenBatchNorm2d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
}


def freeze_norms(modules: Iterable[nn.Module]) -> None:
    """Let the batch norms among `modules` use their running statistics, without gradients.

    Names, parameters and hooks stay. Only the class of a module changes, so `train()` of the
    network cannot undo it.
    """
    for module in modules:
        if type(module) in FROZEN:
            module.__class__ = FROZEN[type(module)]
            module.train(False)
            module.requires_grad_(False)
