"""Less memory in training: the backward pass recomputes the inside of each residual block.

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
    """Keep only the input of each residual block, in place; without gradients nothing changes.

    Names stay, because nothing is wrapped. Context blocks after the sum keep their activations,
    those inside the block do not. Losses, gradients and running statistics are unchanged, and the
    second computation draws the same random numbers.

    recompute_in: makes the context of the second computation. If the first runs in a
    TorchFunctionMode, give that mode: torch leaves it during the backward pass.

    Raises ValueError if the network has no residual blocks.
    """
    blocks = residual_blocks(model)
    if not blocks:
        raise ValueError("activation_checkpointing: this network has no residual blocks")
    for block in blocks.values():
        block.__class__ = _checkpointed(type(block), recompute_in)  # type: ignore[arg-type]


@cache
def _checkpointed(kind: type[nn.Module], recompute_in: Context) -> type[nn.Module]:
    """A class, because torch.compile cannot follow an attribute `forward`."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return kind.forward(self, x)
        if torch.compiler.is_compiling():  # the compiler itself updates each statistic once
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
    """Let batch norms count their batch in copies, because they have counted it before.

    They count in copies, since torch requires that the same tensors are saved for the gradient.
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
