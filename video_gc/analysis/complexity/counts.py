"""What a network costs: parameters, and FLOPs counted as multiply-adds, as the papers do."""

import warnings
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import Tensor, nn


@dataclass(frozen=True)
class Complexity:
    """Cost of one forward pass of one clip."""

    parameters: int
    flops: int
    """multiply-adds of convolutions, matrix products and attention; norms, poolings and
    element-wise operations are not counted"""


def complexity(model: nn.Module, clip: tuple[int, int, int]) -> Complexity:
    """Parameters and multiply-adds of `model` for a clip of (T, H, W), batch size 1."""
    weight = next(model.parameters())
    example = torch.zeros(1, 3, *clip, dtype=weight.dtype, device=weight.device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Complexity(parameters, multiply_adds(model, example))


def multiply_adds(model: nn.Module, example: Tensor) -> int:
    """Of `model` in eval mode for one input, as fvcore counts them, and attention beside."""
    training = model.training
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of every Python number it meets
        analysis = FlopCountAnalysis(model.eval(), example)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_flops)
        analysis.set_op_handle("aten::baddbmm", _baddbmm_flops)
        for operation in ("aten::batch_norm", "aten::layer_norm", "aten::adaptive_avg_pool3d"):
            analysis.set_op_handle(operation, lambda _inputs, _outputs: 0)
        counted = int(analysis.total())
    model.train(training)
    return counted


def _attention_flops(inputs: list[Any], _outputs: list[Any]) -> int:
    """Queries × keys and weights × values; (…, P, d), (…, Q, d), (…, Q, e)."""
    query, key, value = (get_shape(tensor) for tensor in inputs[:3])
    return prod(query[:-2]) * query[-2] * key[-2] * (query[-1] + value[-1])


def _baddbmm_flops(inputs: list[Any], _outputs: list[Any]) -> int:
    """(N, L, d) × (N, d, M)."""
    left, right = (get_shape(tensor) for tensor in inputs[1:3])
    return prod(left) * right[-1]
