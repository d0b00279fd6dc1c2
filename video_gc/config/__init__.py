"""The typed options under Hydra: one training, and the sweep of an ablation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from video_gc.config.train import compose_train, hydra_arguments, train_config, training_help

__all__ = ["compose_train", "hydra_arguments", "train_config", "training_help"]


def __getattr__(name: str) -> Any:
    # late, so that reading an ablation and refusing a wrong row need no torch
    if name in __all__:
        from video_gc.config import train

        return getattr(train, name)
    raise AttributeError(f"module 'video_gc.config' has no attribute {name!r}")
