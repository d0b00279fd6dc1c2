"""Less memory in training: the inside of each residual block is computed again backward.

Chen et al., Training deep nets with sublinear memory cost, 2016, by torch.utils.checkpoint.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from video_gc.backbones.stages import residual_blocks


def checkpoint_activations(model: nn.Module) -> None:
    """Keep the input of each residual block alone, in place; nothing changes without gradients.

    Names stay, for nothing is wrapped. Context blocks after the sum keep their activations, those
    inside the block do not. Losses, gradients and running statistics are those of before, and the
    second computation draws the same random numbers.

    Raises ValueError where the network has no residual blocks.
    """
    blocks = residual_blocks(model)
    if not blocks:
        raise ValueError("activation_checkpointing: this network has no residual blocks")
    for block in blocks.values():
        block.__class__ = _checkpointed(type(block))  # type: ignore[arg-type]


@cache
def _checkpointed(kind: type[nn.Module]) -> type[nn.Module]:
    """A class in place of an attribute `forward`, which torch.compile cannot follow."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return kind.forward(self, x)
        if torch.compiler.is_compiling():  # the compiler knows by itself what to update once
            return _as_tensor(checkpoint(kind.forward, self, x, use_reentrant=False))
        contexts = partial(_contexts, self)
        output = checkpoint(kind.forward, self, x, use_reentrant=False, context_fn=contexts)
        return _as_tensor(output)

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    return nullcontext(), _as_before(block, _get_current_function_mode_stack())


@contextmanager
def _as_before(block: nn.Module, modes: list[TorchFunctionMode]) -> Iterator[None]:
    """Batch norms count their batch in copies, for they have counted it before.

    Copies, and not none at all: torch wants the same tensors to be kept for the gradient. modes:
    those that held in the first computation; torch leaves them while it runs backward.
    """
    kept: list[tuple[nn.Module, str, Tensor]] = []
    for norm in block.modules():
        if norm.training and getattr(norm, "track_running_stats", False):
            kept += [(norm, name, buffer) for name, buffer in norm.named_buffers(recurse=False)]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        with ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)


def _as_tensor(output: Any) -> Tensor:
    assert isinstance(output, Tensor)
    return output
