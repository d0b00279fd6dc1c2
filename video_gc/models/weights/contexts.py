"""Whether the context blocks in a file are those of the network.

A block that is dropped, or a tensor that lands in a block of another kind, would change what the
network computes without a word.
"""

from collections import defaultdict
from collections.abc import Iterable

from torch import Tensor, nn

from video_gc.backbones.stages import places, residual_blocks
from video_gc.models.weights.states import State

INFIX = ".context."


def check_contexts(source: str, state: State, model: nn.Module) -> None:
    """Raise ValueError unless `state` has no context block or those of `model`, of equal shapes."""
    theirs, ours = _by_block(state), _by_block(model.state_dict())
    differing = {
        block: name
        for block in theirs
        if (name := _difference(theirs[block], ours.get(block, {}))) is not None
    }
    if not differing:
        return
    first = next(iter(differing))
    kind = _kind(theirs[first])
    own = _kind(ours[first]) if first in ours else "no block"
    where, place = _where(differing if kind == own else theirs, model)
    if kind == own:
        raise ValueError(
            f"weights {source} hold {kind} blocks of other options at {where} "
            f"({differing[first]} differs); give the network theirs in model.context.options"
        )
    raise ValueError(
        f"weights {source} hold {kind} blocks {place} of {where}, where the network has {own}; use "
        f"context={kind} model.context.place={place} model.context.after=[{where}], or weights "
        "without context blocks"
    )


def _where(blocks: Iterable[str], model: nn.Module) -> tuple[str, str]:
    """Names of the residual blocks of some context blocks, and the place of the first."""
    names = _names(model)
    found = [names.get(block, (block, "after_add")) for block in blocks]
    return ",".join(name for name, _ in found), found[0][1]


def _difference(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> str | None:
    """The first name that only one of two blocks has, or has in another shape."""
    for name in [*theirs, *ours]:
        if name not in theirs or name not in ours:
            return name
        if _squeezed(theirs[name]) != _squeezed(ours[name]):
            return name
    return None


def _by_block(state: State) -> dict[str, dict[str, Tensor]]:
    """Path of the residual block → name inside its context block → tensor."""
    blocks: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in state.items():
        if INFIX in name and not name.endswith("num_batches_tracked"):
            path, _, inner = name.partition(INFIX)
            blocks[path][inner] = tensor
    return dict(blocks)


def _names(model: nn.Module) -> dict[str, tuple[str, str]]:
    """Path of the module that a context block belongs to → residual block and place."""
    path_of = {module: path for path, module in model.named_modules()}
    return {
        path_of[there.module]: (name, place)
        for name, block in residual_blocks(model).items()
        for place, there in places(block).items()
    }


def _squeezed(tensor: Tensor) -> list[int]:
    return [length for length in tensor.shape if length != 1]


def _kind(block: dict[str, Tensor]) -> str:
    """The kind of a context block, by the names of its parameters."""
    if any(name.startswith("norms.") for name in block):
        return "cc"
    if "value.weight" in block:
        return "nl"
    if "key.weight" not in block and "transform.1.weight" not in block:
        return "se"
    return "gc" if "transform.3.weight" in block else "snl"
