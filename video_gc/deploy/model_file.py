"""A network in a file, opened by its runtime."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from video_gc.deploy.choices import FORMATS

INPUT, OUTPUT = "clips", "logits"
"""Names of the network's input and output in the file."""
WEIGHTS, PRECISION = "video_gc.weights", "video_gc.precision"
"""Names of two notes in the file: the contract's hash of the weights, and fp32, fp16 or int8."""


@dataclass(frozen=True)
class ModelFile:
    """An opened file."""

    call: Callable[[Tensor], Tensor]
    """clips (n, 3, T, H, W) in fp32 → logits (n, classes) in fp32; n as `shape` says"""
    shape: tuple[int | None, ...]
    """of the input; None: any size"""
    classes: int | None
    """number of outputs"""
    notes: Mapping[str, str]
    """what `video_gc` wrote into the file; empty for a file of another program"""

    def run(self, clips: Tensor) -> Tensor:
        """Any number of clips → logits; a file with a fixed batch is called for each clip."""
        if self.shape[0] is None:
            return self.call(clips)
        return torch.cat([self.call(clip) for clip in clips.split(1)])


def not_a_model(file: Path, kind: str, error: Exception) -> ValueError:
    """The error of a file that its runtime cannot open."""
    lines = [
        line
        for line in str(error).splitlines()
        if line.strip() and not line.startswith(("Exception from", "Check '"))  # OpenVINO's source
    ] or [type(error).__name__]
    return ValueError(f"{file}: not {kind}, or a damaged one ({lines[0][:200]})")


def files_hash(file: Path) -> str:
    """16 hexadecimal digits of the model's files."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (file, file.with_suffix(".bin")):
        if part.suffix == file.suffix or file.suffix == FORMATS["openvino"]:
            with part.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, hashlib.blake2b).digest())
    return digest.hexdigest()
