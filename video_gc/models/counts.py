"""Counted costs of a network: parameters, multiply-adds and activations, for every module.

torch.utils.flop_counter counts below autograd, so it includes custom functions, and on the meta
device, so nothing is computed. Where fvcore counts, the figures are equal; fvcore does not count
attention (SDPA, baddbmm) and custom functions.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

FLOPS = (
    "multiply-adds of convolutions, matrix products and attention; norms, poolings and "
    "element-wise operations are not counted"
)
COUNTED = (
    f"FLOPs are {FLOPS}. Activations are the elements of the outputs of the "
    "same operations (fvcore's definition; of fused attention, its output and not its weights)."
)
VECTOR_PRODUCTS = {
    torch.ops.aten.mv: lambda matrix, _vector, **_: 2 * matrix.numel(),
    torch.ops.aten.dot: lambda one, _other, **_: 2 * one.numel(),
    torch.ops.aten.addmv: lambda _added, matrix, _vector, **_: 2 * matrix.numel(),
}
"""Products without a formula in torch → FLOPs, from the shapes of the arguments."""


@dataclass(frozen=True)
class Complexity:
    """Cost of one forward pass of one clip."""

    parameters: int
    flops: int
    """multiply-adds of convolutions, matrix products and attention; norms, poolings and
    element-wise operations are not counted"""
    activations: int = 0
    """elements of the outputs of these operations"""


@dataclass(frozen=True)
class ModuleCounts:
    """Module → cost of its own operations, without those of modules inside it."""

    flops: Counter[str]
    activations: Counter[str]


def complexity(model: nn.Module, clip: tuple[int, int, int]) -> Complexity:
    """Parameters, multiply-adds and activations of `model` for one clip of (T, H, W)."""
    weight = next(model.parameters())
    example = torch.empty(1, 3, *clip, dtype=weight.dtype, device="meta")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    counts = count_modules(model, example)
    return Complexity(parameters, counts.flops.total(), counts.activations.total())


def count_modules(model: nn.Module, example: Tensor) -> ModuleCounts:
    """Multiply-adds and activations of each module of `model` in eval mode, for one input.

    example: the input, on any device; its values are not read, unless an operation of the network
        needs them (then a copy of the network computes).
    """
    shadow = deepcopy(model).eval()
    try:
        return _count(deepcopy(shadow).to("meta"), example.to("meta"))
    except (NotImplementedError, RuntimeError):
        weight = next(shadow.parameters(), example)
        return _count(shadow, torch.zeros_like(example, device=weight.device))


def inside(own: Mapping[str, int], module: str) -> int:
    """The sum over `module` and all modules in it. own: module → its own cost."""
    if not module:
        return sum(own.values())
    return sum(cost for name, cost in own.items() if f"{name}.".startswith(f"{module}."))


@contextmanager
def running_module(model: nn.Module) -> Iterator[Callable[[], str]]:
    """A function that returns the name of the innermost running module; "" is the network itself.

    A context block counts under its own name, although a hook applies it. torch's ModuleTracker has
    no order, and leaves a residual block before the hook that applies its context block.
    """
    names = [""]

    def enter(name: str) -> Callable[..., None]:
        return lambda _module, _inputs: names.append(name)

    def leave(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        names.pop()

    handles: list[RemovableHandle] = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(enter(name)))
        handles.append(module.register_forward_hook(leave))
    try:
        yield lambda: names[-1]
    finally:
        for handle in handles:
            handle.remove()


def _count(model: nn.Module, example: Tensor) -> ModuleCounts:
    found = ModuleCounts(Counter(), Counter())
    counter = FlopCounterMode(display=False, custom_mapping=VECTOR_PRODUCTS)
    with torch.no_grad(), running_module(model) as running:

        def recorded(formula: Callable[..., int]) -> Callable[..., int]:
            def count(*args: Any, out_val: Any, **kwargs: Any) -> int:
                flops = formula(*args, out_val=out_val, **kwargs)
                output = out_val[0] if isinstance(out_val, tuple) else out_val
                # torch counts a multiply-add as two
                found.flops[running()] += flops // 2
                found.activations[running()] += output.numel()
                return flops

            return count

        counter.flop_registry = {
            operation: recorded(formula) for operation, formula in counter.flop_registry.items()
        }
        with counter, _WholeAttention(running, found.activations):
            model(example)
    return found


class _WholeAttention(TorchFunctionMode):
    """The activations of attention are its output, even if a device computes it by products."""

    def __init__(self, running: Callable[[], str], activations: Counter[str]) -> None:
        super().__init__()
        self.running, self.activations = running, activations

    def __torch_function__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Called by torch for every function of its interface."""
        before = self.activations[self.running()]
        output = function(*args, **(kwargs or {}))
        if function is F.scaled_dot_product_attention:
            self.activations[self.running()] = before + output.numel()
        return output
