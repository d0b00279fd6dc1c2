"""What a network costs on paper: parameters, multiply-adds and activations, of every module.

Operations are seen below autograd (torch.utils.flop_counter has the formulas), so that those of
custom functions count too, on the meta device, so that nothing is computed. Where fvcore counts,
the figures are its own; it does not see attention (SDPA, baddbmm) and custom functions.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.hooks import RemovableHandle

FLOPS = (
    "multiply-adds of convolutions, matrix products and attention; norms, poolings and "
    "element-wise operations are not counted"
)
COUNTED = (
    f"FLOPs are {FLOPS}. Activations are the elements of the outputs of the "
    "same operations (fvcore's definition; of fused attention, its output and not its weights)."
)
VECTOR_PRODUCTS = {torch.ops.aten.mv: 0, torch.ops.aten.dot: 0, torch.ops.aten.addmv: 1}
"""Products that torch has no formula for → which argument is the larger factor."""


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
    """Module → what runs in it and in no module inside it."""

    flops: Counter[str]
    activations: Counter[str]


def complexity(model: nn.Module, clip: tuple[int, int, int]) -> Complexity:
    """Parameters, multiply-adds and activations of `model` for one clip of (T, H, W)."""
    weight = next(model.parameters())
    example = torch.empty(1, 3, *clip, dtype=weight.dtype, device="meta")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    counts = count_modules(model, example)
    return Complexity(parameters, counts.flops.total(), counts.activations.total())


def multiply_adds(model: nn.Module, example: Tensor) -> int:
    """Of `model` in eval mode for one input: the sum of `count_modules`."""
    return count_modules(model, example).flops.total()


def count_modules(model: nn.Module, example: Tensor) -> ModuleCounts:
    """Multiply-adds and activations of each module of `model` in eval mode, for one input.

    example: of the input, on any device; its values are not read, unless the network has an
        operation that wants them (then a copy of it computes).
    """
    shadow = deepcopy(model).eval()
    try:
        return _count(deepcopy(shadow).to("meta"), example.to("meta"))
    except (NotImplementedError, RuntimeError):
        weight = next(shadow.parameters(), example)
        return _count(shadow, torch.zeros_like(example, device=weight.device))


def inside(own: Mapping[str, int], module: str) -> int:
    """The sum over `module` and all modules in it. own: module → what it costs without them."""
    if not module:
        return sum(own.values())
    return sum(cost for name, cost in own.items() if f"{name}.".startswith(f"{module}."))


class RunningModule(AbstractContextManager["RunningModule"]):
    """Inside `with`, `name` is that of the innermost module that runs; "" is the network itself.

    A context block runs as itself, whichever hook applies it.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._names = [""]
        self._handles: list[RemovableHandle] = []

    @property
    def name(self) -> str:
        """Of the innermost module."""
        return self._names[-1]

    def __enter__(self) -> "RunningModule":
        def enter(name: str) -> Any:
            return lambda _module, _inputs: self._names.append(name)

        def leave(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            self._names.pop()

        for name, module in self._model.named_modules():
            self._handles += [
                module.register_forward_pre_hook(enter(name)),
                module.register_forward_hook(leave),
            ]
        return self

    def __exit__(self, *_error: object) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._names = [""]


def _count(model: nn.Module, example: Tensor) -> ModuleCounts:
    found = ModuleCounts(Counter(), Counter())
    with torch.no_grad(), RunningModule(model) as running:
        products = _Products(running, found)
        with products, _Attention(products):
            model(example)
    return found


class _Products(TorchDispatchMode):
    """Counts convolutions and matrix products."""

    def __init__(self, running: RunningModule, found: ModuleCounts) -> None:
        super().__init__()
        self.running, self.found, self.paused = running, found, False

    def add(self, flops: int, output: Tensor) -> None:
        """An operation of the module that runs."""
        if self.paused:
            return
        self.found.flops[self.running.name] += flops
        self.found.activations[self.running.name] += output.numel()

    def __torch_dispatch__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Torch: called for every operation."""
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        operation = function._overloadpacket
        if operation in VECTOR_PRODUCTS:
            self.add(args[VECTOR_PRODUCTS[operation]].numel(), output)
        elif operation in flop_registry:
            first = output[0] if isinstance(output, tuple) else output
            # the formulas count a multiplication and an addition each
            self.add(flop_registry[operation](*args, **kwargs, out_val=output) // 2, first)
        return output


class _Attention(TorchFunctionMode):
    """Counts attention as one operation, whatever kernels a device has for it."""

    def __init__(self, products: _Products) -> None:
        super().__init__()
        self.products = products

    def __torch_function__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Torch: called for every function of its interface."""
        kwargs = kwargs or {}
        if function is not F.scaled_dot_product_attention:
            return function(*args, **kwargs)
        names = ("query", "key", "value")
        query, key, value = (*args, *(kwargs[name] for name in names if name in kwargs))[:3]
        self.products.paused = True  # some devices compute it by products of their own
        output = function(*args, **kwargs)
        self.products.paused = False
        pairs = prod(query.shape[:-1]) * key.shape[-2]
        self.products.add(pairs * (query.shape[-1] + value.shape[-1]), output)
        return output
