"""All that the scores of a video depend on: a test goes on only where nothing of it changed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import nn

from video_gc.data.batches.view_batches import micro_batch_size
from video_gc.data.dataset import VideoViews
from video_gc.data.index import VideoIndex
from video_gc.evaluate.tested_weights import weights_hash
from video_gc.train.checkpoint import CheckpointContents
from video_gc.train.test_options import ViewConfig


def identity_of(
    models: Mapping[str, nn.Module],
    contents: CheckpointContents,
    views: VideoViews,
    config: ViewConfig,
    precision: str,
    device: torch.device,
    files: str,
) -> dict[str, str]:
    """What → a text that differs where it does.

    precision: fp32 or bf16, and the backend. files: the fingerprint of the videos.
    """
    every = config.clips * config.crops
    return {
        "weights": " ".join(f"{name}:{weights_hash(model)}" for name, model in models.items()),
        "network": json.dumps(asdict(contents.model)),
        "clip": json.dumps([asdict(contents.clip), asdict(contents.normalisation)]),
        "views": f"{config.clips} × {config.crops}, {config.fuse}",
        "micro-batches": str(micro_batch_size(every, config.micro_batch)),
        "precision": precision,
        "device": device.type,
        "decoder": json.dumps(asdict(views.decoding)),
        "files": files,
        "list of videos": _hash_of(views.index),
    }


def _hash_of(index: VideoIndex) -> str:
    """Of paths, labels and segments in their order: a kept row number means the same video."""
    digest = hashlib.blake2b(digest_size=8)
    for column in (index.table["path"], index.joined_names()):
        digest.update("\n".join(column.to_pylist()).encode())
    digest.update(repr([index.names, index.segments()]).encode())
    return digest.hexdigest()
