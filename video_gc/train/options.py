"""The options of a training run."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch

from video_gc.data.augment import AugmentConfig
from video_gc.data.batches.sampler import videos_of
from video_gc.data.config import DataConfig
from video_gc.data.divide import read_fold
from video_gc.data.reading import Decoding
from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation
from video_gc.deploy.choices import PRECISIONS
from video_gc.models.build import ModelConfig
from video_gc.train.recipe.norms import NormConfig
from video_gc.train.recipe.optim import OptimConfig
from video_gc.train.view_options import ViewConfig

ACCELERATORS = ("auto", "cpu", "gpu")
LOGGERS = ("tensorboard", "wandb")
STRATEGIES = ("ddp", "fsdp")
LEAST = {"epochs": 1, "steps": 1, "steps_per_epoch": 1, "batch_size": 1, "accumulate": 1, "seed": 0}
"""Counts → the least; `config.values` reads it from this source, without torch."""


@dataclass(kw_only=True)
class CheckpointConfig:
    """When to write checkpoints, beside those at the end of each epoch."""

    every_steps: int | None = None
    """optimiser steps between two checkpoints"""
    every_minutes: float | None = 5.0
    """minutes between two checkpoints; writing 34 M parameters takes one to five seconds"""
    keep: int = 2
    """how many of the newest checkpoints to keep, beside the best"""

    def __post_init__(self) -> None:
        for name in ("every_steps", "every_minutes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"checkpoint.{name} ({value}) must be above 0, or null")
        if self.keep < 1:
            raise ValueError(f"checkpoint.keep ({self.keep}) must be at least 1")


@dataclass(frozen=True)
class Length:
    """The length of a training."""

    epochs: int
    """the last may be incomplete"""
    steps_per_epoch: int
    steps: int
    """optimiser steps in total"""


@dataclass(kw_only=True)
class TrainConfig:
    """All options of one training run."""

    name: str = "demo"
    """the run's name; its directory is RUNS/NAME, of a fold RUNS/NAME_fold0of5"""
    runs: str = "runs"
    """folder of all runs"""
    seed: int = 0
    """seed of the weights, the order of the videos, the clips and the crops"""
    fold: str | None = None
    """NUMBER/COUNT, such as 0/5: test on this fold of the videos, choose the epoch on a fifth of
    the others and train on the rest; the directory is RUNS/NAME_fold0of5"""
    resume: bool = True
    """resume from the last checkpoint if there is one; false: refuse a run that exists"""
    epochs: int = 10
    """passes over the training videos"""
    steps: int | None = None
    """end after so many optimiser steps; overrides `epochs`"""
    batch_size: int = 8
    """clips in one optimiser step, over all processes"""
    accumulate: int = 1
    """parts of a step's clips, computed one after another: less memory"""
    label_smoothing: float = 0.0
    """in [0, 1)"""
    class_weights: str | None = None
    """balanced: in the loss, clips of a class with few training videos count more, so that all
    classes count alike; null: all clips count alike"""
    precision: str = "auto"
    """fp32, bf16 (mixed), or auto: bf16 on a GPU or CPU that multiplies it (on a CPU only if the
    network and the batch are large enough to gain), else fp32"""
    accelerator: str = "auto"
    """auto, cpu or gpu"""
    compile: bool = False
    """torch.compile the network: minutes at the start, faster steps"""
    activation_checkpointing: bool = False
    """recompute the inside of each residual block in the backward pass: less memory, slower"""
    ema: float | None = None
    """decay per step of averaged weights, such as 0.999; tested beside the raw weights"""
    steps_per_epoch: int | None = None
    """end each epoch after so many steps, for a quick look; default: all videos"""
    logger: str = "tensorboard"
    """tensorboard, or wandb (an extra): also Weights & Biases; the CSV log is always written"""
    strategy: str = "ddp"
    """for several processes: ddp, or fsdp (FSDP2), which divides the weights among them"""
    model: ModelConfig = field(default_factory=ModelConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    test: ViewConfig = field(default_factory=ViewConfig)
    norm: NormConfig = field(default_factory=NormConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    normalisation: Normalisation = field(default_factory=Normalisation)

    def __post_init__(self) -> None:
        for name, choices in (
            ("precision", PRECISIONS),
            ("accelerator", ACCELERATORS),
            ("logger", LOGGERS),
            ("strategy", STRATEGIES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} ({getattr(self, name)!r}) must be one of {', '.join(choices)}"
                )
        for name, least in LEAST.items():
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name} ({value}) must be at least {least}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema ({self.ema}) must be between 0 and 1, or null")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing ({self.label_smoothing}) must be in [0, 1)")
        if self.class_weights not in (None, "balanced"):
            raise ValueError(f"class_weights ({self.class_weights!r}) must be balanced, or null")
        if self.class_weights and self.data.multi_label:
            raise ValueError(
                "class_weights (balanced): videos with several labels (data.multi_label) are of no "
                "one class; leave it out"
            )
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise ValueError("accelerator (gpu): there is no CUDA device here; use cpu or auto")
        if self.fold is not None:
            read_fold(self.fold)
        if self.name in ("", ".", "..") or set(self.name) & set("/\\"):
            raise ValueError(f"name ({self.name!r}) must be the name of one folder")
        self.check_inputs()

    def check_inputs(self, processes: int = 1) -> None:
        """Raise ValueError for options that do not fit together or not this machine."""
        videos_of(self.batch_size, self.clip.repeats, processes, self.accumulate)
        decoding_of(self.data).check_even(self.clip, "crop", "test_crop", "test_short_side")

    @property
    def directory(self) -> Path:
        """The run directory; each fold has its own."""
        suffix = read_fold(self.fold).suffix if self.fold else ""
        return Path(self.runs) / f"{self.name}{suffix}"

    def length(self, batches: int) -> Length:
        """The length of the training. batches: of the loader, in one epoch."""
        per_epoch = math.ceil(batches / self.accumulate)
        per_epoch = min(per_epoch, self.steps_per_epoch or per_epoch)
        if self.steps is None:
            return Length(self.epochs, per_epoch, self.epochs * per_epoch)
        return Length(math.ceil(self.steps / per_epoch), per_epoch, self.steps)


def decoding_of(data: DataConfig) -> Decoding:
    """How to read the videos. Raises ValueError if this machine cannot."""
    return Decoding(data.decoder, data.decode_device, data.transfer, data.max_pixels)
