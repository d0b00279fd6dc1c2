"""Which of a checkpoint's weights are tested: the raw ones, their moving average, or both."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from video_gc.engine.checkpoint import CheckpointContents, is_published, load_network
from video_gc.engine.recipe.averaging import kept_weights
from video_gc.engine.resume.weights import SUFFIX

WEIGHTS = ("ema", "raw")
"""The first that a checkpoint has is the one whose results are not in a folder of their own."""


def load_networks(
    checkpoint: Path, weights: str | None = None
) -> tuple[dict[str, nn.Module], CheckpointContents]:
    """Name (ema, raw) → network, and the description of the checkpoint.

    weights: raw, ema, or both; without it, all that the checkpoint has. Raises as `load_network`,
    and ValueError for EMA weights that are not there.
    """
    networks: dict[str, nn.Module] = {}
    contents = None
    for name in WEIGHTS:
        if weights in (None, "both", name):
            try:
                networks[name], contents = load_one(checkpoint, name)
            except NoAverageError:
                if weights is not None:
                    raise
    assert contents is not None
    return networks, contents


class NoAverageError(ValueError):
    """A checkpoint of a training without `ema`."""


def load_one(checkpoint: Path, name: str) -> tuple[nn.Module, CheckpointContents]:
    """The network of a checkpoint with its raw or its ema weights. Raises as `load_networks`."""
    if name == "ema" and not _has_average(checkpoint):
        raise NoAverageError(f"{checkpoint}: has no EMA weights (train with ema=0.999); test raw")
    return load_network(checkpoint, weights=name)


def _has_average(checkpoint: Path) -> bool:
    """Also where `load_network` would find a file unusable, and say why."""
    if is_published(checkpoint) or checkpoint.suffix == SUFFIX or not checkpoint.is_file():
        return False
    try:
        kept = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return "ema" in kept_weights(kept["state_dict"])
    except Exception:  # torch.load has no error of its own for a foreign file
        return False


def weights_hash(network: nn.Module) -> str:
    """16 hexadecimal digits that change with any weight or buffer."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(content.numpy().data)
    return digest.hexdigest()
