"""Forward passes that are watched: what each context block sees and what it adds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from video_gc.blocks import CrissCross, GlobalContext, NonLocal
from video_gc.models.context import context_blocks
from video_gc.models.eval_mode import eval_mode

Saw = Callable[[str, nn.Module, Tensor, list[Tensor], Tensor], None]
"""Name, block, its input x, what it adds to x (one (N, C, P) for each recurrence; [] where the
block is neither NL nor CC), and its output."""


def kind_of(block: nn.Module) -> str:
    """nl, cc, gc, snl or se by what the block computes; the class name of any other."""
    if isinstance(block, NonLocal):
        return "nl"
    if isinstance(block, CrissCross):
        return "cc"
    if not isinstance(block, GlobalContext):
        return type(block).__name__
    if block.pool == "average":
        return "se"
    return "gc" if len(block.transform) > 1 else "snl"


@contextmanager
def watching(model: nn.Module, saw: Saw) -> Iterator[None]:
    """Within it, every forward pass calls `saw` once for each context block, after the block ran.

    The network is in eval mode meanwhile, without gradients; afterwards each module has its mode
    back. Nothing stays on it.
    """
    hooks = []
    for name, block in context_blocks(model).items():
        added: list[Tensor] = []

        def keep(
            _norm: nn.Module, _inputs: tuple[Tensor, ...], z: Tensor, added: list[Tensor] = added
        ) -> None:
            added.append(z.flatten(2))  # (N, C, 1, P) → (N, C, P)

        def report(
            block: nn.Module,
            inputs: tuple[Tensor, ...],
            output: Tensor,
            name: str = name,
            added: list[Tensor] = added,
        ) -> None:
            saw(name, block, inputs[0], list(added), output)
            added.clear()

        norms: list[nn.Module] = []
        if isinstance(block, NonLocal):
            norms = [block.norm]
        elif isinstance(block, CrissCross):
            norms = list(block.norms.children())
        hooks += [norm.register_forward_hook(keep) for norm in norms]
        hooks.append(block.register_forward_hook(report))
    try:
        with eval_mode(model):
            yield
    finally:
        for hook in hooks:
            hook.remove()
