"""How a head averages over the remaining T, H and W: everywhere, or as in its publisher's tests.

Test crops are larger than training crops (256 and 224 pixels). The libraries keep the window of
training, 7×7 of 8×8 positions, move it over the map and average its places, so the middle counts
four times and a corner once.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WindowMean(nn.AvgPool3d):
    """(N, C, T, H, W) → (N, C, t, h, w): the mean within a window, at each place.

    window: frames, height and width; None: all frames. It is cut to a smaller map.
    """

    def __init__(self, window: tuple[int | None, int, int]) -> None:
        super().__init__((window[0] or 1, *window[1:]), stride=1)
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Windows are one position apart."""
        sizes = zip(self.window, x.shape[2:], strict=True)
        window = [own if size is None else min(size, own) for size, own in sizes]
        return F.avg_pool3d(x.float(), window, 1).to(x.dtype)  # CPUs have no such mean in bf16


class GlobalMean(nn.AdaptiveAvgPool3d):
    """(N, C, T, H, W) → (N, C, 1, 1, 1): the mean over all positions.

    As nn.AdaptiveAvgPool3d(1), but the gradient of a channels-last map is channels-last too. That
    saves the layers before it a conversion: 8 % of a small network's training step on a CPU.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        """In the precision of the map, also under autocast."""
        if not x.is_contiguous(memory_format=torch.channels_last_3d):
            return super().forward(x).to(x.dtype)
        return x.movedim(1, -1).mean((1, 2, 3))[..., None, None, None]


class MeanProbability(nn.Module):
    """Logits of several places (N, classes, t, h, w) → (N, classes, 1, 1, 1).

    Their softmax is the mean of the softmaxes of all places, as in the published X3D and R(2+1)D.
    The logits of a single place are unchanged.
    """

    def forward(self, x: Tensor) -> Tensor:
        """log of the mean softmax."""
        places = x.flatten(2)
        if places.shape[2] > 1:
            places = F.log_softmax(places, 1).logsumexp(2, keepdim=True)
        return places.reshape(*x.shape[:2], 1, 1, 1)


class ClipMean(nn.AdaptiveAvgPool3d):
    """The mean over the last map of an image network on clips: (N, C, T, H, W) → (N, C, 1, 1, 1).

    channels: C. network: its name in torchvision, if it has one.
    """

    def __init__(self, channels: int, network: str | None) -> None:
        super().__init__(1)
        self.channels, self.network = channels, network


def pool_as_published(model: nn.Module) -> None:
    """Let the windows of a network's head shrink to a smaller map, in place."""
    for name, module in list(model.named_modules()):
        if type(module) is nn.AvgPool3d:
            model.set_submodule(name, WindowMean(module.kernel_size))  # type: ignore[arg-type]


def pool_everywhere(model: nn.Module) -> None:
    """Replace the windows of a head by a global mean, in place."""
    for name in [name for name, m in model.named_modules() if isinstance(m, nn.AvgPool3d)]:
        model.set_submodule(name, GlobalMean())
