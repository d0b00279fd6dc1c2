"""From logits to scores, and from scores to the best classes; it loads no library of metrics."""

from torch import Tensor


def probabilities(logits: Tensor, *, multi_label: bool) -> Tensor:
    """(N, classes) in fp32: softmax, or sigmoid for several labels per video."""
    return logits.float().sigmoid() if multi_label else logits.float().softmax(1)


def ranking(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest scores (…, classes) and their classes, at most all.

    Of equal scores the lower class number comes first, in every metric, file and picture.
    """
    values, classes = scores.sort(dim=-1, descending=True, stable=True)
    return values[..., :count], classes[..., :count]
