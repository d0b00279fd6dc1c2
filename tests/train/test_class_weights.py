"""Class weights: what a clip of a rare class counts, and what does not change with them."""

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.data.augment import AugmentConfig
from video_gc.data.batches.batch import Batch
from video_gc.data.transforms import Normalisation
from video_gc.train.step import Objective, balanced_weights

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
LABELS = torch.tensor([2, 0, 0, 0])


class Fixed(nn.Module):
    """A network with the same logits for all clips."""

    def forward(self, clips: Tensor) -> Tensor:
        """(N, C, T, H, W) → (N, classes)."""
        return LOGITS


def loss_of(weights: Tensor | None, *, smoothing: float = 0.0, mixup: float = 0.0) -> Tensor:
    objective = Objective(
        num_classes=3, normalisation=Normalisation(), augment=AugmentConfig(mixup=mixup),
        label_smoothing=smoothing, class_weights=weights,
    )  # fmt: skip
    none = torch.zeros(4, dtype=torch.long)
    clips = torch.zeros(4, 2, 8, 8, 3, dtype=torch.uint8)
    batch = Batch(clips, LABELS, none, none.bool(), none, none, [])
    return objective.training_step(Fixed(), batch, 0)[0]


def test_all_classes_weigh_alike() -> None:
    counts = torch.tensor([30, 5, 0, 1])
    weights = balanced_weights(counts)
    assert weights[2] == 0
    torch.testing.assert_close((weights * counts)[[0, 1, 3]], torch.full((3,), 12.0))
    torch.testing.assert_close((weights * counts).sum() / counts.sum(), torch.tensor(1.0))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_weight_multiplies_the_loss_of_a_clip(smoothing: float) -> None:
    weights = balanced_weights(torch.tensor([3, 0, 1]))
    target = torch.eye(3)[LABELS] * (1 - smoothing) + smoothing / 3
    each = -(target * LOGITS.log_softmax(1)).sum(1)
    expected = (each[0] * 2 + each[1:].sum() * 2 / 3) / 4
    torch.testing.assert_close(loss_of(weights, smoothing=smoothing), expected)


@pytest.mark.parametrize("mixup", [0.0, 0.8])
def test_equal_weights_change_nothing(mixup: float) -> None:
    torch.testing.assert_close(loss_of(torch.ones(3), mixup=mixup), loss_of(None, mixup=mixup))


def test_the_option_is_checked() -> None:
    assert compose_train([*SMALL, "data.root=x", "class_weights=balanced"]).class_weights
    with pytest.raises(ValueError, match=r"class_weights \('even'\) must be balanced, or null"):
        compose_train(["class_weights=even"])
    several = ["data=list", "data.train=x", "data.kind=table", "data.multi_label=true"]
    with pytest.raises(ValueError, match="videos with several labels .* are of no one class"):
        compose_train([*several, "class_weights=balanced"])
