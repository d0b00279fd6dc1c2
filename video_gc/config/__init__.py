"""The typed options under Hydra: one training, and the sweep of an ablation."""

from video_gc.config.train import compose_train, hydra_arguments, train_config, training_help
from video_gc.manual import CONFIGS

__all__ = ["CONFIGS", "compose_train", "hydra_arguments", "train_config", "training_help"]
