"""The way from uint8 to the network."""

import pytest
import torch

from video_gc.data.augment import AugmentConfig
from video_gc.data.transforms import Normalisation, prepare_clips


def test_prepare_clips_normalises_flips_and_moves_no_channel() -> None:
    clips = torch.randint(0, 256, (2, 3, 4, 5, 3), dtype=torch.uint8)
    normalisation = Normalisation(mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
    out = prepare_clips(clips, normalisation, torch.tensor([False, True]))
    assert out.shape == (2, 3, 3, 4, 5)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    for channel in range(3):
        expected = (clips[..., channel] / 255 - normalisation.mean[channel]) / normalisation.std[
            channel
        ]
        torch.testing.assert_close(out[0, channel], expected[0])
        torch.testing.assert_close(out[1, channel], expected[1].flip(2))


def test_augmentation_comes_before_normalisation_and_erases_to_the_mean() -> None:
    clips = torch.full((3, 2, 16, 16, 3), 200, dtype=torch.uint8)
    normalisation = Normalisation()
    augment, seeds = AugmentConfig(erase=1.0), torch.tensor([1, 2, 3])
    out = prepare_clips(clips, normalisation, augment=augment, seeds=seeds)
    erased = out.abs() < 0.01  # 0 is the mean
    assert erased.flatten(1).any(1).all()
    assert not erased.flatten(1).all(1).any()
    nothing = prepare_clips(clips, normalisation, augment=AugmentConfig(), seeds=seeds)
    assert torch.equal(nothing, prepare_clips(clips, normalisation))
    with pytest.raises(ValueError, match="augmentation needs the seeds"):
        prepare_clips(clips, normalisation, augment=augment)


def test_what_stands_still_vanishes_with_the_mean_frame() -> None:
    torch.manual_seed(0)
    moving = torch.randint(0, 100, (2, 4, 5, 6, 3), dtype=torch.uint8)
    place = torch.randint(0, 150, (2, 1, 5, 6, 3), dtype=torch.uint8)
    normalisation = Normalisation(subtract_mean_frame=True, std=[0.5, 0.6, 0.7])
    out = prepare_clips(moving + place, normalisation)
    torch.testing.assert_close(out, prepare_clips(moving, normalisation), atol=1e-5, rtol=0)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    deviation = (moving.double() - moving.double().mean(1, keepdim=True)) / 255
    expected = (deviation / torch.tensor(normalisation.std)).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=0)


def test_impossible_normalisation() -> None:
    with pytest.raises(ValueError, match="3 means and 3 deviations above 0"):
        Normalisation(std=[0.2, 0.0, 0.2])
