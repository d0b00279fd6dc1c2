"""How far the outputs of two networks are apart, as of one before and after a conversion."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from video_gc.models.eval_mode import eval_mode


@dataclass(frozen=True)
class OutputDifference:
    """How far the logits of one network are from another's on the same clips."""

    clips: int
    relative: float
    """mean over clips of |b - a| / |a|, Euclidean, of the logits"""
    agreement: float
    """share of clips with the same class first"""
    divergence: float
    """mean over clips of KL(softmax a ‖ softmax b) in nats"""


def compare_outputs(a: nn.Module, b: nn.Module, clips: Iterable[Tensor]) -> OutputDifference:
    """How far b's outputs are from a's on prepared clips (N, 3, T, H, W); both in eval mode.

    Raises ValueError without clips.
    """
    sums, count = torch.zeros(3, dtype=torch.double), 0
    with eval_mode(a, b):
        for batch in clips:
            one, two = (network(batch).cpu().double() for network in (a, b))
            norm = torch.linalg.vector_norm(one, dim=1)
            moved = torch.linalg.vector_norm(two - one, dim=1)
            relative = torch.where(moved == 0, 0, moved / norm)
            first, second = F.log_softmax(one, 1), F.log_softmax(two, 1)
            kl = (first.exp() * (first - second)).sum(1).clamp(min=0)
            same = (one.argmax(1) == two.argmax(1)).double()
            sums += torch.stack([relative.sum(), same.sum(), kl.sum()])
            count += len(one)
    if not count:
        raise ValueError("no clips to compare on")
    relative, agreement, divergence = (sums / count).tolist()
    return OutputDifference(count, relative, agreement, divergence)
