"""Whether the context blocks in a file are those of the network.

A block that is dropped, or a tensor that lands in a block of another kind, would change what the
network computes without a word.
"""

from collections import defaultdict

from torch import Tensor, nn

from video_gc.backbones.stages import residual_blocks
from video_gc.models.weights.read import State

INFIX = ".context."


def check_contexts(source: str, state: State, model: nn.Module) -> None:
    """Raise ValueError unless `state` has no context block or those of `model`, of equal shapes."""
    theirs, ours = _by_block(state), _by_block(model.state_dict())
    if not theirs:
        return
    place_of = _places(model)
    wrong = [block for block in theirs if not _equal(theirs[block], ours.get(block))]
    if wrong:
        first = wrong[0]
        kind, own = _kind(theirs[first]), _kind(ours[first]) if first in ours else "no block"
        where = ", ".join(place_of.get(block, block) for block in wrong)
        if kind == own:
            name = next(
                n
                for n in [*theirs[first], *ours[first]]
                if n not in ours[first]
                or n not in theirs[first]
                or _squeezed(theirs[first][n]) != _squeezed(ours[first][n])
            )
            raise ValueError(
                f"weights {source} hold {kind} blocks of other options at {where} ({name} "
                "differs); give the network theirs in model.context.options"
            )
        raise ValueError(
            f"weights {source} hold {kind} blocks at {where}, where the network has {own}; "
            f"use context={kind} with model.context.after=[{where.replace(', ', ',')}], or weights "
            "without context blocks"
        )


def _by_block(state: State) -> dict[str, dict[str, Tensor]]:
    """Path of the residual block → name inside its context block → tensor."""
    blocks: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in state.items():
        if INFIX in name and not name.endswith("num_batches_tracked"):
            path, _, inner = name.partition(INFIX)
            blocks[path][inner] = tensor
    return dict(blocks)


def _places(model: nn.Module) -> dict[str, str]:
    """Path of a residual block, or of a module inside one → its name and that module."""
    path_of = {module: path for path, module in model.named_modules()}
    names = {}
    for name, block in residual_blocks(model).items():
        for module in block.modules():
            names[path_of[module]] = name
    return names


def _equal(theirs: dict[str, Tensor], ours: dict[str, Tensor] | None) -> bool:
    return (
        ours is not None
        and theirs.keys() == ours.keys()
        and all(_squeezed(theirs[name]) == _squeezed(ours[name]) for name in theirs)
    )


def _squeezed(tensor: Tensor) -> list[int]:
    return [length for length in tensor.shape if length != 1]


def _kind(block: dict[str, Tensor]) -> str:
    """The kind of a context block, by the names of its parameters."""
    if any(name.startswith("norms.") for name in block):
        return "cc"
    if "value.weight" in block:
        return "nl"
    if "key.weight" not in block:
        return "se"
    return "gc" if "transform.3.weight" in block else "snl"
