"""The peer of our networks on few real clips (docs/results.md): a plain 3D CNN of 7 convolutions.

It uses the training loop and data of video-gc train and the scoring of video-gc test; only the
network differs. Options are those of video-gc train:

    python tools/benchmarks/peers/plain_cnn.py data=list data.root=DIR data.train=… name=plain

Its checkpoints are its own: video-gc test cannot open them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from torch import nn

from video_gc.cli import run_tool
from video_gc.config import compose_train
from video_gc.evaluate.evaluate import evaluate
from video_gc.models.build import ModelConfig
from video_gc.progress import say
from video_gc.train.loop import train

FIRST = 16
"""Channels of the first convolution."""
LAYERS = (  # channels as multiples of FIRST, stride in T, H and W
    (1, (1, 2, 2)),
    (2, (1, 2, 2)),
    (2, (1, 1, 1)),
    (4, (2, 2, 2)),
    (4, (1, 1, 1)),
    (8, (2, 2, 2)),
    (8, (1, 1, 1)),
)


def plain_cnn(config: ModelConfig) -> nn.Sequential:
    """7 convolutions 3×3×3 with batch norm and ReLU, the mean over all positions, a linear layer.

    (N, 3, T, H, W) → logits (N, num_classes). Uses only classes and dropout of `config`.
    """
    layers: list[nn.Module] = []
    channels = 3
    for multiple, stride in LAYERS:
        wide = FIRST * multiple
        layers.append(nn.Conv3d(channels, wide, 3, stride, padding=1, bias=False))
        layers += [nn.BatchNorm3d(wide), nn.ReLU(inplace=True)]
        channels = wide
    head = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Dropout(config.dropout)]
    return nn.Sequential(*layers, *head, nn.Linear(channels, config.num_classes or 0))


def train_and_test(arguments: Sequence[str]) -> Path:
    """Train with these options of video-gc train, test the last weights; return the run."""
    config = compose_train(["context=none", *arguments])
    with (
        patch("video_gc.train.network.build_with_report", lambda c: (plain_cnn(c), None)),
        patch("video_gc.train.checkpoint.build_model", plain_cnn),
    ):
        directory = train(config)
        done = evaluate(directory / "checkpoints" / "last.ckpt")
    say(f"{done.title}: top-1 {done.result.video_level.figures['top-1']:.2%}")
    return directory


def main() -> None:
    """One run."""
    train_and_test(sys.argv[1:])


if __name__ == "__main__":
    run_tool(main, leave=False)
