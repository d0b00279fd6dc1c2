"""How a head averages over what is left of T, H and W: everywhere, or as its publisher tests it.

A crop at test time is larger than those of training (256 pixels, after 224). The libraries keep the
window of training, 7×7 of 8×8 positions, move it over the map and average over its places, so that
the middle counts four times and a corner once.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class WindowMean(nn.AvgPool3d):
    """(N, C, T, H, W) → (N, C, t, h, w): the mean within a window, at each of its places.

    window: frames, height and width; None: all frames. On a smaller map it is the whole map.
    """

    def __init__(self, window: tuple[int | None, int, int]) -> None:
        super().__init__((window[0] or 1, *window[1:]), stride=1)
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """The windows stand one position apart."""
        sizes = zip(self.window, x.shape[2:], strict=True)
        return F.avg_pool3d(x, [own if size is None else min(size, own) for size, own in sizes], 1)


class MeanProbability(nn.Module):
    """Logits of several places (N, classes, t, h, w) → (N, classes, 1, 1, 1).

    Their softmax is the mean of the softmaxes of all places, which X3D and R(2+1)D are published
    with. The logits of a single place come out as they are.
    """

    def forward(self, x: Tensor) -> Tensor:
        """log of the mean softmax."""
        places = x.flatten(2)
        if places.shape[2] > 1:
            places = F.log_softmax(places, 1).logsumexp(2, keepdim=True)
        return places.reshape(*x.shape[:2], 1, 1, 1)


def pool_as_published(model: nn.Module) -> None:
    """Let the windows of a network's head shrink to what the map is, in place."""
    for name, module in list(model.named_modules()):
        if type(module) is nn.AvgPool3d:
            model.set_submodule(name, WindowMean(module.kernel_size))  # type: ignore[arg-type]


def pool_everywhere(model: nn.Module) -> None:
    """Put a global mean wherever a head has a window, in place."""
    for name in [name for name, m in model.named_modules() if isinstance(m, nn.AvgPool3d)]:
        model.set_submodule(name, nn.AdaptiveAvgPool3d(1))
