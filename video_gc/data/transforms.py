"""From uint8 clips to what the network sees, batched, on the training device."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(kw_only=True)
class Normalisation:
    """Per-channel mean and standard deviation of RGB in 0…1."""

    mean: list[float] = field(default_factory=lambda: [0.45, 0.45, 0.45])
    std: list[float] = field(default_factory=lambda: [0.225, 0.225, 0.225])

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"normalisation needs 3 means and 3 deviations above 0, not {self.mean}, {self.std}"
            )


def prepare_clips(
    clips: Tensor, normalisation: Normalisation, flips: Tensor | None = None
) -> Tensor:
    """uint8 (N, T, H, W, 3) → float (N, 3, T, H, W), normalised; clips where `flips` is mirrored.

    The result is a channels-last view: no copy is made to move the channels.
    """
    if flips is not None and flips.any():
        clips = torch.where(flips.view(-1, 1, 1, 1, 1), clips.flip(3), clips)
    mean = clips.new_tensor(normalisation.mean, dtype=torch.float32) * 255
    std = clips.new_tensor(normalisation.std, dtype=torch.float32) * 255
    return ((clips.float() - mean) / std).permute(0, 4, 1, 2, 3)
