"""Mixup and cutmix of a batch with itself, once per batch, with torchvision.transforms.v2."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from video_gc.data.augment import AugmentConfig, drawing_from


def mix_clips(
    clips: Tensor, labels: Tensor, config: AugmentConfig, *, classes: int, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Blend each clip with its neighbour in the batch; (seed, step) alone decide how.

    clips: float (N, 3, T, H, W). labels: int64 (N,), or multi-hot (N, classes).
    Returns the mixed clips and their labels, float (N, classes): shares of each class. Without
    mixup and cutmix both come back as they are. Every frame of a clip is mixed alike, a box of
    cutmix is the same in all of them.
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
