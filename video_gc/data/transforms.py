"""From uint8 clips to what the network sees, batched, on the training device."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from video_gc.data.augment import AugmentConfig, augment_clips
from video_gc.data.colour import planes_to_rgb


@dataclass(kw_only=True)
class Normalisation:
    """Per-channel mean and standard deviation of RGB in 0…1."""

    mean: list[float] = field(default_factory=lambda: [0.45, 0.45, 0.45])
    std: list[float] = field(default_factory=lambda: [0.225, 0.225, 0.225])
    subtract_mean_frame: bool = False
    """take the mean of a clip's frames away from each: what stands still vanishes, and with it the
    colour of the place; the network sees what moves"""

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"normalisation needs 3 means and 3 deviations above 0, not {self.mean}, {self.std}"
            )


def prepare_clips(
    clips: Tensor,
    normalisation: Normalisation,
    flips: Tensor | None = None,
    *,
    colours: Tensor | None = None,
    augment: AugmentConfig | None = None,
    seeds: Tensor | None = None,
) -> Tensor:
    """uint8 (N, T, H, W, 3) → float (N, 3, T, H, W), normalised; clips where `flips` is mirrored.

    Clips of 4:2:0 planes (N, T, 3 H / 2, W) become RGB as `colours` (N,) say. With `augment` each
    clip is then augmented as its seed in `seeds` (N,) decides. Flips, colours and seeds are best on
    the CPU: the host reads them.
    The result is a channels-last view: no copy is made to move the channels.
    With `subtract_mean_frame` a clip's frames are its deviations from their mean, over `std`.

    Raises ValueError where colours or seeds are missing.
    """
    augmented = augment is not None and augment.per_clip
    if clips.ndim == 4:
        if colours is None:
            raise ValueError("clips of 4:2:0 planes need the colours of their batch")
        clips = planes_to_rgb(clips, colours, rounded=augmented)
    if flips is not None and flips.any():
        mirrored = flips.to(clips.device, non_blocking=True).view(-1, 1, 1, 1, 1)
        clips = torch.where(mirrored, clips.flip(3), clips)
    if augment is not None and augmented:
        if seeds is None:
            raise ValueError("augmentation needs the seeds of the batch")
        fill = [round(255 * mean) for mean in normalisation.mean]
        clips = augment_clips(clips, seeds, augment, fill)
    std = clips.new_tensor(normalisation.std, dtype=torch.float32) * 255
    clips = clips.float()
    if normalisation.subtract_mean_frame:
        mean = clips.mean(1, keepdim=True)
    else:
        mean = clips.new_tensor(normalisation.mean) * 255
    return ((clips - mean) / std).permute(0, 4, 1, 2, 3)
