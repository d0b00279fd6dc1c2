"""bf16 on the CPU with correct gradients of convolution weights.

Torch 2.15's oneDNN kernels for the bf16 gradient of a Conv3d weight read uninitialised memory
(docs/results.md). Forward and the gradient of the input are correct. The gradient of the weight is
computed here: by matrix products if the kernel spans time alone, otherwise in fp32.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

BF16 = torch.bfloat16
Given = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]
"""Stride, padding, dilation and groups of a convolution."""


class SoundBf16(TorchFunctionMode):
    """Inside it, `F.conv3d` under CPU autocast to bf16 uses `_Conv3d`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Torch calls this in place of every function."""
        if func is F.conv3d and _wanted(args[0]):
            return conv3d(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def sound_bf16(device: torch.device, *, low: bool) -> AbstractContextManager[object]:
    """Around a forward pass: `SoundBf16` in bf16 (low) on a CPU, otherwise nothing."""
    return SoundBf16() if low and device.type == "cpu" else nullcontext()


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
) -> Tensor:
    """As `F.conv3d` with both operands rounded to bf16; the gradient of `weight` has its dtype."""
    with torch.autocast("cpu", enabled=False):
        steps, border, spread = (tuple(map(int, one)) for one in (stride, padding, dilation))
        out: Tensor = _Conv3d.apply(x.to(BF16), weight, (steps, border, spread, groups))
        return out if bias is None else out + bias.to(BF16).view(-1, 1, 1, 1)


class _Conv3d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        given: Given,
    ) -> Tensor:
        """Only the fp32 weight is saved: rounding it again costs less than keeping it twice."""
        ctx.save_for_backward(x, weight)
        ctx.given = given
        return F.conv3d(x, weight.to(BF16), None, *given)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the input in bf16, and of the weight by `weight_gradient`."""
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x, _, _ = _backward(gradient, x, weight.to(BF16), ctx.given, of_weight=False)
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(gradient, x, weight, ctx.given)
        return of_x, of_weight, None


def weight_gradient(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    given: Given,
) -> Tensor:
    """The gradient of a convolution's weight, from its output's `gradient` (N, D, T', H', W').

    x: (N, C, T, H, W). Returns the shape and dtype of `weight`.
    """
    stride, padding, dilation, groups = given
    plain = groups == 1 and dilation == (1, 1, 1) and weight.shape[3:] == (1, 1)
    if not plain or stride[0] != 1 or padding[1:] != (0, 0):
        _, found, _ = _backward(gradient.float(), x.float(), weight, given, of_weight=True)
        assert found is not None
        return found.to(weight.dtype)
    if stride[1:] != (1, 1):
        x = x[..., :: stride[1], :: stride[2]]
        x = x[..., : gradient.shape[3], : gradient.shape[4]]
    if padding[0]:
        x = F.pad(x, (0, 0, 0, 0, padding[0], padding[0]))
    frames = gradient.shape[2]
    grown = gradient.permute(1, 0, 2, 3, 4).flatten(1)  # (D, N·T'·H'·W')
    taps = [
        grown @ x[:, :, tap : tap + frames].permute(0, 2, 3, 4, 1).flatten(0, 3)
        for tap in range(weight.shape[2])
    ]
    return torch.stack(taps, 2).view(weight.shape).to(weight.dtype)


def _wanted(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == BF16
    )


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, given: Given, *, of_weight: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    stride, padding, dilation, groups = given
    found: tuple[Tensor | None, Tensor | None, Tensor | None] = (
        torch.ops.aten.convolution_backward(
            gradient, x, weight, None, stride, padding, dilation, False, [0, 0, 0], groups,
            [not of_weight, of_weight, False],
        )
    )  # fmt: skip
    return found
