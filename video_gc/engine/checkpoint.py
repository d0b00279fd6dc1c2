"""What a checkpoint carries beside weights: all that testing and prediction need."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from video_gc.data.sampling import ClipConfig
from video_gc.data.transforms import Normalisation
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig

KEY = "video_gc"


@dataclass(frozen=True)
class CheckpointContents:
    """The network's description."""

    model: ModelConfig
    clip: ClipConfig
    normalisation: Normalisation
    names: list[str]
    """class names, in order"""
    config: dict[str, Any]
    """the whole resolved training config"""


class DescribeCheckpoint(pl.Callback):
    """Lightning callback: write the description into each checkpoint."""

    def __init__(self, contents: CheckpointContents) -> None:
        self.contents = contents

    def on_save_checkpoint(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning: called before a checkpoint is written."""
        checkpoint[KEY] = asdict(self.contents)


def default_output(checkpoint: Path, name: str) -> Path:
    """RUN/name for a checkpoint in a run directory, ./name for one that lies elsewhere."""
    run = checkpoint.resolve().parent.parent
    if not (run / "config.yaml").is_file():
        return Path(name)
    return checkpoint.parent.parent / name


def load_network(path: str | os.PathLike[str]) -> tuple[nn.Module, CheckpointContents]:
    """The network of a checkpoint of ours, in eval mode on the CPU, and its description.

    Raises FileNotFoundError, or ValueError for a file that is no such checkpoint or whose weights
    do not fit its own description.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{os.fspath(path)}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        kept = checkpoint[KEY]
    except Exception as error:  # torch.load has no error of its own for a foreign file
        raise ValueError(
            f"{os.fspath(path)}: not a checkpoint of tools/train.py ({type(error).__name__})"
        ) from error
    model_config = dict(kept["model"])
    model_config["context"] = ContextConfig(**model_config["context"])
    model_config["more_context"] = [ContextConfig(**c) for c in model_config["more_context"]]
    contents = CheckpointContents(
        model=ModelConfig(**model_config),
        clip=ClipConfig(**kept["clip"]),
        normalisation=Normalisation(**kept["normalisation"]),
        names=kept["names"],
        config=kept["config"],
    )
    model = build_model(replace(contents.model, weights=None))
    state = {
        name.removeprefix("model."): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith("model.")
    }
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:200]
        raise ValueError(
            f"{os.fspath(path)}: its weights are of another architecture or class count ({reason})"
        ) from error
    return model.eval(), contents
