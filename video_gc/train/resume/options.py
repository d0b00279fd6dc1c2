"""When checkpoints are written, and how many are kept."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class CheckpointConfig:
    """When checkpoints are written beside those at the end of each epoch."""

    every_steps: int | None = None
    """steps of the optimiser from one to the next"""
    every_minutes: float | None = 5.0
    """minutes from one to the next; 34 M parameters are written in one to five seconds"""
    keep: int = 2
    """the newest so many are kept, beside the best"""

    def __post_init__(self) -> None:
        for name in ("every_steps", "every_minutes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"checkpoint.{name} ({value}) must be above 0, or null")
        if self.keep < 1:
            raise ValueError(f"checkpoint.keep ({self.keep}) must be at least 1")
