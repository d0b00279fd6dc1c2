"""One draw per clip and none per frame, from the clip's seed alone; mixing from (seed, step)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import counted_frames
from video_gc.data.augment import (
    AugmentConfig,
    augment_clips,
    drawing_from,
    mix_clips,
    sided_labels,
)

KINDS = {
    "jitter": AugmentConfig(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    "grey": AugmentConfig(grey=0.5, brightness=0.4),
    "randaugment": AugmentConfig(randaugment=2, magnitude=15),
    "erase": AugmentConfig(erase=1.0),
    "all": AugmentConfig(brightness=0.4, randaugment=2, erase=0.5),
}


@pytest.fixture(scope="module")
def still() -> torch.Tensor:
    """Six equal clips, each of one frame that is repeated."""
    frame = torch.from_numpy(counted_frames(1, 32, 32))
    return frame.expand(6, 3, 32, 32, 3).contiguous()


@pytest.mark.parametrize("kind", KINDS)
def test_one_draw_per_clip_and_none_per_frame(still: torch.Tensor, kind: str) -> None:
    out = augment_clips(still, torch.arange(6), KINDS[kind])
    assert out.shape == still.shape
    assert out.dtype == torch.uint8
    assert all(torch.equal(clip[0], clip[frame]) for clip in out for frame in (1, 2))
    assert len({clip.numpy().tobytes() for clip in out}) >= 5  # draws differ from clip to clip


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_depends_on_its_seed_alone(still: torch.Tensor, kind: str) -> None:
    seeds = torch.tensor([5, 2**62, 7, 5, 9, 11])
    out = augment_clips(still, seeds, KINDS[kind])
    assert torch.equal(out[0], out[3])
    torch.manual_seed(99)
    torch.rand(17)  # what was drawn elsewhere must not matter
    again = augment_clips(still[2:4], seeds[2:4], KINDS[kind])
    assert torch.equal(again, out[2:4])


@settings(max_examples=20)
@given(st.integers(0, 2**63 - 1), st.integers(0, 1000))
def test_the_global_generators_go_on_where_they_were(seed: int, own: int) -> None:
    torch.manual_seed(own)
    np.random.seed(own)
    expected = torch.rand(3)
    torch.manual_seed(own)
    before = np.random.get_state()[1].tolist()
    clip = torch.zeros(1, 2, 16, 16, 3, dtype=torch.uint8)
    augment_clips(clip, torch.tensor([seed]), KINDS["all"])
    mix_clips(
        torch.zeros(2, 3, 2, 8, 8), torch.tensor([0, 1]), MIXES["both"], classes=2, seed=own, step=1
    )
    assert torch.equal(torch.rand(3), expected)
    assert np.random.get_state()[1].tolist() == before


def test_grey_clips_have_three_equal_channels_and_the_rest_is_untouched() -> None:
    clips = torch.randint(0, 256, (12, 2, 8, 8, 3), dtype=torch.uint8)
    out = augment_clips(clips, torch.arange(12), AugmentConfig(grey=0.5))
    grey = [bool((clip == clip[..., :1]).all()) for clip in out]
    assert {True, False} == set(grey)
    assert all(torch.equal(a, b) for a, b, g in zip(out, clips, grey, strict=True) if not g)


def test_the_generator_is_given_back_after_an_error() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with pytest.raises(LookupError), drawing_from(8):
        torch.rand(5)
        raise LookupError
    assert torch.equal(torch.rand(2), expected)


def test_nothing_is_done_by_default(still: torch.Tensor) -> None:
    assert not AugmentConfig().per_clip
    assert torch.equal(augment_clips(still, torch.arange(6), AugmentConfig()), still)
    clips, labels = torch.rand(2, 3, 2, 8, 8), torch.tensor([0, 1])
    mixed, same = mix_clips(clips, labels, AugmentConfig(), classes=2, seed=0, step=0)
    assert mixed is clips
    assert same is labels


MIXES = {
    "mixup": AugmentConfig(mixup=0.8),
    "cutmix": AugmentConfig(cutmix=1.0),
    "both": AugmentConfig(mixup=0.8, cutmix=1.0),
}


def constant_clips(number: int) -> torch.Tensor:
    """Clip n is n everywhere: (N, 3, T, H, W) in channels-last memory."""
    clips = torch.arange(number).float().view(-1, 1, 1, 1, 1).expand(-1, 3, 4, 10, 12)
    return clips.contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("kind", MIXES)
@pytest.mark.parametrize("step", range(4))
def test_labels_are_shares_of_what_is_seen(kind: str, step: int) -> None:
    clips, labels = constant_clips(5), torch.tensor([3, 1, 0, 2, 4])
    mixed, targets = mix_clips(clips, labels, MIXES[kind], classes=6, seed=2, step=step)
    assert mixed.shape == clips.shape
    assert mixed.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(targets.sum(1), torch.ones(5))
    for number in range(5):
        own, other = targets[number, labels[number]], targets[number, labels[number - 1]]
        neighbour = (number - 1) % 5
        mean = float(own) * number + float(other) * neighbour
        assert float(mixed[number].mean()) == pytest.approx(mean, abs=1e-4)
        assert (mixed[number] == mixed[number][:, :1]).all()  # every frame alike
        if kind == "cutmix":
            assert set(mixed[number].unique().tolist()) <= {float(number), float(neighbour)}


def test_mixing_depends_on_seed_and_step_alone() -> None:
    clips, labels = constant_clips(4), torch.arange(4)

    def mix(seed: int, step: int) -> torch.Tensor:
        return mix_clips(clips, labels, MIXES["both"], classes=4, seed=seed, step=step)[0]

    assert torch.equal(mix(1, 5), mix(1, 5))
    results = {mix(seed, step).numpy().tobytes() for seed in (1, 2) for step in range(8)}
    assert len(results) > 12
    kinds = {len(mix(0, step)[1].unique()) for step in range(30)}
    assert kinds >= {1, 2}  # a blend is one grey, a cut-out shows two


def test_multi_label_targets_are_mixed_too() -> None:
    hot = torch.tensor([[1.0, 1, 0], [0, 0, 1]])
    _, targets = mix_clips(constant_clips(2), hot, MIXES["mixup"], classes=3, seed=0, step=0)
    share = targets[0, 0]
    torch.testing.assert_close(targets[0], share * hot[0] + (1 - share) * hot[1])


def test_classes_with_a_side() -> None:
    names = [
        "Pulling something from left to right",
        "upper_moves_first",
        "in_opposition",
        "SwipeLeft",
        "Turning hand clockwise",
        "turning_hand_counterclockwise",
        "brightness upright",
        "right-hand turn",
        "moving leftwards",
        "leftovers",
        "playing clarinet",
    ]
    assert sided_labels(names) == [0, 3, 4, 5, 7, 8]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hue": 0.6}, r"augment.hue \(0.6\) must be in \[0, 0.5\]"),
        ({"erase": 1.5}, r"augment.erase \(1.5\) must be in \[0, 1\]"),
        ({"grey": -0.1}, r"augment.grey \(-0.1\) must be in \[0, 1\]"),
        ({"magnitude": 31}, r"augment.magnitude \(31\) must be in \[0, 30\]"),
        ({"mixup": -1.0}, r"augment.mixup \(-1.0\) must not be negative"),
    ],
)
def test_impossible_augmentation(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**values)
