"""Less memory in training: the inside of each residual block is computed again backward.

Chen et al., Training deep nets with sublinear memory cost, 2016, by torch.utils.checkpoint.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from video_gc.backbones.stages import residual_blocks

Context = Callable[[], AbstractContextManager[Any]]


def checkpoint_activations(model: nn.Module, *, recompute_in: Context = nullcontext) -> None:
    """Keep the input of each residual block alone, in place; nothing changes without gradients.

    Names stay, for nothing is wrapped. Context blocks after the sum keep their activations, those
    inside the block do not. Losses, gradients and running statistics are those of before, and the
    second computation draws the same random numbers.

    recompute_in: makes the context of the second computation. Where the first one runs in a
    TorchFunctionMode, give that mode: torch leaves it while it runs backward.

    Raises ValueError where the network has no residual blocks.
    """
    blocks = residual_blocks(model)
    if not blocks:
        raise ValueError("activation_checkpointing: this network has no residual blocks")
    for block in blocks.values():
        block.__class__ = _checkpointed(type(block), recompute_in)  # type: ignore[arg-type]


@cache
def _checkpointed(kind: type[nn.Module], recompute_in: Context) -> type[nn.Module]:
    """A class in place of an attribute `forward`, which torch.compile cannot follow."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return kind.forward(self, x)
        if torch.compiler.is_compiling():  # the compiler knows by itself what to update once
            return _as_tensor(checkpoint(kind.forward, self, x, use_reentrant=False))
        contexts = partial(_contexts, self, recompute_in)
        output = checkpoint(kind.forward, self, x, use_reentrant=False, context_fn=contexts)
        return _as_tensor(output)

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def _contexts(
    block: nn.Module, recompute_in: Context
) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    return nullcontext(), _as_before(block, recompute_in)


@contextmanager
def _as_before(block: nn.Module, recompute_in: Context) -> Iterator[None]:
    """Batch norms count their batch in copies, for they have counted it before.

    Copies, and not none at all: torch wants the same tensors to be kept for the gradient.
    """
    kept: list[tuple[nn.Module, str, Tensor]] = []
    for norm in block.modules():
        if norm.training and getattr(norm, "track_running_stats", False):
            kept += [(norm, name, buffer) for name, buffer in norm.named_buffers(recurse=False)]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        with recompute_in():
            yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)


def _as_tensor(output: Any) -> Tensor:
    assert isinstance(output, Tensor)
    return output
