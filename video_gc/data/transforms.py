"""From uint8 clips to what the network sees, batched, on the training device.

A frame of 4:2:0 planes is uint8 (3 H / 2, W): H rows of luma, then U and V, each H/2 × W/2 and read
row by row. Chroma lies beside the left one of two lumas and between two rows (MPEG-2, H.264's
default siting) and is interpolated linearly. Coefficients: ITU-R BT.601, BT.709, BT.2020, SMPTE
240M.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from video_gc.data.augment import AugmentConfig, augment_clips

KR_KB = ((0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593), (0.212, 0.087))
"""Shares of red and blue in luma, in the order of `reading.MATRICES`."""


@dataclass(kw_only=True)
class Normalisation:
    """Per-channel mean and standard deviation of RGB in 0…1."""

    mean: list[float] = field(default_factory=lambda: [0.45, 0.45, 0.45])
    std: list[float] = field(default_factory=lambda: [0.225, 0.225, 0.225])
    subtract_mean_frame: bool = False
    """subtract the mean frame of each clip; this removes still objects and the colours of the
    place"""

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
    """uint8 (N, T, H, W, 3) → normalised float (N, 3, T, H, W), mirrored where `flips` is set.

    Clips of 4:2:0 planes (N, T, 3 H / 2, W) become RGB by their `colours` (N,). `augment` changes
    each clip by its seed in `seeds` (N,). Keep flips, colours and seeds on the CPU: the host reads
    them. The result is a channels-last view, so moving the channels copies nothing.
    `subtract_mean_frame` subtracts the clip's mean frame and divides by `std` only.

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


def planes_to_rgb(planes: Tensor, colours: Tensor, *, rounded: bool = False) -> Tensor:
    """uint8 planes (N, T, 3 H / 2, W) → RGB (N, T, H, W, 3) in 0…255.

    colours: (N,) numbers of `reading.colour_code`. The result is float32, or with `rounded` uint8.
    """
    number, frames, rows, width = planes.shape
    height = rows * 2 // 3
    luma = planes[:, :, :height].float()
    chroma = planes[:, :, height:].reshape(number * frames, 2, height // 2, width // 2).float()
    chroma = upsample(chroma).reshape(number, frames, 2, height, width)
    u, v = chroma[:, :, 0], chroma[:, :, 1]
    table = torch.tensor([_coefficients(code) for code in range(2 * len(KR_KB))])
    chosen = table[colours.cpu()].to(planes.device, non_blocking=True).view(number, -1, 1, 1, 1)
    black, scale, r_v, g_u, g_v, b_u = chosen.unbind(1)
    light = (luma - black) * scale
    u, v = u - 128, v - 128
    rgb = torch.stack([light + r_v * v, light + g_u * u + g_v * v, light + b_u * u], dim=-1)
    rgb = rgb.clamp_(0, 255)
    return rgb.round_().to(torch.uint8) if rounded else rgb


def upsample(chroma: Tensor) -> Tensor:
    """(N, 2, H/2, W/2) → (N, 2, H, W): interpolated between rows, and from the left column."""
    tall = F.interpolate(chroma, scale_factor=(2.0, 1.0), mode="bilinear", align_corners=False)
    right = torch.cat([tall[..., 1:], tall[..., -1:]], dim=-1)
    return torch.stack([tall, (tall + right) / 2], dim=-1).flatten(-2)


def _coefficients(code: int) -> list[float]:
    """Black, scale of luma, and the weights of V and U: V in red, U and V in green, U in blue."""
    kr, kb = KR_KB[code // 2]
    kg = 1 - kr - kb
    full = code % 2
    scale, swing = (1.0, 1.0) if full else (255 / 219, 255 / 224)
    red, blue = 2 * (1 - kr) * swing, 2 * (1 - kb) * swing
    return [0.0 if full else 16.0, scale, red, -blue * kb / kg, -red * kr / kg, blue]
