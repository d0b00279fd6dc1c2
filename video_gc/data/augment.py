"""Augmentation on the training device, clip by clip, with torchvision.transforms.v2.

A v2 transform draws once per batch, and for a video (T, C, H, W) once for all its frames. So each
clip is transformed alone, and its frames change together. The data set draws mirroring and
everything that decides which pixels are decoded. Mixup and cutmix blend a batch with itself, once
per batch.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

MAGNITUDES = 31  # steps of torchvision's RandAugment
SIDE = re.compile(r"(left|right)(s|most|wards?|hand(ed)?)?|(anti|counter)?clockwise")


@dataclass(kw_only=True)
class AugmentConfig:
    """Changes of a training clip besides cropping and mirroring; none by default."""

    brightness: float = 0.0
    """colour jitter: a factor from 1 - x to 1 + x, drawn once per clip; likewise the next two"""
    contrast: float = 0.0
    """colour jitter: see brightness"""
    saturation: float = 0.0
    """colour jitter: see brightness"""
    hue: float = 0.0
    """colour jitter: rotation of the hue from -x to x, at most 0.5"""
    grey: float = 0.0
    """probability that a clip becomes grey"""
    randaugment: int = 0
    """operations of RandAugment per clip (Cubuk et al., 2020); 2 is usual"""
    magnitude: int = 9
    """strength of RandAugment, 0…30"""
    erase: float = 0.0
    """probability that a box of the clip, the same in all frames, becomes grey"""
    mixup: float = 0.0
    """α of mixup (Zhang et al., 2018), which blends a batch with itself; 0.8 is usual, 0 is off"""
    cutmix: float = 0.0
    """α of cutmix (Yun et al., 2019); if mixup is on too, one of them is drawn for each batch"""

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"augment.{name} ({getattr(self, name)}) must not be negative")
        for name, least, most in (
            ("hue", 0, 0.5),
            ("grey", 0, 1),
            ("erase", 0, 1),
            ("randaugment", 0, 14),
            ("magnitude", 0, MAGNITUDES - 1),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"augment.{name} ({value}) must be in [{least}, {most}]")

    @property
    def per_clip(self) -> bool:
        """Whether single clips are changed."""
        return any((self.jitter, self.grey, self.randaugment, self.erase))

    @property
    def jitter(self) -> bool:
        """Whether colours are changed."""
        return any((self.brightness, self.contrast, self.saturation, self.hue))


def augment_clips(
    clips: Tensor, seeds: Tensor, config: AugmentConfig, fill: Sequence[int] = (115, 115, 115)
) -> Tensor:
    """uint8 (N, T, H, W, 3) → the same shape, each clip changed by its seed alone.

    seeds: int64 (N,), from (seed, epoch, index). fill: the grey of erased boxes and of the empty
    corners of rotated pictures. The transforms always draw from torch's CPU generator;
    `drawing_from` restores its state.
    """
    transform = build_transform(config, fill)
    out = torch.empty_like(clips)
    for number, seed in enumerate(seeds.tolist()):
        with drawing_from(seed):
            video = tv_tensors.Video(clips[number].permute(0, 3, 1, 2))
            out[number] = transform(video).as_subclass(Tensor).permute(0, 2, 3, 1)
    return out


def build_transform(config: AugmentConfig, fill: Sequence[int]) -> v2.Transform:
    """The transforms of a video (T, 3, H, W), in order: colours, grey, RandAugment, erasing."""
    steps: list[v2.Transform] = []
    if config.jitter:
        steps.append(
            v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
        )
    if config.grey:
        # not v2.RandomGrayscale: it leaves a Video unchanged (torchvision 0.29)
        steps.append(v2.RandomApply([v2.ColorJitter(saturation=(0.0, 0.0))], config.grey))
    if config.randaugment:
        steps.append(
            v2.RandAugment(config.randaugment, config.magnitude, MAGNITUDES, fill=list(fill))
        )
    if config.erase:
        steps.append(v2.RandomErasing(config.erase, value=list(fill)))
    return v2.Compose(steps) if steps else v2.Identity()


def mix_clips(
    clips: Tensor, labels: Tensor, config: AugmentConfig, *, classes: int, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Blend each clip with its neighbour in the batch; (seed, step) alone decide how.

    clips: float (N, 3, T, H, W). labels: int64 (N,), or multi-hot (N, classes).
    Returns the mixed clips and their labels, float (N, classes): shares of each class. Without
    mixup and cutmix both are returned unchanged. All frames of a clip are mixed equally; cutmix
    uses the same box in all of them.
    """
    if not config.mixup and not config.cutmix:
        return clips, labels
    targets = labels if labels.ndim == 2 else F.one_hot(labels, classes).to(clips.dtype)
    with drawing_from(int(np.random.default_rng((seed, step)).integers(2**63))):
        cut = config.cutmix and (not config.mixup or bool(torch.rand(()) < 0.5))
        mix = v2.CutMix(alpha=config.cutmix) if cut else v2.MixUp(alpha=config.mixup)
        video, mixed = mix(tv_tensors.Video(clips.transpose(1, 2)), targets)
    out = video.as_subclass(Tensor).transpose(1, 2)
    return out.contiguous(memory_format=torch.channels_last_3d), mixed  # as prepare_clips gives


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Let torch's CPU generator draw from `seed` in the block, then restore its state.

    torch.manual_seed would also seed every GPU's generator, and dropout would repeat.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def sided_labels(names: Sequence[str]) -> list[int]:
    """The numbers of the classes whose names have a side: left, right, clockwise and the like.

    Mirroring would change such a clip's class, so it is never mirrored.
    """
    return [
        number
        for number, name in enumerate(names)
        if any(SIDE.fullmatch(word) for word in re.findall(r"[a-z]+", _spaced(name)))
    ]


def some_names(names: Sequence[str], numbers: Sequence[int]) -> str:
    """Up to four of these classes by name, and their number."""
    shown = ", ".join(names[n] for n in numbers[:4]) + (", …" if len(numbers) > 4 else "")
    return f"{shown} ({len(numbers)} of {len(names)} classes)"


def _spaced(name: str) -> str:
    """SwipeLeft → swipe left."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
