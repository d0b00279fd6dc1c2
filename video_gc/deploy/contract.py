"""The contract of a network: what it expects of its input, and what it gives back.

It is in every checkpoint, and in a file `model.json` beside every exported model. Whoever feeds the
model needs nothing else.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from video_gc.atomic import atomic_path

SAME_RATE = 0.01
"""Rates that differ less count as one: 29.97 and 30 Hz."""
CHOICES = {
    "sampling": ("dense", "segments"),
    "offsets": ("mmaction2", "pyslowfast"),
    "past_end": ("repeat", "loop"),
    "colour": ("RGB",),
    "layout": ("NCTHW",),
    "output": ("logits",),
}
"""Field of a contract → its values that are supported."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Input: RGB clips (N, C, T, H, W), float32 from uint8 / 255, then (x − mean) / std.

    Output: (N, classes).
    """

    names: list[str]
    """class names, in the order of the output"""
    frames: int
    """T, frames in a clip"""
    stride: int
    """τ, distance of the clip's frames, in frames at `fps`"""
    fps: float | None
    """frame rate that stride counts in, Hz: the training's; None: it is unknown or mixed, and
    stride counts each video's own frames"""
    short_side: int
    """pixels of the shorter side after scaling: bilinear over the area of a pixel"""
    crop: int
    """height and width of the centre crop, pixels"""
    mean: list[float]
    """of each colour, in 0…1"""
    std: list[float]
    """of each colour, in 0…1"""
    subtract_mean_frame: bool = False
    """subtract the clip's own mean frame instead of `mean`"""
    sampling: str = "dense"
    """dense: T frames, τ apart; segments: one frame of each of T equal parts of the video"""
    offsets: str = "mmaction2"
    """frames that a clip spans: (T − 1)·τ + 1 (mmaction2), or T·τ (pyslowfast)"""
    past_end: str = "repeat"
    """in a video shorter than a clip: repeat the last frame, or loop"""
    colour: str = "RGB"
    layout: str = "NCTHW"
    multi_label: bool = False
    """several labels per video: the probability of a class is the sigmoid of its logit; otherwise
    softmax"""
    output: str = "logits"
    """logits: probabilities are up to the caller"""
    weights: str = ""
    """SHA-256 of the weights, see `hash_weights`"""
    versions: dict[str, str]
    """of video_gc and torch"""

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "short_side", "crop"):
            if getattr(self, name) < 1:
                raise ValueError(f"contract: {name} ({getattr(self, name)}) must be at least 1")
        if self.fps is not None and not self.fps > 0:
            raise ValueError(f"contract: fps ({self.fps}) must be above 0")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"contract: {name} ({getattr(self, name)!r}) must be {' or '.join(choices)}"
                )
        for name in ("mean", "std"):
            if len(getattr(self, name)) != 3:
                raise ValueError(f"contract: {name} ({getattr(self, name)}) must have 3 numbers")
        if not self.names:
            raise ValueError("contract: names is empty; it must have a name for each class")

    @property
    def clip_shape(self) -> tuple[int, int, int]:
        """(T, H, W) of a clip."""
        return self.frames, self.crop, self.crop

    @property
    def seconds(self) -> float | None:
        """Time from the first frame of a clip to the last; None if the rate is unknown."""
        if self.fps is None or self.sampling == "segments":
            return None
        steps = (self.frames - 1) * self.stride
        if self.offsets == "pyslowfast" and self.frames > 1:  # spread over T·τ frames
            steps = self.frames * self.stride - 1
        return steps / self.fps

    @property
    def about_time(self) -> str:
        """How a video is sampled, in a sentence."""
        if self.sampling == "segments":
            return f"{self.frames} frames spread over the whole video"
        clip = f"clips of {self.frames}×{self.stride} frames"
        if self.seconds is None:
            return f"{clip} at each video's own frame rate: the training's is unknown or mixed"
        return f"{clip} at {self.fps:g} Hz as in training, {self.seconds:.2f} s"

    @property
    def clip_options(self) -> dict[str, Any]:
        """The fields that `ClipConfig` has too, in its words."""
        return {
            "frames": self.frames,
            "stride": self.stride,
            "sampling": self.sampling,
            "offsets": self.offsets,
            "past_end": self.past_end,
            "test_crop": self.crop,
            "test_short_side": self.short_side,
        }

    def differs(self, rate: float) -> bool:
        """Whether a video of `rate` Hz must be sampled by time to show the network `seconds`."""
        return self.fps is not None and abs(rate / self.fps - 1) > SAME_RATE


def write_contract(contract: Contract, file: Path) -> Path:
    """Write it as JSON."""
    with atomic_path(file) as part:
        text = json.dumps(asdict(contract), indent=2, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")
    return file


def read_contract(file: str | os.PathLike[str]) -> Contract:
    """Read `model.json`.

    Raises FileNotFoundError; ValueError, naming the file, if it is none.
    """
    try:
        return contract_from(json.loads(Path(file).read_text(encoding="utf-8")))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{os.fspath(file)}: not the contract of a model ({error})") from error


def contract_from(kept: Mapping[str, Any]) -> Contract:
    """The contract of a dictionary; entries that this version does not know are left out."""
    known = {field.name for field in fields(Contract)}
    return Contract(**{name: value for name, value in kept.items() if name in known})


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of name, type, shape and bytes of each tensor, in the order of the names."""
    digest = hashlib.sha256()
    digest_weights(digest, sorted(state.items()))
    return digest.hexdigest()


def digest_weights(digest: Any, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Feed name, type, shape and bytes of each tensor to a hash of hashlib's."""
    for name, value in weights:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(content.numpy().data)
