"""Which of a checkpoint's weights are tested: the raw ones, their moving average, or both."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from video_gc.train.checkpoint import (
    CheckpointContents,
    is_published,
    load_network,
    network_of,
    read_checkpoint,
)
from video_gc.train.recipe.averaging import kept_weights

WEIGHTS = ("ema", "raw")
"""The first that a checkpoint has is the one whose results are not in a folder of their own."""


def load_networks(
    checkpoint: Path, weights: str | None = None
) -> tuple[dict[str, nn.Module], CheckpointContents]:
    """Name (ema, raw) → network, and the description of the checkpoint, which is read once.

    weights: raw, ema, or both; without it, all that the checkpoint has. Raises as `load_network`,
    and ValueError for EMA weights that are not there.
    """
    published = is_published(checkpoint)
    if published:
        kept = ["raw"]
    else:
        contents, state = read_checkpoint(checkpoint)
        kept = kept_weights(state) or ["raw"]  # `network_of` says what is wrong with none
    if weights is None:
        asked = [name for name in WEIGHTS if name in kept]
    else:
        asked = list(WEIGHTS) if weights == "both" else [weights]
    if "ema" in asked and "ema" not in kept:
        raise ValueError(f"{checkpoint}: has no EMA weights (train with ema=0.999); test raw")
    if published:
        model, contents = load_network(checkpoint)
        return {"raw": model}, contents
    return {name: network_of(checkpoint, contents, state, name) for name in asked}, contents


def weights_hash(network: nn.Module) -> str:
    """16 hexadecimal digits that change with any weight or buffer."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(content.numpy().data)
    return digest.hexdigest()
