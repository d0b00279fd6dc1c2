"""Tensors into the shape that a network has for them."""

import torch
from torch import Tensor

INFLATIONS = ("repeat", "centre")


def fitted(source: Tensor, target: Tensor, inflation: str, leading: bool) -> Tensor | None:
    """`source` in the shape of `target`; None where it does not fit.

    Axes of length 1 come and go (a 1×1×1 convolution is a matrix). A 2D kernel is inflated (see
    `inflated`).
    leading: it may fill the leading input channels alone; those of the pathway itself come first
        after a lateral connection of SlowFast.
    """
    if source.shape == target.shape:
        return source
    if source.ndim == 4 and target.ndim == 5:
        kernel = inflated(source, target.shape[2], inflation)
        if kernel.shape == target.shape:
            return kernel
        outer = (len(kernel), *kernel.shape[2:]) == (len(target), *target.shape[2:])
        if leading and outer and kernel.shape[1] < target.shape[1]:
            return torch.cat([kernel, target[:, kernel.shape[1] :]], dim=1)
        return None
    if [n for n in source.shape if n != 1] == [n for n in target.shape if n != 1]:
        return source.reshape(target.shape)
    return None


def inflated(kernel: Tensor, length: int, inflation: str) -> Tensor:
    """(O, I, H, W) → (O, I, T, H, W).

    `repeat`: w / T at every instant, so that a still clip gives what the image gives (Carreira and
    Zisserman, 2017); `centre`: w at instant T // 2 and zero elsewhere, so that each frame alone
    does (Feichtenhofer et al., 2017).
    """
    if inflation == "repeat":
        return kernel.unsqueeze(2).repeat(1, 1, length, 1, 1) / length
    centred = kernel.new_zeros(*kernel.shape[:2], length, *kernel.shape[2:])
    centred[:, :, length // 2] = kernel
    return centred
