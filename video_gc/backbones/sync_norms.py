"""Batch norm over the batches of all processes on the CPU, which torch lacks.

It replaces pytorchvideo's NaiveSyncBatchNorm, whose formula has faults in 0.1.5: the variance is
E[x²] − E[x]², which loses all digits if the mean is large, and always in half precision; the
running variance is the biased one; `num_batches_tracked` does not count; processes with fewer clips
weigh as much as others.
"""

import torch
from pytorchvideo.layers.batch_norm import (
    NaiveSyncBatchNorm2d,
    NaiveSyncBatchNorm3d,
    differentiable_all_reduce,
)
from pytorchvideo.layers.distributed import get_world_size
from torch import Tensor, nn


class SyncBatchNorm2d(NaiveSyncBatchNorm2d):
    """For (N, C, H, W), or rows of positions as in context blocks."""

    def forward(self, input: Tensor) -> Tensor:
        """In training, each process must have at least one clip. In eval, plain batch norm."""
        if get_world_size() == 1 or not self.training:
            return nn.BatchNorm2d.forward(self, input)
        return _norm_over_processes(self, input)


class SyncBatchNorm3d(NaiveSyncBatchNorm3d):
    """For (N, C, T, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """In training, each process must have at least one clip. In eval, plain batch norm."""
        if get_world_size() == 1 or not self.training:
            return nn.BatchNorm3d.forward(self, input)
        return _norm_over_processes(self, input)


def _norm_over_processes(norm: nn.BatchNorm2d | nn.BatchNorm3d, input: Tensor) -> Tensor:
    """(N, C, *positions) → the same shape; batch norm over the batches of all processes."""
    wide = input.float() if input.dtype.itemsize < 4 else input
    axes = [0, *range(2, wide.ndim)]
    share = wide.new_tensor([wide.numel() / wide.shape[1]])
    sums = differentiable_all_reduce(torch.cat([wide.mean(axes) * share, share]))
    count = sums[-1]
    mean = sums[:-1] / count
    centred = wide - _over_channels(mean, wide)
    var = differentiable_all_reduce((centred * centred).mean(axes) * share) / count
    if norm.track_running_stats:
        _track(norm, mean.detach(), var.detach() * count / (count - 1))
    scale = torch.rsqrt(var + norm.eps)
    if norm.affine:
        scale = scale * norm.weight
    output = centred * _over_channels(scale, wide)
    if norm.affine:
        output = output + _over_channels(norm.bias, wide)
    return output.to(input.dtype)


def _track(norm: nn.BatchNorm2d | nn.BatchNorm3d, mean: Tensor, var: Tensor) -> None:
    assert norm.num_batches_tracked is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum
    if momentum is None:
        momentum = 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(var, momentum)


def synchronise_on_cpu(model: nn.Module) -> None:
    """Let the batch norms of `model` train on the batches of all processes, in place (gloo).

    Parameters, hooks and names stay: only the class of the modules changes. A single process trains
    as before.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm3d:
            module.__class__ = SyncBatchNorm3d
        elif type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d


def _over_channels(vector: Tensor, like: Tensor) -> Tensor:
    return vector.reshape(1, -1, *[1] * (like.ndim - 2))
